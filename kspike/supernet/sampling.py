"""Sampling policies: which networks of a space a training step of a supernet trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from keras import ops

from kspike._registry import unknown
from kspike._types import Array, Logits, Scalar
from kspike.space import SearchSpace

#: Draws one genome uniformly, as indices into the choices of every slot: a tensor, so that compiled steps draw anew.
Draw = Callable[[], Annotated[Array, "slots"]]


def _whole(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


@dataclasses.dataclass(frozen=True)
class SinglePath:
    """Trains uniformly drawn networks on the labels: one a step, or several, whose gradients are averaged.

    loss = mean over networks of loss(labels, logits of the network).

    Source: single-path one-shot training (Guo et al., 2019), with one network what AutoFormer and Auto-Spikformer do.
    To average over networks of several batches instead, give the optimizer `gradient_accumulation_steps`.

    Args:
        networks: networks a step; time and memory of a step grow with it.

    Example:
        >>> from kspike.supernet import SinglePath
        >>> SinglePath(networks=2)
        SinglePath(networks=2)
    """

    networks: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", _whole(self.networks, "networks", 1))

    @property
    def teaches(self) -> bool:
        """Whether the first network's outputs are what the others learn."""
        return False

    def first(self, space: SearchSpace, draw: Draw) -> Annotated[Array, "slots"]:
        """Indices of the network that the step's forward pass runs; metrics are of its outputs."""
        return draw()

    def others(self, space: SearchSpace, draw: Draw) -> list[Annotated[Array, "slots"]]:
        """Indices of the step's further networks."""
        return [draw() for _ in range(self.networks - 1)]


@dataclasses.dataclass(frozen=True)
class Sandwich:
    """Trains the largest network on the labels, and the smallest and some drawn ones on what the largest answers.

    loss = mean of loss(labels, logits of the largest) and, for every other network,
    -T^2 sum over classes of softmax(largest / T) log softmax(other / T), the largest's logits taken as constants.

    Source: the sandwich rule with in-place distillation (Yu and Huang, 2019; Yu et al., BigNAS, 2020). Departure: the
    temperature T, 1 there. Largest and smallest are those of `SearchSpace.largest()` and `smallest()`: sizes at their
    ends, tau and thresholds nearest the usual.

    Args:
        networks: networks drawn uniformly a step, beside the largest and the smallest.
        temperature: softens what the largest answers; 1 leaves it as it is.

    Example:
        >>> from kspike.supernet import Sandwich
        >>> Sandwich(networks=2).teaches
        True
    """

    networks: int = 2
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", _whole(self.networks, "networks", 0))
        value = self.temperature
        if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 < float(value) < float("inf"):
            raise ValueError(f"temperature must be a finite number above 0, got {value!r}.")
        object.__setattr__(self, "temperature", float(value))

    @property
    def teaches(self) -> bool:
        """Whether the first network's outputs are what the others learn."""
        return True

    def first(self, space: SearchSpace, draw: Draw) -> Annotated[Array, "slots"]:
        """Indices of the largest network."""
        return space.encode(space.largest())

    def others(self, space: SearchSpace, draw: Draw) -> list[Annotated[Array, "slots"]]:
        """Indices of the smallest network, and of drawn ones."""
        return [np.asarray(space.encode(space.smallest())), *(draw() for _ in range(self.networks))]


def distillation(teacher: Logits, student: Logits, temperature: float) -> Scalar:
    """Cross-entropy between two networks' softened answers, the teacher's taken as constants; a scalar."""
    wanted = ops.softmax(ops.stop_gradient(ops.cast(teacher, "float32")) / temperature)
    found = ops.log_softmax(ops.cast(student, "float32") / temperature)
    return -(temperature**2) * ops.mean(ops.sum(wanted * found, axis=-1))


POLICIES: dict[str, type] = {"single_path": SinglePath, "sandwich": Sandwich}


def resolve(policy: Any) -> Any:
    """Reads what a user gives: a policy, its name, its dict, or None for the paper's.

    Raises:
        ValueError: an unknown name, or an object that draws no networks.
    """
    if policy is None:
        return SinglePath()
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise unknown("sampling", policy, POLICIES)
        return POLICIES[policy]()
    if isinstance(policy, Mapping):
        values = dict(policy)
        return dataclasses.replace(resolve(values.pop("name", None)), **values)
    draws = all(hasattr(policy, name) for name in ("first", "others", "teaches"))
    if isinstance(policy, type) or not draws:
        raise ValueError(
            f"sampling must be one of {', '.join(POLICIES)}, or an object such as kspike.supernet.Sandwich(), "
            f"got {policy!r}."
        )
    return policy


def describe(policy: Any) -> dict[str, Any]:
    """A policy as plain JSON values, which `resolve` reads back."""
    name = next((name for name, kind in POLICIES.items() if isinstance(policy, kind)), type(policy).__name__)
    plain = dataclasses.is_dataclass(policy) and not isinstance(policy, type)
    return {"name": name, **(dataclasses.asdict(policy) if plain else {})}
