"""The integer neuron: a level in place of a spike, and the same as so many binary steps."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Neuron
from kspike.components.registry import register


@register("neuron", "integer")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Integer(Neuron):
    """y = round(clip(x, 0, D)) / D, D = `levels`; half goes to the even level. It has no membrane.

    D is a power of two: k / D, and sums and products of such levels, are then exact. Attention adds them up without
    weights, and meets halves at every turn, which rounding must not decide.

    Its gradient is 1 / D inside [0, D] and at both ends, 0 outside. A level k stands for k binary spikes in D steps,
    and `unrolled` fires them: the membrane collects the input of D steps, their mean; the neuron then fires in the
    first k of the D steps, as an integrate-and-fire neuron with soft reset does that starts from what it collected. Its
    mean over the D steps is y. `kspike.models.unroll` makes that network of a trained one; it is for inference, and has
    no gradient.

    Source: Spike-driven Transformer V3 (Yao et al., 2025), MultiSpike: levels 4. Departures: other
    numbers of levels, powers of two; the unrolling, which the official code leaves to the reader.
    """

    levels: int = 4
    unrolled: bool = False
    states = {}

    def __post_init__(self) -> None:
        whole = isinstance(self.levels, int) and not isinstance(self.levels, bool)
        if not whole or not 1 <= self.levels <= 16 or self.levels & (self.levels - 1):
            raise ValueError(
                f"levels of the integer neuron must be a power of two from 1 to 16, got {self.levels!r}: sums of "
                "levels then are exact, and what lies on a half rounds alike everywhere."
            )
        if not isinstance(self.unrolled, bool):
            raise ValueError(f"unrolled of the integer neuron must be True or False, got {self.unrolled!r}.")

    @property
    def at_once(self) -> int:
        return self.levels if self.unrolled else 1

    @property
    def binary(self) -> Integer | None:
        return None if self.unrolled else dataclasses.replace(self, unrolled=True)

    def step(self, x: Any, *, level: Any) -> tuple[Any, tuple]:
        from keras import ops

        if not self.unrolled:
            return level(x, self.levels), ()
        fires = level(ops.mean(x, axis=1, keepdims=True), self.levels) * self.levels
        before = ops.reshape(ops.arange(self.levels, dtype=x.dtype), (1, -1, *([1] * (len(x.shape) - 2))))
        return ops.cast(fires > before, x.dtype), ()
