"""Search spaces of several stages, and a downsampling of their own; importing this makes it known."""

import dataclasses

from kspike import SpikformerConfig, components
from kspike.components import parts
from kspike.space import SearchSpace
from tests.space.words import IF, Gate  # noqa: F401  makes the words known


@components.register("downsample", "staged_down")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Down(components.Downsample):
    """One strided convolution, and neurons of the stem's kind behind it where asked."""

    stride: int = 2
    fires: bool = True

    def parts(self):
        fires = {"neuron": parts.Neuron("stem", "width")} if self.fires else {}
        return {"conv": parts.Conv("before", "width", 3, self.stride), "norm": parts.Norm("width"), **fires}

    def forward(self, part, x, sizes):
        x = part.conv(x)
        return sizes.to_tokens(part.neuron(x, norm=part.norm) if self.fires else part.norm(x))


@components.register("stem", "staged_plain")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain(components.Stem):
    """One strided convolution without neurons."""

    stride: int = 4

    def parts(self):
        return {"conv": parts.Conv("image", "width", 3, self.stride), "norm": parts.Norm("width")}

    def forward(self, part, x, sizes):
        return sizes.to_tokens(part.norm(part.conv(x)))


SMALL = {"input_shape": (16, 16, 1), "num_classes": 4, "num_heads": 2, "downsample": "staged_down"}
TWO = SpikformerConfig(**SMALL, embed_dim=(16, 32), depth=(1, 2))
THREE = SpikformerConfig(**SMALL, embed_dim=(8, 16, 16), depth=(1, 1, 2))
SPACES = {
    "widths_and_depths": SearchSpace(
        THREE, embed_dim={0: (8, 16), 2: (16, 24)}, depth={1: (1, 2), 2: (1, 3)}, mlp_ratio=(1, 2),
    ),
    "mixers": SearchSpace(
        TWO, embed_dim={1: (16, 32)}, depth={0: (1, 2)}, num_heads=(2, 4), mixer=("ssa", "words_none", "words_gate"),
    ),
    "by_stage": SearchSpace(
        TWO, depth={1: (1, 2)}, mixer={1: ("words_gate", "ssa")}, num_heads={0: (2, 4), 1: (1, 2)},
        mlp_ratio={1: (1, 2)}, v_threshold={"attention": (0.25, 0.5)},
    ),
    "local": SearchSpace(
        TWO, depth={1: (1, 2)}, local={1: ("identity", "words_gate")}, mixer=("words_none", "ssa"), num_heads=(1, 2),
        v_threshold={"attention": (0.25, 0.5)}, mlp={0: ("spiking", "words_flat")},
    ),
    "around": SearchSpace(
        TWO, downsample=("staged_down", Down(fires=False)), head=("mean", "neuron"), depth={0: (1, 2)},
        stem=("sps", "staged_plain"), stem_channels=((2, 4), (4,), (8,)), neuron=("lif", "words_if"),
        v_threshold={"stem": (0.6, 1.0), "head": (0.5, 1.0)}, tau={"head": (1.5, 2.0)},
    ),
    "one_stage": SearchSpace(
        SpikformerConfig(**{**SMALL, "downsample": None}, embed_dim=16), depth=(1, 2), local=("identity", "words_gate"),
        mixer=("words_none", "ssa"), num_heads=(2, 4), v_threshold={"proj": (0.6, 1.0)},
        head=("mean", "neuron", {"name": "neuron", "time_last": True}),
    ),
}  # fmt: skip
