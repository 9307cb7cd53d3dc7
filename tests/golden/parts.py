"""Reads the golden parts into layers: which of our variables and neurons each golden name is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kspike import layers
from kspike.components import geometry
from tests.golden import networks, throwaway
from tests.golden.networks import Entry


@dataclasses.dataclass(frozen=True)
class Golden:
    """How a golden part is one of our layers.

    Args:
        make: the golden config -> our layer.
        products: golden name of a product -> ours; the normalisation behind it is found beside both.
        neurons: golden name -> ours, in running order.
        unused: golden weights of what never runs.
        role: "stem" or "downsample", which work on images; "" of what works on tokens.
        exact: golden name of a product or a normalisation -> ours, where the two are named each by itself.
    """

    make: Callable[[dict[str, Any]], Any]
    products: Mapping[str, str]
    neurons: Mapping[str, str]
    unused: tuple[str, ...] = ()
    role: str = ""
    exact: Mapping[str, str] = dataclasses.field(default_factory=dict)


class _Added(layers.Component):
    """A mixer with its shortcut, as some golden parts have it."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return inputs + super().call(inputs, training=training)


def _mixer(name: str, **settings: Any) -> Callable[[dict[str, Any]], Any]:
    def make(given: dict[str, Any]) -> Any:
        neuron = given.get("spike_mode", "lif")
        made = _Added if settings else layers.Component
        said = {"name": name, "events": True} if given.get("dvs") else name
        return made(said, num_heads=given["num_heads"], qkv_bias=False, neuron=neuron, **settings)

    return make


def _block(mixer: str) -> Callable[[dict[str, Any]], Any]:
    return lambda given: layers.SpikformerBlock(
        given.get("num_heads", 1), given["mlp_ratio"], mixer=mixer, qkv_bias=False, residual="membrane"
    )


def _images(role: str, name: str, residual: str = "membrane", **settings: Any) -> dict[str, Any]:
    """`make` and `role` of a stem or a downsampling."""
    said = {"name": name, **settings}
    make = lambda given: layers.Component(said, role=role, embed_dim=given["embed_dims"], residual=residual)
    return {"make": make, "role": role}


def _letters(letters: str, ours: str, before: str = "", where: str = "") -> dict[str, str]:
    """q, k and v are parts of one product, of one normalisation, of one neuron."""
    return {f"{before}{c}": f"{where}{ours}:{i}/{len(letters)}" for i, c in enumerate(letters)}


def _of_neurons(found: Mapping[str, str]) -> dict[str, str]:
    return {f"{golden}_lif": ours.replace(":", "_neuron:") for golden, ours in found.items()}


_MLP = {"mlp.fc1": "mlp/fc1", "mlp.fc2": "mlp/fc2"}
_MLP_NEURONS = {"mlp.fc1_lif": "mlp/input_neuron", "mlp.fc2_lif": "mlp/fc1_neuron"}
_IN_BLOCK = {"before": "attn.", "where": "attention/"}
_QK, _QKV = _letters("qk", "qk"), _letters("qkv", "qkv")
_BLOCK_QK, _BLOCK_QKV = _letters("qk", "qk", **_IN_BLOCK), _letters("qkv", "qkv", **_IN_BLOCK)
_PROJ, _BLOCK_PROJ = {"proj": "proj"}, {"attn.proj": "attention/proj"}
_CONV, _CONV_NEURON = {"mixer.conv": "attention/conv"}, {"mixer.conv_neuron": "attention/input_neuron"}
_SDSA = {"shortcut_lif": "input_neuron", **_of_neurons(_QKV), "talking_heads_lif": "attention_neuron"}
_DWC = {"products": {**_CONV, **_MLP}, "neurons": {**_CONV_NEURON, **_MLP_NEURONS}}

