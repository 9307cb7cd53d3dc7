"""State dicts of SpikingJelly 2.0's Spike-driven Transformer."""

from __future__ import annotations

from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, beside, has, ratio
from kspike.convert.families.sdt import pools
from kspike.convert.families.spikingjelly import FOLDED, OPTIONS, SOURCE, TRAINING, neurons, pair


def _sdt(read: Read) -> dict[str, Any]:
    depth, width = read.count("blocks."), read.outputs("patch_embed.rpe_conv")
    hidden = [read.outputs(f"blocks.{i}.mlp.fc1") for i in range(depth)]
    return {
        "residual": "membrane",
        "stem": {"name": "sdt", "pool": pools(read)},
        "embed_dim": read.told("embed_dims", width, "the last convolution of the stem has"),
        "depth": read.told("depths", depth, "the blocks are"),
        "mixer": "sdsa1",
        "mlp": tuple("two_shortcuts" if h == width else "spiking" for h in hidden),
        "mlp_ratio": tuple(ratio(h, width) for h in hidden),
        "num_heads": 1,  # what a head sums over tokens does not depend on how many there are
        "qkv_bias": False,
        "head": "neuron",
        **neurons(read),
    }


def _sdt_names(config: SpikformerConfig, read: Read) -> Names:
    found: Names = {}
    for i in range(4):
        theirs = f"patch_embed.stages.{i}" if i < 3 else "patch_embed.final_stage"
        found |= {f"stem/conv_{i}": f"{theirs}.0", f"stem/norm_{i}": f"{theirs}.1"}
        found[f"stem/neuron_{i}"] = f"{theirs}.2" if i < 3 else "patch_embed.final_lif"
    found |= {"stem/rpe_conv": "patch_embed.rpe_conv", "stem/rpe_norm": "patch_embed.rpe_bn"}
    for i in range(config.num_blocks):
        ours, theirs = f"block_{i}/attention", f"blocks.{i}.attn"
        found |= beside(theirs, f"{ours}/qkv")
        found |= {
            f"{ours}/input_neuron": f"{theirs}.shortcut_lif",
            f"{ours}/attention_neuron": f"{theirs}.attn_lif",
            f"{ours}/proj": f"{theirs}.proj_conv",
            f"{ours}/proj_norm": f"{theirs}.proj_bn",
            **pair(f"block_{i}/mlp", f"blocks.{i}.mlp", True),
        }
    return {**found, "decoding/neuron": "head_lif", "head": "head"}


SPIKINGJELLY_SDT = Family(
    name="spikingjelly_sdt",
    source=f"{SOURCE}.spike_driven_transformer.SpikeDrivenTransformer",
    has="patch_embed.final_stage.0, patch_embed.rpe_conv and blocks.0.attn.q_conv",
    recognised=has("patch_embed.final_stage.0", "patch_embed.rpe_conv", "blocks.0.attn.q_conv"),
    config=_sdt,
    names=_sdt_names,
    options=(*OPTIONS, "pooling_stat"),
    notes=(TRAINING, FOLDED),
    folded=lambda read, module: module.startswith(("patch_embed.stages.", "patch_embed.final_stage.")),
)
