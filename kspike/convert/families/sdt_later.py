"""State dicts of the Spike-driven Transformer V2 (Meta-SpikeFormer) and V3 (E-SpikeFormer)."""

from __future__ import annotations

from typing import Any

from kspike.config import SpikformerConfig
from kspike.convert.families.family import Family, Names, Read, has, mlp, ratio

#: Stage -> official names of its blocks, "{}" for the number; and of the downsampling before it.
BLOCKS = (
    ("ConvBlock1_1.{}",),
    ("ConvBlock1_2.{}",),
    ("ConvBlock2_1.{}", "ConvBlock2_2.{}"),
    ("block3.{}",),
    ("block4.{}",),
)
DOWNS = ("downsample1_2", "downsample2", "downsample3", "downsample4")
#: How many of them are convolutions throughout.
CONVOLUTIONS = 3
LEVELS = 4


def _blocks(read: Read) -> list[list[str]]:
    """Official names of the blocks of every stage."""
    return [[name.format(i) for name in names for i in range(read.count(name.removesuffix("{}")))] for names in BLOCKS]


def _common(read: Read) -> dict[str, Any]:
    blocks = _blocks(read)
    widths = [read.outputs("downsample1_1.encode_conv"), *(read.outputs(f"{down}.encode_conv") for down in DOWNS)]
    hidden: list[float] = []
    for stage, names in enumerate(blocks):
        first = "conv1" if stage < CONVOLUTIONS else "mlp.fc1_conv"
        hidden += [ratio(read.outputs(f"{name}.{first}"), widths[stage]) for name in names]
    read.told("depths", len(blocks[3]) + len(blocks[4]), "the blocks with attention are")
    return {
        "residual": "membrane",
        "stem": "strided",
        # the last of them keeps the size of the map
        "downsample": ("strided", "strided", "strided", {"name": "strided", "stride": 1}),
        "embed_dim": tuple(widths),
        "depth": tuple(map(len, blocks)),
        "num_heads": read.given("num_heads", "The published models have 8."),
        "mlp_ratio": tuple(hidden),
        "mlp": ("conv",) * CONVOLUTIONS + ("spiking",) * (len(BLOCKS) - CONVOLUTIONS),
    }


def _kernel(read: Read, name: str) -> int:
    return read.shape(name)[-1]


def _v2(read: Read) -> dict[str, Any]:
    kernel = _kernel(read, "ConvBlock1_1.0.Conv.dwconv")
    sepconv = "sepconv" if kernel == 7 else {"name": "sepconv", "kernel": kernel}
    return {
        **_common(read),
        "mixer": (sepconv,) * CONVOLUTIONS + ("sdsa3",) * 2,
        "head": {"name": "neuron", "time_last": True},
    }


def _v3(read: Read) -> dict[str, Any]:
    blocks = _blocks(read)
    first = blocks[3][0]
    wide = read.outputs(f"{first}.attn.v_conv.0") // read.outputs(f"{first}.attn.q_conv.0")
    of_kernel = lambda kernel: {"name": "sepconv_spike", "kernel": kernel}
    return {
        **_common(read),
        "neuron": {"name": "integer", "levels": LEVELS},
        "local": ("identity",) * CONVOLUTIONS + (of_kernel(_kernel(read, f"{first}.conv.dwconv.0")),) * 2,
        "mixer": (of_kernel(_kernel(read, "ConvBlock1_1.0.Conv.dwconv.0")),) * CONVOLUTIONS
        + ({"name": "v3_attention", "expansion": wide},) * 2,
        "head": {"name": "neuron", "time_last": True, "times": LEVELS},
    }


def _embedding(neuron: str) -> Names:
    found: Names = {"stem/conv": "downsample1_1.encode_conv", "stem/norm": "downsample1_1.encode_bn"}
    for stage, down in enumerate(DOWNS, 1):
        found |= {
            f"down_{stage}/neuron": f"{down}.encode_{neuron}",
            f"down_{stage}/conv": f"{down}.encode_conv",
            f"down_{stage}/norm": f"{down}.encode_bn",
        }
    return found


def _mlp(ours: str, theirs: str, neuron: str, convolution: bool) -> Names:
    if convolution:
        return {
            f"{ours}/input_neuron": f"{theirs}.{neuron}1",
            f"{ours}/conv1": f"{theirs}.conv1",
            f"{ours}/conv1_norm": f"{theirs}.bn1",
            f"{ours}/conv1_neuron": f"{theirs}.{neuron}2",
            f"{ours}/conv2": f"{theirs}.conv2",
            f"{ours}/conv2_norm": f"{theirs}.bn2",
        }
    return mlp(ours, f"{theirs}.mlp", neuron=neuron)