PARTS = {
    "part_qk_token": Golden(
        _mixer("token_qk"),
        {**_QK, **_PROJ},
        {**_of_neurons(_QK), "attn_lif": "attention_neuron", "proj_lif": "proj_neuron"},
    ),
    "part_qk_channel": Golden(
        _mixer("channel_qk"),
        {**_QK, **_PROJ},
        {**_of_neurons(_QK), "attn_lif": "attention_neuron", "proj_lif": "proj_neuron"},
    ),
    "part_qk_ssa_split": Golden(
        _mixer("ssa"),
        {**_QKV, **_PROJ},
        {**_of_neurons(_QKV), "attn_lif": "attention_neuron", "proj_lif": "proj_neuron"},
    ),
    "part_max_qk_token_membrane": Golden(
        _block("token_qk"),
        {**_BLOCK_QK, **_BLOCK_PROJ, **_MLP},
        {
            "attn.proj_lif": "attention/input_neuron",  # named so, though it stands first
            **_of_neurons(_BLOCK_QK),
            "attn.attn_lif": "attention/attention_neuron",
            **_MLP_NEURONS,
        },
    ),
    "part_max_ssa": Golden(
        _block("ssa"),
        {**_BLOCK_QKV, **_BLOCK_PROJ, **_MLP},
        {
            "attn.x_lif": "attention/input_neuron",
            **_of_neurons(_BLOCK_QKV),
            "attn.attn_lif": "attention/attention_neuron",
            **_MLP_NEURONS,
        },
    ),
    "part_sf_block": Golden(
        _block("ssa"),
        {**_BLOCK_QKV, **_BLOCK_PROJ, "mlp.mlp1": "mlp/fc1", "mlp.mlp2": "mlp/fc2"},
        {
            "attn.proj_lif": "attention/input_neuron",
            **_of_neurons(_BLOCK_QKV),
            "attn.attn_lif": "attention/attention_neuron",
            "mlp.mlp1_lif": "mlp/input_neuron",
            "mlp.mlp2_lif": "mlp/fc1_neuron",
        },
        unused=("norm1.", "norm2."),
    ),
    "part_max_dwc3": Golden(_block("dwconv3"), **_DWC),
    "part_max_dwc5": Golden(_block("dwconv5"), **_DWC),
    "part_max_dwc7": Golden(  # whose convolution its code names as that of dwc5
        _block("dwconv7"),
        {"mixer.conv5": "attention/conv", **_MLP},
        {"mixer.conv5_neuron": "attention/input_neuron", **_MLP_NEURONS},
    ),
    "part_max_identity": Golden(_block("identity"), _MLP, _MLP_NEURONS),
    "part_max_pool_mixer": Golden(_block("max_pool"), _MLP, _MLP_NEURONS),
    "part_sdsa1": Golden(_mixer("sdsa1", residual="membrane"), {**_QKV, **_PROJ}, _SDSA, unused=("talking_heads.",)),
    "part_sdsa1_plif": Golden(
        _mixer("sdsa1", residual="membrane"), {**_QKV, **_PROJ}, _SDSA, unused=("talking_heads.", "attn_lif.")
    ),
    "part_sdsa1_events": Golden(
        _mixer("sdsa1", residual="membrane"), {**_QKV, **_PROJ}, _SDSA, unused=("talking_heads.",)
    ),
    "part_sdt_block": Golden(
        _block("sdsa1"),
        {**_BLOCK_QKV, **_BLOCK_PROJ, **_MLP},
        {
            "attn.shortcut_lif": "attention/input_neuron",
            **_of_neurons(_BLOCK_QKV),
            "attn.talking_heads_lif": "attention/attention_neuron",
            **_MLP_NEURONS,
        },
        unused=("attn.talking_heads.",),
    ),
    "part_sdt_mlp_equal": Golden(
        lambda given: layers.Component("two_shortcuts", role="mlp", residual="membrane"),
        {"fc1": "fc1", "fc2": "fc2"},
        {"fc1_lif": "input_neuron", "fc2_lif": "fc1_neuron"},
    ),
    "part_sdt_sps": Golden(
        **_images("stem", "sdt"),
        products={"proj": "conv_0", "proj1": "conv_1", "proj2": "conv_2", "proj3": "conv_3", "rpe": "rpe_conv"},
        neurons={"proj_lif": "neuron_0", "proj_lif1": "neuron_1", "proj_lif2": "neuron_2", "proj_lif3": "neuron_3"},
    ),
    "part_sf_tokenizer": Golden(
        **_images("stem", "spikingformer"),
        products={f"block{i}": f"conv_{i}" for i in range(5)},
        neurons={f"block{i}_lif": f"neuron_{i}" for i in range(1, 5)},
    ),
    "part_qk_embed_init": Golden(
        **_images("stem", "peds", "add"),
        products={"proj": "conv_0", "proj1": "conv_1", "proj_res": "res_conv"},
        neurons={"proj_lif": "neuron_0", "proj1_lif": "neuron_1", "proj_res_lif": "res_neuron"},
    ),
    "part_qk_embed_init_events": Golden(
        **_images("stem", "peds", "add", events=True),
        products={
            "proj": "conv_0",
            "proj1": "conv_1",
            "proj2": "conv_2",
            "proj3": "conv_3",
            "proj_res": "res_conv",
        },
        neurons={
            "proj_lif": "neuron_0",
            "proj1_lif": "neuron_1",
            "proj2_lif": "neuron_2",
            "proj3_lif": "neuron_3",
            "proj_res_lif": "res_neuron",
        },
    ),
    "part_qk_embed_stage": Golden(
        **_images("downsample", "peds", "add"),
        products={"proj3": "conv_0", "proj4": "conv_1", "proj_res": "res_conv"},
        neurons={"proj3_lif": "neuron_0", "proj4_lif": "neuron_1", "proj_res_lif": "res_neuron"},
    ),
    "part_max_embed_orig": Golden(
        **_images("stem", "embed_max"),
        products={"proj": "conv_0", "embed1.embed": "conv_1", "embed2.embed": "res_conv"},
        neurons={"embed1.embed_lif": "neuron_1", "embed2.embed_lif": "res_neuron"},
    ),
    "part_max_embed_plus_events": Golden(
        **_images("stem", "embed_max", events=True),
        products={
            "proj": "conv_0",
            **{f"max_embed{i}.embed": f"conv_{i}" for i in (1, 2, 3)},
            "embed1.embed": "res_conv",
        },
        neurons={f"max_embed{i}.embed_lif": f"neuron_{i}" for i in (1, 2, 3)},
    ),
    "part_max_embed_max": Golden(
        **_images("downsample", "embed_max"),
        products={"max_embed1.embed": "conv_0", "embed1.embed": "conv_1", "max_embed2.embed": "res_conv"},
        neurons={"max_embed1.embed_lif": "neuron_0", "embed1.embed_lif": "neuron_1"},
    ),
    "part_max_embed_1max": Golden(
        **_images("downsample", "embed_1max"),
        products={"embed1.embed": "conv_0", "max_embed1.embed": "conv_1", "embed2.embed": "res_conv"},
        neurons={"embed1.embed_lif": "neuron_0", "max_embed1.embed_lif": "neuron_1"},
    ),
    "part_v2_downsample": Golden(
        **_images("downsample", "strided"), products={"encode": "conv"}, neurons={"encode_lif": "neuron"}
    ),
}


