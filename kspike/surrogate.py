"""Named surrogate gradients: the derivative that replaces the step function's in the backward pass.

In the forward pass a neuron gives exactly 0 or 1, whatever the surrogate. Each object holds the slope `alpha` and its
derivative dS/du at u = h - v_threshold; parameter meanings and defaults are SpikingJelly's, so that a paper's numbers
carry over. Frozen dataclasses: compared by value, hashable, written to JSON by `serialize`.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

from kspike._registry import Registry


@dataclasses.dataclass(frozen=True)
class Surrogate(abc.ABC):
    """Base of all surrogates. Your own surrogate subclasses it, sets `name`, and is passed as an object.

    Args:
        alpha: the slope, above 0; larger is narrower around the threshold.
    """

    name: ClassVar[str] = ""
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)) or not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha of the {self.name} surrogate must be a finite number above 0, got {self.alpha!r}.")
        object.__setattr__(self, "alpha", float(self.alpha))

    @abc.abstractmethod
    def derivative(self, u: Any) -> Any:
        """dS/du at u = h - v_threshold: a tensor of u's shape and dtype, in keras.ops."""


@dataclasses.dataclass(frozen=True)
class Sigmoid(Surrogate):
    """alpha * s(alpha u) * (1 - s(alpha u)), s the logistic function. Spikformer's, with alpha 4: peak 1 at u = 0."""

    name: ClassVar[str] = "sigmoid"
    alpha: float = 4.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        s = ops.sigmoid(self.alpha * u)
        return self.alpha * s * (1.0 - s)


@dataclasses.dataclass(frozen=True)
class ATan(Surrogate):
    """alpha / 2 / (1 + (pi / 2 * alpha * u)^2) (Fang et al., 2021, PLIF)."""

    name: ClassVar[str] = "atan"
    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return self.alpha / 2.0 / (1.0 + ops.square(math.pi / 2.0 * self.alpha * u))


@dataclasses.dataclass(frozen=True)
class SoftSign(Surrogate):
    """1 / (2 alpha (1/alpha + |u|)^2): the derivative of the soft sign."""

    name: ClassVar[str] = "soft_sign"
    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return 1.0 / (2.0 * self.alpha * ops.square(1.0 / self.alpha + ops.abs(u)))


@dataclasses.dataclass(frozen=True)
class SuperSpike(Surrogate):
    """alpha / (1 + |u|)^2 (Zenke and Ganguli, 2018); snnTorch's fast sigmoid is the same shape with |slope * u|."""

    name: ClassVar[str] = "super_spike"
    alpha: float = 1.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return self.alpha / ops.square(1.0 + ops.abs(u))


@dataclasses.dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """1 / (1 + alpha |u|)^2: snnTorch's fast_sigmoid, whose `slope` is alpha."""

    name: ClassVar[str] = "fast_sigmoid"
    alpha: float = 25.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return 1.0 / ops.square(1.0 + self.alpha * ops.abs(u))


@dataclasses.dataclass(frozen=True)
class Erf(Surrogate):
    """alpha / sqrt(pi) * exp(-(alpha u)^2): the derivative of the error function."""

    name: ClassVar[str] = "erf"
    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return self.alpha / math.sqrt(math.pi) * ops.exp(-ops.square(self.alpha * u))


@dataclasses.dataclass(frozen=True)
class PiecewiseQuadratic(Surrogate):
    """Triangle: alpha - alpha^2 |u| where |u| <= 1 / alpha, else 0 (the triangular surrogate of Esser et al., 2016)."""

    name: ClassVar[str] = "piecewise_quadratic"
    alpha: float = 1.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return ops.relu(self.alpha - self.alpha * self.alpha * ops.abs(u))


@dataclasses.dataclass(frozen=True)
class PiecewiseExp(Surrogate):
    """alpha / 2 * exp(-alpha |u|)."""

    name: ClassVar[str] = "piecewise_exp"
    alpha: float = 1.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return self.alpha / 2.0 * ops.exp(-self.alpha * ops.abs(u))


@dataclasses.dataclass(frozen=True)
class Rectangular(Surrogate):
    """Box: alpha where |u| <= 1 / (2 alpha), else 0 (Wu et al., 2018, STBP)."""

    name: ClassVar[str] = "rectangular"
    alpha: float = 1.0

    def derivative(self, u: Any) -> Any:
        from keras import ops

        return self.alpha * ops.cast(ops.abs(u) <= 0.5 / self.alpha, u.dtype)


_KNOWN: Registry[type[Surrogate]] = Registry("surrogate", more=", or a kspike.surrogate object")
for _cls in (Sigmoid, ATan, SoftSign, SuperSpike, FastSigmoid, Erf, PiecewiseQuadratic, PiecewiseExp, Rectangular):
    _KNOWN.add(_cls.name, _cls)


def names() -> list[str]:
    """The known surrogates, sorted."""
    return sorted(_KNOWN)


def register(cls: type[Surrogate]) -> type[Surrogate]:
    """Class decorator: registers your own surrogate by its `name`, so that saved models find it again."""
    _KNOWN.add(cls.name, cls)
    return cls


def is_known(surrogate: Surrogate) -> bool:
    """Whether its name stands for its class, and for no other that has the same name."""
    return _KNOWN.get(surrogate.name) is type(surrogate)


def get(identifier: Any) -> Surrogate:
    """Turns a name, a Surrogate object, or `serialize`'s output into a Surrogate object.

    Raises:
        ValueError: unknown name; the message lists the known ones and the nearest.
    """
    if isinstance(identifier, Surrogate):
        return identifier
    name, args = identifier, {}
    if isinstance(identifier, dict):
        args = dict(identifier)
        name = args.pop("name", None)
    cls = _KNOWN.find(name)
    try:
        return cls(**args)
    except TypeError as error:
        raise ValueError(f"Surrogate {name!r} does not take {sorted(args)}: {error}.") from error


def serialize(surrogate: Any) -> str | dict[str, Any]:
    """The JSON form: the bare name where all parameters are the defaults, else {"name": ..., "alpha": ...}."""
    surrogate = get(surrogate)
    if not is_known(surrogate):
        raise ValueError(
            f"{type(surrogate).__name__} cannot be written to a file: decorate it with kspike.surrogate.register first."
        )
    if surrogate == type(surrogate)():
        return surrogate.name
    return {"name": surrogate.name, **dataclasses.asdict(surrogate)}
