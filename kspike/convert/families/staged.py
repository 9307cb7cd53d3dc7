"""State dicts of QKFormer, MS-QKFormer and Max-Former: stages of embeddings and blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, beside, has, mlp, ratio

#: Our parts of a stem or a downsampling -> official module; "{}" is conv, bn or lif.
_QK_STEM = {"0": "proj_{}", "1": "proj1_{}", "res": "proj_res_{}"}
_QK_STEM_EVENTS = {"0": "proj_{}", "1": "proj1_{}", "2": "proj2_{}", "3": "proj3_{}", "res": "proj_res_{}"}
_QK_DOWN = {"0": "proj3_{}", "1": "proj4_{}", "res": "proj_res_{}"}
_QK_DOWN_EVENTS = {**_QK_DOWN, "0": "proj_{}"}
_MAX_STEM = {"0": "proj_{}", "1": "embed1.embed_{}", "res": "embed2.embed_{}"}
_MAX_STEM_EVENTS = {
    "0": "proj_{}", **{str(i): f"max_embed{i}.embed_{{}}" for i in (1, 2, 3)}, "res": "embed1.embed_{}",
}  # fmt: skip
_MAX_DOWN = {"0": "max_embed1.embed_{}", "1": "embed1.embed_{}", "res": "max_embed2.embed_{}"}
_MS_DOWN = {"0": "embed1.embed_{}", "1": "max_embed1.embed_{}", "res": "embed2.embed_{}"}


def depths(read: Read) -> list[int]:
    """Blocks of every stage; a stage is its embedding or its blocks, so that one without the other is missed."""
    numbers = [int(m[1]) for name in read.tensors if (m := re.match(r"(?:stage|patch_embed)([1-9])\.", name))]
    return [read.count(f"stage{stage}.") for stage in range(1, max(numbers) + 1)]


def blocks(read: Read) -> Iterator[str]:
    """Official names of all blocks."""
    for stage, depth in enumerate(depths(read), 1):
        for i in range(depth):
            yield f"stage{stage}.{i}"


def check_last(read: Read, widths: Sequence[int]) -> None:
    """Refuses a head that takes other channels than the last stage has: the stage before it is not there."""
    taken = read.shape("head")[1]
    if taken != widths[-1]:
        raise ValueError(
            f"The head takes {taken} channels, the last stage there is, stage{len(widths)}, has {widths[-1]}: "
            f"stage{len(widths) + 1} is missing."
        )


def _convolution(read: Read, block: str) -> str | None:
    """A block's depth-wise convolution; that of 7x7 is named as the one of 5x5."""
    names = (f"{block}.mixer.conv{suffix}" for suffix in ("", "3", "5", "7"))
    return next((name for name in names if name in read), None)


def _attention(read: Read, block: str) -> str | None:
    names = (f"{block}.{name}" for name in ("attn", "tssa", "ssa"))
    return next((name for name in names if f"{name}.q_conv" in read), None)


def _mixer(read: Read, block: str, bare: bool) -> str:
    """What mixes a block's tokens; `bare`: whether it may be nothing.

    Raises:
        ValueError: it is nothing, and may not be.
    """
    if attention := _attention(read, block):
        return "ssa" if f"{attention}.v_conv" in read or attention.endswith(".ssa") else "token_qk"
    if convolution := _convolution(read, block):
        return f"dwconv{read.shape(convolution)[-1]}"
    if not bare:
        raise ValueError(f"The checkpoint lacks what mixes the tokens of {block}: no {block}.*.q_conv, no convolution.")
    return "identity"


def _mixers(read: Read, bare: bool) -> tuple[str, ...]:
    """Every block's; `bare`: whether the first stage may have none. A stage of the published codes has one kind."""
    found = {block: _mixer(read, block, bare and block.startswith("stage1.")) for block in blocks(read)}
    for block, mixer in found.items():
        first = f"{block.partition('.')[0]}.0"
        if mixer != found[first]:
            raise ValueError(
                f"{block} mixes its tokens by {mixer!r}, {first} by {found[first]!r}; the published code has one kind "
                "a stage: a part of a block is missing."
            )
    return tuple(found.values())


def _mlp(read: Read, block: str) -> tuple[int, int]:
    """Output and input channels of its first product."""
    product = "mlp1_conv" if any(".mlp.mlp1_conv." in name for name in read.tensors) else "fc1_conv"
    outputs, inputs = read.shape(f"{block}.mlp.{product}")[:2]
    return outputs, inputs


def _config_of(read: Read, stem: str, events: bool, residual: str, bare: bool = False) -> dict[str, Any]:
    deep, names = depths(read), list(blocks(read))
    firsts = [names[sum(deep[:s])] for s in range(len(deep))]
    widths = [_mlp(read, first)[1] for first in firsts]
    check_last(read, widths)
    first = next((a for b in names if (a := _attention(read, b))), None)
    wide = [_mlp(read, block) for block in names]
    # the code sets its heads itself, whatever is asked for: 8, and 16 for event frames
    heads = read.told("num_heads", 16 if events else 8, "the published code fixes heads at")
    read.told("depths", sum(deep), "the blocks are")
    return {
        "residual": residual,
        "stem": {"name": stem, "events": True} if events else stem,
        "embed_dim": tuple(widths),
        "depth": tuple(deep),
        "num_heads": heads,
        "mixer": _mixers(read, bare),
        "mlp": tuple("two_shortcuts" if residual == "membrane" and h == w else "spiking" for h, w in wide),
        "mlp_ratio": tuple(ratio(h, w) for h, w in wide),
        "qkv_bias": first is not None and read.biased(f"{first}.q_conv"),
        **({"head": "neuron"} if residual == "membrane" else {}),
    }


