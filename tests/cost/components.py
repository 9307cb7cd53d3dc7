"""Components that only tests of costs know: two mixers, a stem and a neuron that kspike does not have."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike import components
from kspike.components.parts import Conv, Dense, DepthwiseConv, Neuron, Norm, Pool, Sum


@components.register("mixer", "cost_token_qk")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenQK(components.Mixer):
    """One neuron a head and token says which tokens of k pass."""

    def parts(self, *, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        return {
            "qk": Dense("width", "width", 2, qkv_bias),
            "qk_norm": Norm("width", 2),
            "qk_neuron": Neuron("qkv", "width", 2),
            "attention_neuron": Neuron("attention", "heads"),
            "mask": Sum("width"),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
            "proj_neuron": Neuron("proj", "width"),
        }


@components.register("mixer", "cost_depthwise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Depthwise(components.Mixer):
    """Each channel by itself over the token grid; then a gate from the mean over tokens, at half the width."""

    bias: bool = False

    def parts(self) -> dict[str, Any]:
        return {
            "conv": DepthwiseConv("width", 3, bias=self.bias),
            "norm": Norm("width"),
            "neuron": Neuron("proj", "width"),
            "gate_neuron": Neuron("qkv", "width/2", tokens=1),
        }


@components.register("mixer", "cost_norm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlyNorm(components.Mixer):
    """Parts, but no product."""

    def parts(self) -> dict[str, Any]:
        return {"norm": Norm("width"), "neuron": Neuron("proj", "width", 2)}


@components.register("mixer", "cost_identity")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity(components.Mixer):
    """Nothing at all."""

    shortcut = False

    def parts(self) -> dict[str, Any]:
        return {}


@components.register("stem", "cost_patches")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Patches(components.Stem):
    """One strided convolution."""

    def parts(self) -> dict[str, Any]:
        return {
            "patch": Conv("image", "width", 5, 4, bias=True),
            "norm": Norm("width"),
            "neuron": Neuron("stem", "width"),
        }


@components.register("stem", "cost_branched")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Branched(components.Stem):
    """A pool of spikes, a product over pixels, and a second branch from the image: the same grid as one stride of 4."""

    def parts(self) -> dict[str, Any]:
        return {
            "conv": Conv("image", "width/2", 3, 2),
            "neuron": Neuron("stem", "width/2"),
            "pool": Pool("width/2"),
            "dense": Dense("width/2", "width"),
            "side": Conv("image", "width", 1, 4, of=""),
            "side_norm": Norm("width"),
            "sum": Sum("width"),
        }


@components.register("neuron", "cost_two_weights")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoWeights(components.Neuron):
    """Learns two numbers a group."""

    def weights(self, tau: float) -> dict[str, float]:
        return {"a": tau, "b": 1.0}

    def step(self, x: Any, v: Any, *, charge: Any, reset: Any, v_threshold: Any, spike: Any, a: Any, b: Any) -> Any:
        h = charge(v, a * x)
        s = spike(h - b * v_threshold)
        return s, (reset(h, s),)
