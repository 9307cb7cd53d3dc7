"""State dicts of the Spike-driven Transformer, its first version."""

from __future__ import annotations

from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, beside, has, mlp, ratio


def _stem(i: int) -> dict[str, str]:
    return {part: f"patch_embed.proj_{part}{i or ''}" for part in ("conv", "bn", "lif")}


def pools(read: Read) -> tuple[bool, ...]:
    """Stages of the stem with a pool, by `pooling_stat`."""
    stat = str(read.given("pooling_stat", "The published ones are '0011' (CIFAR), '0111' (events), '1111' (ImageNet)."))
    if len(stat) != 4 or set(stat) - {"0", "1"}:
        raise ValueError(f"pooling_stat must be four of 0 and 1, as '0011', got {stat!r}.")
    return tuple(p == "1" for p in stat)


def _config(read: Read) -> dict[str, Any]:
    width, depth = read.outputs("patch_embed.proj_conv3"), read.count("block.")
    hidden = [read.outputs(f"block.{i}.mlp.fc1_conv") for i in range(depth)]
    equal = [h == width for h in hidden]
    events = bool(read.options.get("dvs_mode", False))
    learned = "block.0.attn.q_lif.w" in read.tensors
    # heads matter for its event form alone, whose pools go over the channels of a head
    heads = read.given("num_heads", "The published models have 8.") if events else 1
    talking = "block.0.attn.talking_heads"
    if talking in read:
        heads = read.told("num_heads", read.outputs(talking), "talking_heads, which never runs, is of")
    return {
        "residual": "membrane",
        "stem": {"name": "sdt", "pool": pools(read)},
        "embed_dim": read.told("embed_dims", width, "the last convolution of the stem has"),
        "depth": read.told("depths", depth, "the blocks are"),
        "num_heads": heads,
        "mixer": {"name": "sdsa1", "events": True} if events else "sdsa1",
        "mlp": tuple("two_shortcuts" if same else "spiking" for same in equal),
        "mlp_ratio": tuple(ratio(h, width) for h in hidden),
        "qkv_bias": read.biased("block.0.attn.q_conv"),
        "head": {"name": "neuron", "time_last": True},
        **(
            {"neuron": "plif"}
            if read.told("spike_mode", "plif" if learned else "lif", "tensors are of") == "plif"
            else {}
        ),
    }


def _names(config: SpikformerConfig, read: Read) -> Names:
    found: Names = {}
    for i in range(4):
        stem = _stem(i)
        found |= {f"stem/conv_{i}": stem["conv"], f"stem/norm_{i}": stem["bn"], f"stem/neuron_{i}": stem["lif"]}
    found |= {"stem/rpe_conv": "patch_embed.rpe_conv", "stem/rpe_norm": "patch_embed.rpe_bn"}
    for i in range(config.num_blocks):
        ours, theirs = f"block_{i}", f"block.{i}"
        found[f"{ours}/attention/input_neuron"] = f"{theirs}.attn.shortcut_lif"
        found |= beside(f"{theirs}.attn", f"{ours}/attention/qkv")
        found |= {
            f"{ours}/attention/attention_neuron": f"{theirs}.attn.talking_heads_lif",
            f"{ours}/attention/proj": f"{theirs}.attn.proj_conv",
            f"{ours}/attention/proj_norm": f"{theirs}.attn.proj_bn",
            **mlp(f"{ours}/mlp", f"{theirs}.mlp"),
        }
    return {**found, "decoding/neuron": "head_lif", "head": "head"}


SDT = Family(
    name="sdt",
    source="Spike-driven Transformer (Yao et al., 2023), github.com/BICLab/Spike-Driven-Transformer",
    has="patch_embed.proj_conv3, patch_embed.rpe_conv, block.0.attn.q_conv and block.0.mlp.fc1_conv",
    recognised=lambda tensors: (
        has("patch_embed.proj_conv3", "patch_embed.rpe_conv", "block.0.attn.q_conv", "block.0.mlp.fc1_conv")(tensors)
        and len(tensors["block.0.attn.q_conv.weight"].shape) == 4  # Spikformer's event code has these names, and three
    ),
    config=_config,
    names=_names,
    options=("pooling_stat", "dvs_mode", "num_heads", "embed_dims", "depths", "spike_mode"),
    never={
        r"block\.\d+\.attn\.talking_heads\.": "a convolution that the code builds and never runs",
        r"block\.\d+\.attn\.attn_lif\.": "a neuron that the code builds and never runs",
        r"patch_embed\.rpe_lif\.": "a neuron that the code builds and never runs",
    },
)