def _embedding(ours: str, theirs: str, modules: dict[str, str]) -> Names:
    found: Names = {}
    for part, module in modules.items():
        names = (
            ("res_conv", "res_norm", "res_neuron")
            if part == "res"
            else (f"conv_{part}", f"norm_{part}", f"neuron_{part}")
        )
        for name, kind in zip(names, ("conv", "bn", "lif"), strict=True):
            found[f"{ours}/{name}"] = f"{theirs}.{module.format(kind)}"
    return found


def _names_of(config: SpikformerConfig, read: Read, stem: dict[str, str], down: dict[str, str]) -> Names:
    found = _embedding("stem", "patch_embed1", stem)
    for stage in range(1, config.stages):
        found |= _embedding(f"down_{stage}", f"patch_embed{stage + 1}", down)
    first = config.residual == "membrane"
    for i, theirs in enumerate(blocks(read)):
        ours = f"block_{i}"
        attention = _attention(read, theirs)
        if attention:
            both = "qkv" if config.mixer[i] == "ssa" else "qk"
            found |= beside(attention, f"{ours}/attention/{both}", both)
            found |= {
                f"{ours}/attention/attention_neuron": f"{attention}.attn_lif",
                f"{ours}/attention/proj": f"{attention}.proj_conv",
                f"{ours}/attention/proj_norm": f"{attention}.proj_bn",
            }
            before = "x_lif" if both == "qkv" else "proj_lif"  # token QK's is named as the last one that it has not
            place = "input_neuron" if first else "proj_neuron"
            found[f"{ours}/attention/{place}"] = f"{attention}.{before if first else 'proj_lif'}"
        elif convolution := _convolution(read, theirs):
            found |= {
                f"{ours}/attention/conv": convolution,
                f"{ours}/attention/conv_norm": f"{theirs}.mixer.conv_bn",
                f"{ours}/attention/input_neuron": f"{convolution}_neuron",
            }
            if f"{theirs}.mixer.conv_bn" not in read:
                found[f"{ours}/attention/conv_norm"] = f"{convolution}_bn"
        if first:
            found |= mlp(f"{ours}/mlp", f"{theirs}.mlp")
        else:
            for ours_name, their_name in (("fc1", "mlp1"), ("fc2", "mlp2")):
                found |= {
                    f"{ours}/mlp/{ours_name}": f"{theirs}.mlp.{their_name}_conv",
                    f"{ours}/mlp/{ours_name}_norm": f"{theirs}.mlp.{their_name}_bn",
                    f"{ours}/mlp/{ours_name}_neuron": f"{theirs}.mlp.{their_name}_lif",
                }
    return {**found, **({"decoding/neuron": "head_lif"} if config.head != "mean" else {}), "head": "head"}


def _qk_events(read: Read) -> bool:
    return "patch_embed1.proj3_conv" in read


def _max_events(read: Read) -> bool:
    return "patch_embed1.max_embed3.embed_conv" in read


QKFORMER = Family(
    name="qkformer",
    source="QKFormer (Zhou et al., 2024), github.com/zhouchenlin2096/QKFormer",
    has="patch_embed1.proj_conv and stage1.0.tssa.q_conv",
    recognised=has("patch_embed1.proj_conv", "stage1.0.tssa.q_conv"),
    config=lambda read: _config_of(read, "peds", _qk_events(read), "add"),
    names=lambda config, read: _names_of(
        config,
        read,
        _QK_STEM_EVENTS if _qk_events(read) else _QK_STEM,
        _QK_DOWN_EVENTS if _qk_events(read) else _QK_DOWN,
    ),
    options=("num_heads", "embed_dims", "depths"),
    notes=(
        "The published code of QKFormer lets the last neuron of its attention with SSA run on from image to image of a "
        "batch, in training too: what it answers depends on the images beside. Here it starts anew for every image, so "
        "this network answers as that code does at batch size 1 (its issue 14: 74.2 % there, 78.7 % as published).",
    ),
)
MS_QKFORMER = Family(
    name="ms_qkformer",
    source="MS-QKFormer, of Max-Former (2025), github.com/bic-L/MaxFormer",
    has="patch_embed1.embed1.embed_conv and stage1.0.attn.q_conv",
    recognised=has("patch_embed1.proj_conv", "stage1.0.attn.q_conv"),
    config=lambda read: _config_of(read, "embed_max", _max_events(read), "membrane") | {"downsample": "embed_1max"},
    names=lambda config, read: _names_of(config, read, _MAX_STEM_EVENTS if _max_events(read) else _MAX_STEM, _MS_DOWN),
    options=("num_heads", "embed_dims", "depths"),
)
MAX_FORMER = Family(
    name="max_former",
    source="Max-Former (2025), github.com/bic-L/MaxFormer",
    has="patch_embed1.proj_conv and stage1.0.mlp.fc1_conv, and no attention in stage1",
    recognised=has(
        "patch_embed1.proj_conv", "stage1.0.mlp.fc1_conv", lacks=["stage1.0.attn.q_conv", "stage1.0.tssa.q_conv"]
    ),
    config=lambda read: _config_of(read, "embed_max", _max_events(read), "membrane", not _max_events(read)),
    names=lambda config, read: _names_of(config, read, _MAX_STEM_EVENTS if _max_events(read) else _MAX_STEM, _MAX_DOWN),
    options=("num_heads", "embed_dims", "depths"),
    never={r".*\.embed_lif\.": "a neuron that the code builds and never runs"},
)
