"""Small spaces of every kind of gene, whose networks can all be visited."""

from kspike import SpikformerConfig
from kspike.space import SearchSpace

SMALL = {"input_shape": (8, 8, 1), "stem_pool": (False, False, False, True), "num_heads": 2, "embed_dim": 16}
BASE = SpikformerConfig(**SMALL)

SPACES = {
    "autost": SearchSpace(
        SpikformerConfig(**SMALL, residual="membrane", neuron="plif"),
        embed_dim=(16, 24, 32), depth=(1, 2, 3), num_heads=(2, 4), mlp_ratio=(1, 2, 3),
    ),
    "uneven_ratios": SearchSpace(BASE, depth=(2, 4), mlp_ratio=(1, 1.3, 2, 3.9), embed_dim=(16, 40)),
    "stem_and_time": SearchSpace(
        BASE, timesteps=(1, 2, 4), stem_channels=((2, 4), (4, 6), (8,)), depth=(1, 2), mlp_ratio=(1, 2),
        embed_dim=(16, 24),
    ),
    "neurons": SearchSpace(
        BASE, depth=(1, 2), num_heads=(1, 2), tau={"stem": (1.5, 2.0), "fc1": (1.25, 2.0)},
        v_threshold={"attention": (0.25, 0.5), "stem": (0.6, 1.0)}, mlp_ratio=(1, 2),
    ),
    "one_depth": SearchSpace(SpikformerConfig(**SMALL, depth=3), mlp_ratio=(2, 3), num_heads=(2, 4)),
    "no_blocks": SearchSpace(BASE, embed_dim=(16, 32), timesteps=(1, 2)),
    "one_network": SearchSpace(BASE),
}  # fmt: skip