def _repconv(ours: str, theirs: str) -> Names:
    body = f"{theirs}.0.body"
    return {
        f"{ours}_in": f"{body}.0",
        f"{ours}_border": f"{body}.1.bn",
        f"{ours}_dw": f"{body}.2.0",
        f"{ours}_out": f"{body}.2.1",
        f"{ours}_inner_norm": f"{body}.2.2",
        f"{ours}_norm": f"{theirs}.1",
    }


def _v2_names(config: SpikformerConfig, read: Read) -> Names:
    found = _embedding("lif")
    for i, theirs in enumerate(name for names in _blocks(read) for name in names):
        ours, convolution = f"block_{i}/attention", config.stage(i) < CONVOLUTIONS
        if convolution:
            found |= {
                f"{ours}/input_neuron": f"{theirs}.Conv.lif1",
                f"{ours}/pw1": f"{theirs}.Conv.pwconv1",
                f"{ours}/pw1_norm": f"{theirs}.Conv.bn1",
                f"{ours}/pw1_neuron": f"{theirs}.Conv.lif2",
                f"{ours}/dw": f"{theirs}.Conv.dwconv",
                f"{ours}/pw2": f"{theirs}.Conv.pwconv2",
                f"{ours}/pw2_norm": f"{theirs}.Conv.bn2",
            }
        else:
            found[f"{ours}/input_neuron"] = f"{theirs}.attn.head_lif"
            for name in "qkv":
                found |= _repconv(f"{ours}/{name}", f"{theirs}.attn.{name}_conv")
                found[f"{ours}/{name}_neuron"] = f"{theirs}.attn.{name}_lif"
            found[f"{ours}/attention_neuron"] = f"{theirs}.attn.attn_lif"
            found |= _repconv(f"{ours}/proj", f"{theirs}.attn.proj_conv")
        found |= _mlp(f"block_{i}/mlp", theirs, "lif", convolution)
    return {**found, "decoding/neuron": "lif", "head": "head"}


def _separable(ours: str, theirs: str) -> Names:
    found: Names = {f"{ours}/input_neuron": f"{theirs}.spike1"}
    for part, module in (("pw1", "pwconv1"), ("dw", "dwconv"), ("pw2", "pwconv2")):
        found |= {f"{ours}/{part}": f"{theirs}.{module}.0", f"{ours}/{part}_norm": f"{theirs}.{module}.1"}
    return {**found, f"{ours}/pw1_neuron": f"{theirs}.spike2", f"{ours}/dw_neuron": f"{theirs}.spike3"}


def _v3_names(config: SpikformerConfig, read: Read) -> Names:
    found = _embedding("spike")
    for i, theirs in enumerate(name for names in _blocks(read) for name in names):
        ours, convolution = f"block_{i}/attention", config.stage(i) < CONVOLUTIONS
        if convolution:
            found |= _separable(ours, f"{theirs}.Conv")
        else:
            attention = f"{theirs}.attn"
            found |= _separable(f"block_{i}/local", f"{theirs}.conv")
            found |= {
                f"{ours}/input_neuron": f"{attention}.head_spike",
                f"{ours}/query_key": (f"{attention}.q_conv.0", f"{attention}.k_conv.0"),
                f"{ours}/query_key_norm": (f"{attention}.q_conv.1", f"{attention}.k_conv.1"),
                f"{ours}/query_key_neuron": (f"{attention}.q_spike", f"{attention}.k_spike"),
                f"{ours}/value": f"{attention}.v_conv.0",
                f"{ours}/value_norm": f"{attention}.v_conv.1",
                f"{ours}/value_neuron": f"{attention}.v_spike",
                f"{ours}/attention_neuron": f"{attention}.attn_spike",
                f"{ours}/proj": f"{attention}.proj_conv.0",
                f"{ours}/proj_norm": f"{attention}.proj_conv.1",
            }
        found |= _mlp(f"block_{i}/mlp", theirs, "spike", convolution)
    return {**found, "decoding/neuron": "spike", "head": "head"}


SDT_V2 = Family(
    name="sdt_v2",
    source="Spike-driven Transformer V2 (Yao et al., 2024), github.com/BICLab/Spike-Driven-Transformer-V2",
    has="downsample1_1.encode_conv and block3.0.attn.q_conv.0.body.0",
    recognised=has("downsample1_1.encode_conv", "block3.0.attn.q_conv.0.body.0"),
    config=_v2,
    names=_v2_names,
    options=("num_heads", "embed_dim", "depths", "kd"),
)
SDT_V3 = Family(
    name="sdt_v3",
    source="Spike-driven Transformer V3 (Yao et al., 2025), github.com/BICLab/Spike-Driven-Transformer-V3",
    has="downsample1_1.encode_conv and block3.0.conv.pwconv1.0",
    recognised=has("downsample1_1.encode_conv", "block3.0.conv.pwconv1.0"),
    config=_v3,
    names=_v3_names,
    options=("num_heads", "embed_dim", "depths"),
)