def _repconv(golden: str, ours: str) -> dict[str, str]:
    return {
        f"{golden}.body.0": f"{ours}_in",
        f"{golden}.body.1.bn": f"{ours}_border",
        f"{golden}.body.2.0": f"{ours}_dw",
        f"{golden}.body.2.1": f"{ours}_out",
        f"{golden}.body.2.2": f"{ours}_inner_norm",
    }


#: Levels of the golden integer neurons.
LEVELS = 4
_V3 = {"residual": "membrane", "neuron": "integer"}
PARTS |= {
    "part_repconv": Golden(
        lambda given: throwaway.layer(),
        {},
        {},
        exact={golden.removeprefix("."): ours for golden, ours in _repconv("", "own").items()},
    ),
    "part_sdsa3": Golden(
        lambda given: layers.Component("sdsa3", num_heads=given["num_heads"], residual="membrane"),
        {},
        {"head_lif": "input_neuron", **{f"{c}_lif": f"{c}_neuron" for c in "qkv"}, "attn_lif": "attention_neuron"},
        exact={
            golden: ours
            for name in ("q", "k", "v", "proj")
            for golden, ours in {**_repconv(f"{name}_conv.0", name), f"{name}_conv.1": f"{name}_norm"}.items()
        },
    ),
    "part_v2_sepconv": Golden(
        lambda given: layers.Component("sepconv", residual="membrane"),
        {},
        {"lif1": "input_neuron", "lif2": "pw1_neuron"},
        exact={"pwconv1": "pw1", "bn1": "pw1_norm", "dwconv": "dw", "pwconv2": "pw2", "bn2": "pw2_norm"},
    ),
    "part_v2_convblock": Golden(
        lambda given: layers.SpikformerBlock(1, given["mlp_ratio"], mixer="sepconv", mlp="conv", residual="membrane"),
        {},
        {
            "Conv.lif1": "attention/input_neuron",
            "Conv.lif2": "attention/pw1_neuron",
            "lif1": "mlp/input_neuron",
            "lif2": "mlp/conv1_neuron",
        },
        exact={
            **{f"Conv.pwconv{i}": f"attention/pw{i}" for i in (1, 2)},
            **{f"Conv.bn{i}": f"attention/pw{i}_norm" for i in (1, 2)},
            "Conv.dwconv": "attention/dw",
            **{f"conv{i}": f"mlp/conv{i}" for i in (1, 2)},
            **{f"bn{i}": f"mlp/conv{i}_norm" for i in (1, 2)},
        },
    ),
    "part_v3_attention": Golden(
        lambda given: layers.Component(
            {"name": "v3_attention", "expansion": given["lamda_ratio"]}, num_heads=given["num_heads"], **_V3
        ),
        {},
        {
            "head_spike": "input_neuron",
            "q_spike": "query_key_neuron:0/2",
            "k_spike": "query_key_neuron:1/2",
            "v_spike": "value_neuron",
            "attn_spike": "attention_neuron",
        },
        exact={
            f"{golden}_conv.{i}": re.sub(r"^\w+", rf"\g<0>{'_norm' * i}", ours)
            for golden, ours in {"q": "query_key:0/2", "k": "query_key:1/2", "v": "value", "proj": "proj"}.items()
            for i in (0, 1)
        },
    ),
    "part_v3_sepconv": Golden(
        lambda given: layers.Component({"name": "sepconv_spike", "kernel": given["kernel_size"]}, **_V3),
        {},
        {"spike1": "input_neuron", "spike2": "pw1_neuron", "spike3": "dw_neuron"},
        exact={
            f"{golden}.{i}": f"{ours}{'_norm' * i}"
            for golden, ours in (("pwconv1", "pw1"), ("dwconv", "dw"), ("pwconv2", "pw2"))
            for i in (0, 1)
        },
    ),
}
NAMES = tuple(PARTS)


