"""Spiking self-attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.flags import check_flags
from kspike.components.parts import Dense, MatMul, Neuron, Norm
from kspike.components.registry import register


@register("mixer", "ssa")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SSA(Mixer):
    """Attention between spikes, without softmax; `kspike.layers.SSA` says how it is computed.

        q, k, v = LIF(BN(x W + b))
        y = LIF_0.5(scale * q k^T v)          a head at a time
        output = LIF(BN(proj(y)))             without that last neuron with residual="membrane",
                                              where instead a neuron stands before W

    With `chunk` above 1 the tokens of so many consecutive time steps attend to each other, as one set of tokens:
    chunk 1 is attention within each step.

    Source: Spikformer (Zhou et al., 2023, eq. 7-9); chunks: STAtten (Lee et al., 2025); fires_last: the Max-Former for
    large images of SpikingJelly 2.0, whose official code has a neuron before W. Departure: `scale` is the network's for
    every chunk. Settings left at None are the network's.

    Args:
        scale, qkv_bias, proj_bias: as the network's.
        chunk: 1, 2 or 4; divides T.
        fires_last: for residual="membrane": whether the neurons stand as with "add", the last behind the product and
            none before W, whose input then are potentials.
    """

    scale: float | None = None
    qkv_bias: bool | None = None
    proj_bias: bool | None = None
    chunk: int = 1
    fires_last: bool = False
    residuals = ("add", "membrane")

    def __post_init__(self) -> None:
        if type(self.chunk) is not int or self.chunk not in (1, 2, 4):
            raise ValueError(f"chunk of the mixer 'ssa' must be 1, 2 or 4, got {self.chunk!r}.")
        check_flags(self, "fires_last")

    @property
    def together(self) -> int:
        return self.chunk

    def _starts_firing(self, residual: str) -> bool:
        """Whether a neuron stands before W, and none behind the last normalisation."""
        if self.fires_last and residual != "membrane":
            raise ValueError(
                f"fires_last of the mixer 'ssa' is for residual 'membrane': with {residual!r} its last neuron always "
                "fires; leave it out."
            )
        return residual == "membrane" and not self.fires_last

    def parts(self, *, residual: str, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        first = self._starts_firing(residual)
        return {
            **({"input_neuron": Neuron("input", "width")} if first else {}),
            "qkv": Dense("width", "width", 3, qkv_bias),
            "qkv_norm": Norm("width", 3),
            "qkv_neuron": Neuron("qkv", "width", 3),
            "qk": MatMul("qk", chunk=self.chunk),
            "av": MatMul("av", scaled=True, chunk=self.chunk),
            "attention_neuron": Neuron("attention", "width"),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
            **({} if first else {"proj_neuron": Neuron("proj", "width")}),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str, scale: float) -> Any:
        first = self._starts_firing(residual)
        x = part.input_neuron(x) if first else x
        q, k, v = sizes.split(part.qkv_neuron(part.qkv(x), norm=part.qkv_norm), 3)
        y = part.proj(part.attention_neuron(sizes.attend(q, k, v, scale, self.chunk)))
        return part.proj_norm(y) if first else part.proj_neuron(y, norm=part.proj_norm)
