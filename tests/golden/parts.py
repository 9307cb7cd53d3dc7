"""Reads the golden mixers into layers: which of our variables and neurons each golden name is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np

from kspike import layers
from tests.golden import networks
from tests.golden.networks import Entry

NAMES = ("part_qk_token", "part_max_qk_token_membrane", "part_max_dwc3", "part_max_identity")
_MIXER = {"part_max_qk_token_membrane": "token_qk", "part_max_dwc3": "dwconv3", "part_max_identity": "identity"}


def layer_of(name: str) -> keras.layers.Layer:
    """The golden part as one of our layers, built: a mixer, or a block with its MLP and shortcuts."""
    given = json.loads(str(networks.load(name)["config"]))
    common = {"num_heads": given.get("num_heads", 1), "qkv_bias": False}
    if name == "part_qk_token":
        layer = layers.Component("token_qk", **common)
    else:
        layer = layers.SpikformerBlock(
            mlp_ratio=given["mlp_ratio"], residual="membrane", mixer=_MIXER[name], **common
        )  # fmt: skip
    layer.build(tokens(networks.load(name)["x"]).shape)
    for variable, value in values(layer, name).values():
        variable.assign(value)
    return layer


def tokens(x: np.ndarray) -> np.ndarray:
    """(time, batch, channels, ..., height, width) or (time, batch, channels, ..., tokens) as we have it."""
    return np.ascontiguousarray(x.reshape(*x.shape[:3], -1).transpose(1, 0, 3, 2))


def _halves(layer: Any) -> tuple[Any, Any]:
    """(mixer, MLP): the latter None of a mixer alone."""
    return (layer.attention, layer.mlp) if isinstance(layer, layers.SpikformerBlock) else (layer, None)


def _dense(w: np.ndarray) -> np.ndarray:
    return w.reshape(w.shape[:2]).T


def _depthwise(w: np.ndarray) -> np.ndarray:
    return w.transpose(2, 3, 0, 1)


def _product(name: str, product: Any, norm: Any, part: int = 0, parts: int = 1) -> list[Entry]:
    depthwise = isinstance(product, keras.layers.DepthwiseConv2D)
    layout, weight = (_depthwise, f"{name}.weight") if depthwise else (_dense, f"{name}_conv.weight")
    found = [Entry(weight, product.kernel, layout, part, parts)]
    if product.use_bias:
        found.append(Entry(weight.replace("weight", "bias"), product.bias, networks._same, part, parts))
    return found + networks._norm(f"{name}_bn", norm, part, parts)


def entries(layer: Any) -> list[Entry]:
    """Every weight of the layer, by its golden name."""
    mixer, mlp = _halves(layer)
    before = "" if mlp is None else "attn."
    found: list[Entry] = []
    if "qk" in mixer.declared:
        for i, letter in enumerate("qk"):
            found += _product(f"{before}{letter}", mixer.part("qk"), mixer.part("qk_norm"), i, 2)
        found += _product(f"{before}proj", mixer.part("proj"), mixer.part("proj_norm"))
    if "conv" in mixer.declared:
        found += _product("mixer.conv", mixer.part("conv"), mixer.part("conv_norm"))
    for name in () if mlp is None else ("fc1", "fc2"):
        found += _product(f"mlp.{name}", mlp.part(name), mlp.part(f"{name}_norm"))
    return found


def values(layer: Any, name: str, keys: str = "w/") -> dict[str, tuple[Any, np.ndarray]]:
    """Golden name -> (variable, its golden value), the parts of one variable side by side under its last name.

    Every golden array is used once, and every variable has a value.
    """
    golden, table = networks.load(name), entries(layer)
    known = {key[len(keys) :] for key in golden if key.startswith(keys)}
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


def neurons(layer: Any) -> dict[str, tuple[Any, int, int]]:
    """Golden name -> (neuron layer, which part of its channels, of how many), in running order."""
    mixer, mlp = _halves(layer)
    before = "" if mlp is None else "attn."
    found: dict[str, tuple[Any, int, int]] = {}
    if "qk" in mixer.declared:
        if mlp is not None:  # named so, though it stands first
            found["attn.proj_lif"] = (mixer.part("input_neuron"), 0, 1)
        found |= {f"{before}{letter}_lif": (mixer.part("qk_neuron"), i, 2) for i, letter in enumerate("qk")}
        found[f"{before}attn_lif"] = (mixer.part("attention_neuron"), 0, 1)
        if mlp is None:
            found["proj_lif"] = (mixer.part("proj_neuron"), 0, 1)
    if "conv" in mixer.declared:
        found["mixer.conv_neuron"] = (mixer.part("input_neuron"), 0, 1)
    if mlp is not None:
        found |= {"mlp.fc1_lif": (mlp.part("input_neuron"), 0, 1), "mlp.fc2_lif": (mlp.part("fc1_neuron"), 0, 1)}
    return found


def spikes(name: str, neuron: str) -> np.ndarray:
    """The golden spikes of a neuron in inference mode, (batch, time, tokens, channels)."""
    shape = _described(name)[neuron]["shape"]
    flat = np.unpackbits(networks.load(name)[f"spikes/{neuron}"], count=int(np.prod(shape)))
    return tokens(flat.reshape(shape)).astype("float32")


def training_hash(name: str, neuron: str) -> str:
    """What `hash_of` gives for the golden spikes in training mode."""
    return _described(name)[neuron]["sha256_training"]


def hash_of(found: np.ndarray) -> str:
    """The first 16 hex digits of the SHA-256 of spikes (batch, time, tokens, channels), packed in the golden order."""
    packed = np.packbits(found.transpose(1, 0, 3, 2).astype("uint8").reshape(-1))
    return hashlib.sha256(packed.tobytes()).hexdigest()[:16]


def _described(name: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(str(networks.load(name)["meta"]))["neurons"]}