def layer_of(name: str) -> keras.layers.Layer:
    """The golden part as one of our layers, built and filled: a component, or a block with its shortcuts."""
    layer = PARTS[name].make(json.loads(str(networks.load(name)["config"])))
    layer.build(inputs(name).shape)
    for variable, value in values(layer, name).values():
        variable.assign(value)
    return layer


def inputs(name: str, key: str = "x") -> np.ndarray:
    """A golden array of the shape of the input, as we have it."""
    x = networks.load(name)[key]
    return np.ascontiguousarray(x.transpose(1, 0, 3, 4, 2)) if PARTS[name].role == "stem" else outputs(name, key)


def outputs(name: str, key: str) -> np.ndarray:
    """A golden array of the shape of the output, as we have it.

    Spike-driven Transformer V3 and RepConv have no time: (batch, channels, height, width).
    """
    x = networks.load(name)[key]
    return tokens(x[None] if x.ndim == 4 else x)


def tokens(x: np.ndarray) -> np.ndarray:
    """(time, batch, channels, ..., height, width) or (time, batch, channels, ..., tokens) as we have it."""
    return np.ascontiguousarray(x.reshape(*x.shape[:3], -1).transpose(1, 0, 3, 2))


def _part(layer: Any, path: str) -> Any:
    """Our layer behind a path: "attention/proj" of a block, "proj" of a component."""
    where, _, name = path.rpartition("/")
    return (getattr(layer, where) if where else layer).part(name)


