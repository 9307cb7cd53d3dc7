"""Small components for tests of words as genes, and spaces of them; importing this makes them known."""

import dataclasses

from kspike import SpikformerConfig, components
from kspike.components import parts
from kspike.space import SearchSpace


@components.register("mixer", "words_gate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate(components.Mixer):
    """A product and two neurons, no heads."""

    bias: bool = True

    def parts(self):
        return {
            "gate_neuron": parts.Neuron("attention", "width", tokens=1),
            "proj": parts.Dense("width", "width", bias=self.bias),
            "proj_norm": parts.Norm("width"),
            "proj_neuron": parts.Neuron("proj", "width"),
        }

    def forward(self, part, x, sizes):
        return part.proj_neuron(part.proj(x), norm=part.proj_norm)


@components.register("mixer", "words_none")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NoMixer(components.Mixer):
    """Nothing."""

    residuals = ("add", "membrane")
    shortcut = False

    def parts(self):
        return {}

    def forward(self, part, x, sizes):
        return x


@components.register("mlp", "words_flat")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Flat(components.MLP):
    """One product of the tokens' width: no hidden channels."""

    def parts(self):
        return {
            "fc1": parts.Dense("width", "width"),
            "fc1_norm": parts.Norm("width"),
            "fc1_neuron": parts.Neuron("fc1", "width"),
        }

    def forward(self, part, x, sizes):
        return part.fc1_neuron(part.fc1(x), norm=part.fc1_norm)


@components.register("stem", "words_patch")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Patch(components.Stem):
    """One strided convolution."""

    stride: int = 4

    def parts(self):
        return {
            "conv": parts.Conv("image", "width", 3, self.stride),
            "norm": parts.Norm("width"),
            "neuron": parts.Neuron("stem", "width"),
        }

    def forward(self, part, x, sizes):
        return sizes.to_tokens(part.neuron(part.conv(x), norm=part.norm))


@components.register("neuron", "words_if")
@dataclasses.dataclass(frozen=True, kw_only=True)
class IF(components.Neuron):
    """Integrates without a leak: reads no tau."""

    def step(self, x, v, *, reset, v_threshold, spike):
        h = v + x
        s = spike(h - v_threshold)
        return s, (reset(h, s),)


SMALL = {"input_shape": (16, 16, 1), "num_classes": 4, "num_heads": 2, "embed_dim": 16}
BASE = SpikformerConfig(**SMALL)
SPACES = {
    "mixers": SearchSpace(
        BASE, depth=(1, 2), embed_dim=(16, 32), num_heads=(2, 4), mlp_ratio=(1, 2),
        mixer=("ssa", "words_none", "words_gate", Gate(bias=False)),
    ),
    "mixers_and_mlps": SearchSpace(
        BASE, depth=(1, 2), num_heads=(1, 2), mlp_ratio=(1, 2), mixer=("words_gate", "ssa"),
        mlp=("spiking", "words_flat"), v_threshold={"fc2": (0.6, 1.0), "attention": (0.25, 0.5)},
    ),
    "neurons": SearchSpace(
        BASE, depth=(1, 2), neuron=("lif", "plif", "words_if"), tau=(1.5, 2.0), mixer=("words_none", "ssa"),
        mlp=("words_flat", "spiking"), v_threshold={"stem": (0.6, 1.0)},
    ),
    "stems": SearchSpace(
        BASE, depth=(1, 2), stem=("sps", "words_patch"), stem_channels=((2, 4), (4,), (8, 16)),
        neuron=("words_if", "lif"), tau={"stem": (1.5, 2.0), "qkv": (1.25, 2.0)}, mixer=("ssa", "words_gate"),
        timesteps=(1, 2),
    ),
    "no_kinds": SearchSpace(BASE, depth=2, mixer=("words_gate", "ssa"), v_threshold=(0.6, 1.0), mlp=("words_flat",)),
    "fixed_by_block": SearchSpace(
        SpikformerConfig(**SMALL, depth=2, mixer=("words_gate", "ssa")), depth=(1, 2), num_heads=(2, 4),
    ),
    "membrane": SearchSpace(
        SpikformerConfig(**SMALL, residual="membrane"), depth=(1, 2), mixer=("ssa", "words_none"), num_heads=(2, 4),
        v_threshold={"input": (0.6, 1.0)}, tau={"qkv": (1.5, 2.0)},
    ),
}  # fmt: skip
