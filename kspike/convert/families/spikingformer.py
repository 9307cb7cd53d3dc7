"""Spikingformer's state dicts."""

from __future__ import annotations

from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, beside, has, mlp, ratio


def _events(names: Any) -> bool:
    """Its event networks name the stem's convolutions otherwise."""
    return "patch_embed.proj1_conv.weight" in names


def _stem(read: Read) -> list[str]:
    if _events(read.tensors):
        return [f"patch_embed.proj{i or ''}" for i in range(5)]
    return [f"patch_embed.block{i}" for i in range(5)]


def _config(read: Read) -> dict[str, Any]:
    events = _events(read.tensors)
    last = _stem(read)[4]
    width, depth = read.outputs(f"{last}_conv"), read.count("block.")
    hidden = [read.outputs(f"block.{i}.mlp.mlp1_conv") for i in range(depth)]
    pool = (True,) * 4 if events else (False, False, True, True)
    return {
        "residual": "membrane",
        "stem": {"name": "spikingformer", "pool": pool},
        "embed_dim": read.told("embed_dims", width, "the last convolution of the stem has"),
        "depth": read.told("depths", depth, "the blocks are"),
        "num_heads": read.given("num_heads", "The published models have 8 or 12 (CIFAR), 16 (events)."),
        "mlp_ratio": tuple(ratio(h, width) for h in hidden),
        "qkv_bias": read.biased("block.0.attn.q_conv"),
        **({"tau": dict.fromkeys(("stem", "input", "qkv", "attention", "fc1"), 1.5)} if events else {}),
    }


def _names(config: SpikformerConfig, read: Read) -> Names:
    found: Names = {}
    for i, module in enumerate(_stem(read)):
        found |= {f"stem/conv_{i}": f"{module}_conv", f"stem/norm_{i}": f"{module}_bn"}
        found |= {f"stem/neuron_{i}": f"{module}_lif"} if i else {}
    for i in range(config.num_blocks):
        ours, theirs = f"block_{i}", f"block.{i}"
        found[f"{ours}/attention/input_neuron"] = f"{theirs}.attn.proj_lif"  # named so, though it stands first
        found |= beside(f"{theirs}.attn", f"{ours}/attention/qkv")
        found |= {
            f"{ours}/attention/attention_neuron": f"{theirs}.attn.attn_lif",
            f"{ours}/attention/proj": f"{theirs}.attn.proj_conv",
            f"{ours}/attention/proj_norm": f"{theirs}.attn.proj_bn",
            **mlp(f"{ours}/mlp", f"{theirs}.mlp", ("mlp1", "mlp2")),
        }
    return {**found, "head": "head"}


SPIKINGFORMER = Family(
    name="spikingformer",
    source="Spikingformer (Zhou et al., 2023), github.com/zhouchenlin2096/Spikingformer",
    has="patch_embed.block0_conv or patch_embed.proj1_conv, block.0.attn.q_conv and block.0.mlp.mlp1_conv",
    recognised=lambda names: (
        has("block.0.attn.q_conv", "block.0.mlp.mlp1_conv", lacks=["patch_embed.rpe_conv"])(names)
        and ("patch_embed.block0_conv.weight" in names or _events(names))
    ),
    config=_config,
    names=_names,
    options=("num_heads", "embed_dims", "depths"),
    never={r"block\.\d+\.norm[12]\.": "a LayerNorm that the code builds and never runs"},
)