def _split(ours: str) -> tuple[str, int, int]:
    """(path, which part of it, of how many): "qkv:1/3" is ("qkv", 1, 3)."""
    path, _, share = ours.partition(":")
    part, _, of = share.partition("/")
    return path, int(part or 0), int(of or 1)


def _norm_path(product: str, layer: Any) -> str:
    where, slash, name = product.rpartition("/")
    declared = (getattr(layer, where) if where else layer).declared
    names = (name.replace("conv", "norm"), f"{name.removesuffix('_conv')}_norm", f"{name}_norm")
    return f"{where}{slash}{next(each for each in names if each != name and each in declared)}"


def _depthwise(w: np.ndarray) -> np.ndarray:
    return w.transpose(2, 3, 0, 1)


def _dense(w: np.ndarray) -> np.ndarray:
    return w.reshape(w.shape[:2]).T


def _product(golden: str, ours: str, layer: Any, known: set[str]) -> list[Entry]:
    path, part, of = _split(ours)
    product, norm = _part(layer, path), _part(layer, _norm_path(path, layer))
    layout: Callable = _dense
    if isinstance(product, keras.layers.DepthwiseConv2D):
        layout = _depthwise
    elif isinstance(product, keras.layers.Conv2D):
        layout = networks._conv
    stem, number = golden.rstrip("0123456789"), golden[len(golden.rstrip("0123456789")) :]
    names = (f"{golden}_conv", golden, f"{stem}_conv{number}")
    name = next(each for each in names if f"{each}.weight" in known)
    norms = (f"{golden}_bn", f"{stem}_bn{number}")
    norm_name = next(each for each in norms if f"{each}.weight" in known)
    found = [Entry(f"{name}.weight", product.kernel, layout, part, of)]
    if product.use_bias:
        found.append(Entry(f"{name}.bias", product.bias, networks._same, part, of))
    return found + networks._norm(norm_name, norm, part, of)


def _exact(golden: str, path: str, layer: Any) -> list[Entry]:
    path, part, of = _split(path)
    ours = _part(layer, path)
    if hasattr(ours, "gamma"):
        return networks._norm(golden, ours, part, of)
    layout: Callable = _dense
    if isinstance(ours, keras.layers.DepthwiseConv2D):
        layout = _depthwise
    elif isinstance(ours, keras.layers.Conv2D):
        layout = networks._conv
    found = [Entry(f"{golden}.weight", ours.kernel, layout, part, of)]
    return [*found, Entry(f"{golden}.bias", ours.bias, networks._same, part, of)] if ours.use_bias else found


def entries(layer: Any, name: str) -> list[Entry]:
    """Every weight of the layer, by its golden name."""
    golden, spec = networks.load(name), PARTS[name]
    known = {key[2:] for key in golden if key.startswith("w/")}
    found = [entry for g, ours in spec.products.items() for entry in _product(g, ours, layer, known)]
    found += [entry for g, ours in spec.exact.items() for entry in _exact(g, ours, layer)]
    for g, ours in spec.neurons.items():
        if f"{g}.w" in known:
            path, part, of = _split(ours)
            found.append(Entry(f"{g}.w", _part(layer, path).w, lambda w: w.reshape(1), part, of))
    return found


