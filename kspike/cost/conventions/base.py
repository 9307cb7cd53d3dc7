"""Energy conventions: what each published way of counting charges for a measured product, by name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from kspike._registry import Registry
from kspike.cost.conventions.activity import Activity


@dataclasses.dataclass(frozen=True)
class Convention:
    """Charges the measured products of a network: which of them accumulate, which multiply, and what each costs.

        accumulations               = rate * dense    where the input is spikes or counts, up to `largest_count`
        multiply-accumulates        = dense           anywhere else
        picojoules                  = ac_pj * accumulations + mac_pj * multiply-accumulates

    `dense` is T times the textbook count of the layer, padding included. Normalisation is folded into the weights, as
    on hardware; neurons, pools, biases and residual sums are free.

    A convention that counts otherwise overrides `operations`; one that charges otherwise, `picojoules`. All methods
    must work on arrays (one number an image, or a time step) as on numbers.

    Args:
        name: what `measure(convention=...)` takes.
        source: paper, table or code that says so.
        mac_pj, ac_pj: energy of a multiply-accumulate and of an accumulation, in picojoules.
        largest_count: up to which spike count an integer input is added and not multiplied; 1 takes spikes alone.

    Example:
        >>> import kspike
        >>> mine = kspike.cost.Convention("my_chip", source="its data sheet, table 3", mac_pj=1.1, ac_pj=0.2)
        >>> kspike.cost.register(mine)
        >>> "my_chip" in kspike.cost.conventions()
        True
    """

    name: str
    source: str
    mac_pj: float = 4.6
    ac_pj: float = 0.9
    largest_count: float = math.inf

    def accumulates(self, activity: Activity) -> bool:
        """Whether the product adds weights, once for every spike, instead of multiplying."""
        return activity.counts and not activity.static and activity.largest <= self.largest_count

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        none = np.zeros_like(activity.rate)
        if self.accumulates(activity):
            return activity.rate * activity.dense, none
        return none, activity.dense + none

    def picojoules(self, activity: Activity, accumulations: Any, multiplications: Any) -> Any:
        """Energy of one product for one image."""
        return self.ac_pj * accumulations + self.mac_pj * multiplications

    def charge(self, activity: Activity) -> tuple[Any, Any, Any]:
        """(accumulations, multiply-accumulates, picojoules) of one product for one image."""
        accumulations, multiplications = self.operations(activity)
        return accumulations, multiplications, self.picojoules(activity, accumulations, multiplications)

    def dense(self, activity: Activity) -> Any:
        """The product's size in a report: multiply-accumulates of the dense product."""
        return activity.dense

    def accesses(self, activity: Activity) -> Any:
        """Words of memory read and written: a weight for every operation of the product, every membrane twice.

        As SpikingJelly 2.0's NeuromorphicMemoryAccessCounter, but without biases, which are folded into the weights
        here, as normalisation is.
        """
        operations = activity.rate * activity.dense if self.accumulates(activity) else activity.dense
        return operations + 2 * activity.around.updates + np.zeros_like(activity.rate)

    @property
    def free(self) -> bool:
        """Whether it counts operations and charges no energy."""
        return not self.mac_pj and not self.ac_pj

    @property
    def integers(self) -> str:
        """How it charges an integer above 1 that arrives at a product, a count of events or a residual, in words."""

        def adds(largest: float) -> bool:
            return self.accumulates(Activity("", "dense", dense=1, rate=1.0, counts=True, largest=largest))

        if not adds(2.0):
            return "multiplied: one makes the whole product multiply-accumulates"
        if adds(math.inf):
            return "added: a count of k is k accumulations of each weight"
        return f"added up to {self.largest_count:g}, k accumulations a count of k; where one is larger, multiplied"


def _check(convention: Convention) -> None:
    if not isinstance(convention, Convention):
        raise ValueError(f"Expected a kspike.cost.Convention, received {type(convention).__name__}.")
    if not convention.name or not convention.source:
        raise ValueError("A convention needs a name and a source: numbers that nobody can look up are worth nothing.")


_REGISTRY: Registry[Convention] = Registry("energy convention", _check, "; kspike.cost.register adds one")


class Listing(dict):
    """Convention name -> its source; printed as a list."""

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {source}" for name, source in self.items())


def register(convention: Convention, *, replace: bool = False) -> None:
    """Makes a convention known by its name.

    Raises:
        ValueError: it is no `Convention`, lacks a name or a source, or its name is taken (`replace=True` gives it).
    """
    _check(convention)
    _REGISTRY.add(convention.name, convention, replace=replace)


def conventions() -> Listing:
    """Lists the known conventions: name -> source."""
    return Listing({name: convention.source for name, convention in _REGISTRY.items()})


def get(convention: str | Convention) -> Convention:
    """Finds a convention by name; a `Convention` passes through.

    Raises:
        ValueError: an unknown name; says the known ones and the nearest.
    """
    return convention if isinstance(convention, Convention) else _REGISTRY.find(convention)


def charging(convention: str | Convention, what: str) -> Convention:
    """Finds a convention that charges energy, for `what` needs joules.

    Raises:
        ValueError: an unknown name, or a convention that counts operations alone.
    """
    found = get(convention)
    if found.free:
        raise ValueError(f"The convention {found.name!r} counts operations; {what} needs one that charges energy.")
    return found
