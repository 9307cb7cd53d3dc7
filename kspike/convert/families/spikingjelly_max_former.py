"""State dicts of SpikingJelly 2.0's Max-Former."""

from __future__ import annotations

from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, has
from kspike.convert.families.spikingjelly import (
    FOLDED,
    OPTIONS,
    SOURCE,
    TRAINING,
    attention,
    in_a_row,
    numbered,
    pair,
    staged,
)
from kspike.convert.families.staged import blocks


def _large(read: Read) -> bool:
    return "patch_embed1.branch.1" not in read


def _max_mixer(read: Read, block: str) -> Any:
    large = _large(read)
    if block.startswith("stage3."):
        return {"name": "ssa", "fires_last": True} if large else "ssa"
    bare = not large and block.startswith("stage1.")
    return "identity" if bare else f"dwconv{read.shape(f'{block}.dwconv')[-1]}"


def _max_former(read: Read) -> dict[str, Any]:
    large, fields = _large(read), staged(read)
    read.told("cifar", not large, "the tensors say")
    read.said += [TRAINING, FOLDED] if large else []  # the CIFAR form has neither
    heads = max(1, fields["embed_dim"][-1] // 64) if large else 8
    return fields | {
        "residual": "membrane",
        "stem": {"name": "embed_max", "large": True} if large else "embed_max",
        "mixer": tuple(_max_mixer(read, block) for block in blocks(read)),
        "num_heads": read.told("num_heads", heads, "the code fixes heads at"),
        "proj_bias": not large,
        "head": "neuron",
    }


def _max_former_names(config: SpikformerConfig, read: Read) -> Names:
    stem, large = "patch_embed1", _large(read)
    if large:
        found = numbered("stem", stem, 3)
    else:
        found = {"stem/conv_0": f"{stem}.conv", "stem/norm_0": f"{stem}.bn"}
        found |= {f"stem/{k}_1": f"{stem}.branch.{i}" for i, k in enumerate(("neuron", "conv", "norm"))}
    found |= in_a_row("stem/res", f"{stem}.shortcut", ("conv", "norm") if large else ("neuron", "conv", "norm"))
    for stage in range(1, config.stages):
        ours, theirs = f"down_{stage}", f"patch_embed{stage + 1}"
        found |= numbered(ours, theirs, 2) | in_a_row(f"{ours}/res", f"{theirs}.shortcut", ("conv", "norm"))
    product, proj = ("qkv_conv_bn", "proj_conv_bn") if large else ("qkv", "proj")
    for i, theirs in enumerate(blocks(read)):
        ours, mixer = f"block_{i}/attention", config.blocks[i]["mixer"].name
        if mixer == "ssa":
            found |= attention(ours, f"{theirs}.attn", "qkv", product, proj)
        elif mixer != "identity":
            found |= {f"{ours}/conv": f"{theirs}.dwconv", f"{ours}/conv_norm": f"{theirs}.bn"}
            found[f"{ours}/input_neuron"] = f"{theirs}.lif"
        found |= pair(f"block_{i}/mlp", theirs if mixer == "identity" else f"{theirs}.mlp", True)
    return {**found, "decoding/neuron": "head_lif", "head": "head"}


SPIKINGJELLY_MAX_FORMER = Family(
    name="spikingjelly_max_former",
    source=f"{SOURCE}.maxformer.MaxFormer",
    has="patch_embed2.shortcut.0, and patch_embed1.branch.1 and stage1.0.fc1 or patch_embed1.conv1 and stage1.0.dwconv",
    recognised=lambda names: (
        has("patch_embed2.shortcut.0", "patch_embed1.branch.1", "stage1.0.fc1")(names)
        or has("patch_embed2.shortcut.0", "patch_embed1.conv1", "stage1.0.dwconv")(names)
    ),
    config=_max_former,
    names=_max_former_names,
    options=(*OPTIONS, "cifar"),
    folded=lambda read, module: _large(read) and module.startswith("patch_embed"),
)