def values(layer: Any, name: str, keys: str = "w/") -> dict[str, tuple[Any, np.ndarray]]:
    """Golden name -> (variable, its golden value), the parts of one variable side by side under its last name.

    Every golden array is used once, and every variable has a value.
    """
    golden, table = networks.load(name), entries(layer, name)
    known = {key[len(keys) :] for key in golden if key.startswith(keys)}
    known = {key for key in known if not key.startswith(PARTS[name].unused)}
    table = [entry for entry in table if entry.name in known]
    assert sorted(entry.name for entry in table) == sorted(known)
    by_variable: dict[int, list[Entry]] = {}
    for entry in table:
        by_variable.setdefault(id(entry.variable), []).append(entry)
    if keys == "w/":
        assert set(by_variable) == {id(v) for v in layer.variables if v.dtype == "float32"}
    found = {}
    for same in by_variable.values():
        assert [entry.part for entry in same] == list(range(same[0].parts))
        value = np.concatenate([entry.layout(golden[keys + entry.name]) for entry in same], axis=-1)
        found[same[-1].name] = (same[0].variable, value)
    return found


def neurons(layer: Any, name: str) -> dict[str, tuple[Any, int, int]]:
    """Golden name -> (neuron layer, which part of its channels, of how many), in running order."""
    split = {golden: _split(ours) for golden, ours in PARTS[name].neurons.items()}
    return {golden: (_part(layer, path), part, of) for golden, (path, part, of) in split.items()}


def count(layer: Any, name: str, golden: str) -> int:
    """Numbers of a channel over which a normalisation averages: time x batch x tokens, or pixels where it stands."""
    x = inputs(name)
    if not PARTS[name].role:
        return int(np.prod(x.shape[:3]))
    where = geometry.grids(layer.declared, networks.load(name)["x"].shape[-2:])
    variable = next(entry.variable for entry in entries(layer, name) if entry.name == golden)
    norm = next(
        n
        for n in layer.declared
        if n.endswith("norm") or n.startswith("norm")
        if variable is not None and any(v is variable for v in layer.part(n).variables)
    )
    return int(np.prod(x.shape[:2]) * np.prod(where[norm][1]))


def spikes(name: str, neuron: str) -> np.ndarray:
    """The golden spikes of a neuron in inference mode, (batch, time, tokens, channels)."""
    shape = _described(name)[neuron]["shape"]
    if _of_levels(name):
        return tokens(networks.load(name)[f"spikes/{neuron}"][None]).astype("float32") / LEVELS
    flat = np.unpackbits(networks.load(name)[f"spikes/{neuron}"], count=int(np.prod(shape)))
    time, batch = networks.load(name)["x"].shape[:2]
    if "talking_heads" in neuron:  # (time, batch, heads, 1, channels of a head)
        shape = (time, batch, shape[2] * shape[4], 1)
    flat = flat.reshape((time, batch, *shape[-2:]) if len(shape) == 3 else shape)
    maps = bool(PARTS[name].role) and len(shape) == 5
    return (flat.transpose(1, 0, 3, 4, 2) if maps else tokens(flat)).astype("float32")


def training_hash(name: str, neuron: str) -> str:
    """What `hash_of` gives for the golden spikes in training mode."""
    return _described(name)[neuron]["sha256_training"]


def hash_of(name: str, found: np.ndarray) -> str:
    """The first 16 hex digits of the SHA-256 of spikes (batch, time, tokens, channels), stored as the golden ones."""
    axes = (1, 0, 4, 2, 3) if found.ndim == 5 else (1, 0, 3, 2)
    if _of_levels(name):
        return hashlib.sha256((found * LEVELS).transpose(axes).astype("uint8").tobytes()).hexdigest()[:16]
    packed = np.packbits(found.transpose(axes).astype("uint8").reshape(-1))
    return hashlib.sha256(packed.tobytes()).hexdigest()[:16]


def _of_levels(name: str) -> bool:
    """Whether its neurons are integer ones, whose levels are stored as they are."""
    return name.startswith("part_v3_")


def _described(name: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(str(networks.load(name)["meta"]))["neurons"]}
