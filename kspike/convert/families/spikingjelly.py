"""State dicts of SpikingJelly 2.0's own QKFormer, Max-Former and Spike-driven Transformer.

They are networks of their own: QKFormer and the Max-Former for large images have stems and downsamplings that their
official code has not, and what is one module there is another here. SpikingJelly is Apache-2.0; facts only are here.
"""

from __future__ import annotations

from typing import Any

from kspike.components import KINDS
from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, has, ratio
from kspike.convert.families.staged import blocks, check_last, depths
from kspike.convert.namings import NEURON_TENSOR

SOURCE = "SpikingJelly 2.0, spikingjelly.activation_based.model"
#: Arguments that every model there hands on to its neurons.
OF_NEURONS = ("tau", "v_threshold", "v_reset", "decay_input")
OPTIONS = ("num_heads", "embed_dims", "depths", *OF_NEURONS)
TRAINING = (
    "SpikingJelly lets gradients through the reset of most of its neurons (detach_reset=False is its default); here "
    "they are cut off: the same function, other gradients where training goes on."
)
FOLDED = "The bias of a convolution is taken into the mean of the normalisation behind it: the same function."


def neurons(read: Read) -> dict[str, Any]:
    """The neuron, and what was given for all of them; a class of one's own has no default of attention's there."""
    learned = any(name.endswith(f".{NEURON_TENSOR}") for name in read.tensors)
    found: dict[str, Any] = {"neuron": "plif", "v_threshold": {"attention": 1.0}} if learned else {}
    for name in ("tau", "v_threshold"):
        if read.options.get(name) is not None:
            found[name] = dict.fromkeys(KINDS, read.options[name])
    return found | {name: read.options[name] for name in ("v_reset", "decay_input") if name in read.options}


def staged(read: Read) -> dict[str, Any]:
    """What both staged networks say alike."""
    deep, names = depths(read), list(blocks(read))
    # a block of Max-Former that mixes nothing is its MLP
    wide = [read.shape(f"{b}.fc1" if f"{b}.fc1" in read else f"{b}.mlp.fc1")[:2] for b in names]
    widths = tuple(wide[sum(deep[:stage])][1] for stage in range(len(deep)))
    check_last(read, widths)
    read.told("embed_dims", widths[-1], "the last stage has")
    told = read.options.get("depths")
    read.told("depths", deep if isinstance(told, list) else tuple(deep), "the blocks are")
    return {
        "embed_dim": widths,
        "depth": tuple(deep),
        "mlp_ratio": tuple(ratio(h, w) for h, w in wide),
        "mlp": tuple("two_shortcuts" if h == w else "spiking" for h, w in wide),
        "qkv_bias": False,
        **neurons(read),
    }


def in_a_row(ours: str, theirs: str, kinds: tuple[str, ...] = ("conv", "norm", "neuron")) -> Names:
    """A `Sequential` of a product, its normalisation and its neuron, or what else stands in a row."""
    return {f"{ours}_{kind}": f"{theirs}.{i}" for i, kind in enumerate(kinds)}


def numbered(ours: str, theirs: str, count: int) -> Names:
    """conv1, bn1 and lif1, and so on -> conv_0, norm_0 and neuron_0."""
    kinds = {"conv": "conv", "norm": "bn", "neuron": "lif"}
    return {f"{ours}/{k}_{i}": f"{theirs}.{v}{i + 1}" for i in range(count) for k, v in kinds.items()}


def attention(ours: str, theirs: str, both: str, product: str, proj: str) -> Names:
    """An attention whose q, k and v are one product, as here."""
    return {
        f"{ours}/input_neuron": f"{theirs}.input_lif",
        f"{ours}/{both}": f"{theirs}.{product}.0",
        f"{ours}/{both}_norm": f"{theirs}.{product}.1",
        f"{ours}/{both}_neuron": f"{theirs}.{both}_lif",
        f"{ours}/attention_neuron": f"{theirs}.attn_lif",
        f"{ours}/proj": f"{theirs}.{proj}.0",
        f"{ours}/proj_norm": f"{theirs}.{proj}.1",
        f"{ours}/proj_neuron": f"{theirs}.proj_lif",
    }


def pair(ours: str, theirs: str, first: bool) -> Names:
    """fc1, bn1, lif1, fc2, bn2, lif2; `first`: whether a neuron stands before its product, or behind."""
    names = ("input_neuron", "fc1_neuron") if first else ("fc1_neuron", "fc2_neuron")
    found: Names = {f"{ours}/{name}": f"{theirs}.lif{i}" for i, name in enumerate(names, 1)}
    for i in (1, 2):
        found |= {f"{ours}/fc{i}": f"{theirs}.fc{i}", f"{ours}/fc{i}_norm": f"{theirs}.bn{i}"}
    return found


def _qkformer(read: Read) -> dict[str, Any]:
    kind = read.options.get("qka_type") or "token"
    if kind not in ("token", "channel"):
        raise ValueError(f"qka_type must be 'token' or 'channel', got {kind!r}.")
    heads = read.given("num_heads", "qkformer_10_384 has (6, 6, 6), QKFormer by default (3, 6, 6).")
    return staged(read) | {
        "stem": {"name": "peds", "large": True},
        "downsample": {"name": "peds", "pool_first": True},
        "mixer": tuple("ssa" if block.startswith("stage3.") else f"{kind}_qk" for block in blocks(read)),
        "mlp": "spiking",
        "num_heads": tuple(heads) if isinstance(heads, (list, tuple)) else heads,
        "proj_bias": False,
    }


def _qkformer_names(config: SpikformerConfig, read: Read) -> Names:
    found = numbered("stem", "patch_embed1", 3) | in_a_row("stem/res", "patch_embed1.shortcut")
    for stage in range(1, config.stages):
        ours, theirs = f"down_{stage}", f"patch_embed{stage + 1}"
        found |= numbered(ours, theirs, 2) | in_a_row(f"{ours}/res", f"{theirs}.shortcut")
    for i, theirs in enumerate(blocks(read)):
        both = "qkv" if config.mixer[i] == "ssa" else "qk"
        found |= attention(f"block_{i}/attention", f"{theirs}.attn", both, f"{both}_conv_bn", "proj_conv_bn")
        found |= pair(f"block_{i}/mlp", f"{theirs}.mlp", False)
    return {**found, "head": "head"}


SPIKINGJELLY_QKFORMER = Family(
    name="spikingjelly_qkformer",
    source=f"{SOURCE}.qkformer.QKFormer",
    has="patch_embed1.conv1 and stage1.0.attn.qk_conv_bn.0",
    recognised=has("patch_embed1.conv1", "stage1.0.attn.qk_conv_bn.0"),
    config=_qkformer,
    names=_qkformer_names,
    options=(*OPTIONS, "qka_type"),
    notes=(
        "The leak of QKFormer's official code between the images of a batch is not in SpikingJelly's: its state starts "
        "anew for every image, as here.",
        TRAINING,
        FOLDED,
    ),
    folded=lambda read, module: module.startswith("patch_embed"),
)
