"""Energy conventions: what each published way of counting charges for a measured product, by name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from kspike.config import nearest


@dataclasses.dataclass(frozen=True)
class Attention:
    """What an attention product multiplies: its mean spikes, and its size.

    Args:
        role: "qk" for Q K^T, "av" for A V.
        q, k, v: mean of each input over the images measured (or one number an image).
        tokens, head_dim: numbers of tokens and of channels in a head; together with `dense` the whole size.
    """

    role: str
    q: Any
    k: Any
    v: Any
    tokens: int
    head_dim: float


@dataclasses.dataclass(frozen=True)
class Activity:
    """What was measured at one product: all that a convention may look at.

    Args:
        name, kind: path of the layer; "conv", "dense" or "attention".
        dense: multiply-accumulates of the dense product for one image, all time steps together.
        rate: mean of the input: the firing rate where it is spikes, the mean spike count where it is integers. An array
            of one number an image when the spread over images is asked for.
        counts: whether every number of the input, over all images, is a non-negative integer.
        largest: the largest number of the input.
        static: whether the input is a still image, repeated in time: values of pixels, even where they are integers.
        attention: filled for attention products.
    """

    name: str
    kind: str
    dense: float
    rate: Any
    counts: bool
    largest: float
    static: bool = False
    attention: Attention | None = None


@dataclasses.dataclass(frozen=True)
class Convention:
    """Charges the measured products of a network: which of them accumulate, which multiply, and what each costs.

        accumulations               = rate * dense    where the input is spikes or counts, up to `largest_count`
        multiply-accumulates        = dense           anywhere else
        picojoules                  = ac_pj * accumulations + mac_pj * multiply-accumulates

    `dense` is T times the textbook count of the layer, padding included. Normalisation is folded into the weights, as
    on hardware; neurons, pools, biases and residual sums are free.

    A convention that counts otherwise overrides `operations`; one that charges otherwise, `picojoules`. Both must work
    on arrays (one number an image) as on numbers.

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


@dataclasses.dataclass(frozen=True)
class KeyValueFirst(Convention):
    """Charges attention as K^T V and then Q (K^T V), the order of Spikingformer's counter.

        accumulations of K^T V        = dense * head_dim / tokens * min(rate(k), rate(v))      (on the row "av")
        accumulations of Q (K^T V)    = dense * head_dim / tokens * rate(q)                    (on the row "qk")

    where dense = T * N * N * D, so that the first factor is T * N * D * head_dim.
    """

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        at = activity.attention
        if at is None or not self.accumulates(activity):
            return super().operations(activity)
        rate = at.q if at.role == "qk" else np.minimum(at.k, at.v)
        return activity.dense * at.head_dim / at.tokens * rate, np.zeros_like(rate)


HOROWITZ = "4.6 pJ a 32-bit multiply-accumulate, 0.9 pJ an addition: 45 nm, Horowitz, ISSCC 2014"

_REGISTRY: dict[str, Convention] = {}


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
    if not isinstance(convention, Convention):
        raise ValueError(f"Expected a kspike.cost.Convention, received {type(convention).__name__}.")
    if not convention.name or not convention.source:
        raise ValueError("A convention needs a name and a source: numbers that nobody can look up are worth nothing.")
    if convention.name in _REGISTRY and not replace and _REGISTRY[convention.name] != convention:
        raise ValueError(f"The convention {convention.name!r} exists; choose another name, or pass replace=True.")
    _REGISTRY[convention.name] = convention


def conventions() -> Listing:
    """Lists the known conventions: name -> source."""
    return Listing({name: convention.source for name, convention in _REGISTRY.items()})


def get(convention: str | Convention) -> Convention:
    """Finds a convention by name; a `Convention` passes through.

    Raises:
        ValueError: an unknown name; says the known ones and the nearest.
    """
    if isinstance(convention, Convention):
        return convention
    if convention not in _REGISTRY:
        known = list(_REGISTRY)
        raise ValueError(
            f"Unknown energy convention {convention!r}{nearest(convention, known)}; known: {', '.join(known)}. "
            "kspike.cost.register adds one."
        )
    return _REGISTRY[convention]


register(
    Convention(
        "spikformer",
        source="Zhou et al., Spikformer, ICLR 2023, eq. 21-24: multiply-accumulates where the measured input is real "
        f"(the still image T times, the head once), accumulations elsewhere, attention as Q K^T, then A V. {HOROWITZ}",
    )
)
register(
    KeyValueFirst(
        "spikingformer",
        source="Spikingformer's energy_consumption_calculation with Nspks_max = 1: integers above 1 are multiplied, "
        f"attention as K^T V, then Q (K^T V). All products are counted, whatever their names. {HOROWITZ}",
        largest_count=1,
    )
)
register(
    KeyValueFirst(
        "spikingformer_counts",
        source="Spikingformer's energy_consumption_calculation with Nspks_max = 30: integers up to 30 are added, by "
        f"their mean, attention as K^T V, then Q (K^T V). All products are counted, whatever their names. {HOROWITZ}",
        largest_count=30,
    )
)
