"""Reads the golden networks into Spikformers: which of our variables and neurons each golden name is."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike import Spikformer, SpikformerConfig

NAMES = ("spikformer_small", "spikformer_one_step", "spikformer_events", "membrane_small")


@functools.cache
def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of one golden network."""
    with np.load(Path(__file__).parent / f"{name}.npz") as data:
        return dict(data)


def config_of(name: str) -> SpikformerConfig:
    """The golden network's architecture as one of ours."""
    golden = load(name)
    given = json.loads(str(golden["config"]))
    membrane = name.startswith("membrane")
    return SpikformerConfig(
        input_shape=golden["images"].shape[1:],
        num_classes=given["classes"],
        timesteps=given["T"],
        embed_dim=given["D"],
        depth=given["depth"],
        num_heads=given["heads"],
        mlp_ratio=given["ratio"],
        stem_pool=tuple(stage in given.get("pools", (2, 3)) for stage in range(4)),
        qkv_bias=given.get("qkv_bias", True),
        scale=given.get("scale", 0.125),
        residual="membrane" if membrane else "add",
        neuron="plif" if membrane else "lif",
    )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One golden array: part `part` of `parts` along the last axis of one of our variables."""

    name: str
    variable: Any
    layout: Callable[[np.ndarray], np.ndarray]
    part: int = 0
    parts: int = 1

    def cut(self, array: np.ndarray) -> np.ndarray:
        """This entry's part of an array shaped as the variable."""
        return np.split(array, self.parts, axis=-1)[self.part]


def _conv(w: np.ndarray) -> np.ndarray:
    return w.transpose(2, 3, 1, 0)


def _dense(w: np.ndarray) -> np.ndarray:
    return w.T


def _same(w: np.ndarray) -> np.ndarray:
    return w


def _norm(name: str, layer: Any, part: int = 0, parts: int = 1) -> list[Entry]:
    pairs = (
        ("weight", layer.gamma),
        ("bias", layer.beta),
        ("running_mean", layer.moving_mean),
        ("running_var", layer.moving_variance),
    )
    return [Entry(f"{name}.{key}", variable, _same, part, parts) for key, variable in pairs]


def _product(name: str, dense: Any, norm: Any, part: int = 0, parts: int = 1) -> list[Entry]:
    entries = [Entry(f"{name}.weight", dense.kernel, _dense, part, parts)]
    if dense.use_bias:
        entries.append(Entry(f"{name}.bias", dense.bias, _same, part, parts))
    return entries + _norm(f"{name}_bn.bn", norm, part, parts)


def _learned_tau(name: str, neuron: Any, part: int = 0, parts: int = 1) -> list[Entry]:
    if neuron is None or not neuron.trainable_variables:
        return []
    return [Entry(f"{name}.n.w", neuron.w, np.atleast_1d, part, parts)]


def entries(model: keras.Model) -> list[Entry]:
    """Every weight of the model, by its golden name."""
    stem = model.get_layer("stem")
    found: list[Entry] = []
    for i, (conv, norm) in enumerate(zip(stem.conv_layers, stem.norm_layers, strict=True)):
        found += [Entry(f"conv.{i}.weight", conv.kernel, _conv), *_norm(f"conv_bn.{i}", norm)]
    for i, neuron in enumerate(stem.neuron_layers):
        found += _learned_tau(f"conv_lif.{i}", neuron)
    found += [Entry("rpe.weight", stem.rpe_conv.kernel, _conv), *_norm("rpe_bn", stem.rpe_norm)]
    for i in range(model.config.depth):
        block, base = model.get_layer(f"block_{i}"), f"blocks.{i}"
        attention, mlp = block.attention, block.mlp
        for part, letter in enumerate("qkv"):
            found += _product(f"{base}.{letter}", attention.qkv, attention.qkv_norm, part, 3)
            found += _learned_tau(f"{base}.{letter}_lif", attention.qkv_neuron, part, 3)
        found += _product(f"{base}.proj", attention.proj, attention.proj_norm)
        found += _product(f"{base}.fc1", mlp.fc1, mlp.fc1_norm)
        found += _product(f"{base}.fc2", mlp.fc2, mlp.fc2_norm)
        for name, neuron in _block_neurons(model, block).items():
            if name != "qkv":
                found += _learned_tau(f"{base}.{name}_lif", neuron)
    head = model.get_layer("head")
    return [*found, Entry("head.weight", head.kernel, _dense), Entry("head.bias", head.bias, _same)]


def _block_neurons(model: keras.Model, block: Any) -> dict[str, Any]:
    """Neurons of a block by golden name: with the membrane shortcut fc1's and fc2's stand before the products."""
    attention, mlp = block.attention, block.mlp
    if model.config.residual == "membrane":
        return {
            "in": attention.input_neuron,
            "qkv": attention.qkv_neuron,
            "attn": attention.attention_neuron,
            "fc1": mlp.input_neuron,
            "fc2": mlp.fc1_neuron,
        }
    return {
        "qkv": attention.qkv_neuron,
        "attn": attention.attention_neuron,
        "proj": attention.proj_neuron,
        "fc1": mlp.fc1_neuron,
        "fc2": mlp.fc2_neuron,
    }


def neurons(model: keras.Model) -> dict[str, Any]:
    """Every neuron layer in the order of the forward pass, by golden name; "qkv" holds q, k and v."""
    stem = model.get_layer("stem")
    found = {f"sps{i}": neuron for i, neuron in enumerate(stem.neuron_layers)}
    if stem.rpe_neuron is not None:
        found["rpe"] = stem.rpe_neuron
    for i in range(model.config.depth):
        block = _block_neurons(model, model.get_layer(f"block_{i}"))
        found |= {f"b{i}.{name}": neuron for name, neuron in block.items()}
    return found


def set_weights(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Puts the golden weights into the model; every weight of either side is used exactly once."""
    table = entries(model)
    names = [entry.name for entry in table]
    assert sorted(names) == sorted(weights), set(names) ^ set(weights)
    assert {id(entry.variable) for entry in table} == {id(v) for v in model.weights}
    for variable in {id(entry.variable): entry.variable for entry in table}.values():
        parts = sorted((entry for entry in table if entry.variable is variable), key=lambda entry: entry.part)
        assert [entry.part for entry in parts] == list(range(parts[0].parts))
        value = np.concatenate([entry.layout(weights[entry.name]) for entry in parts], axis=-1)
        variable.assign(value.reshape(variable.shape))


def build(name: str, **kwargs: Any) -> keras.Model:
    """The golden network as a Spikformer with the golden weights."""
    model = Spikformer(config_of(name), **kwargs)
    set_weights(model, {key[2:]: value for key, value in load(name).items() if key.startswith("w/")})
    return model


def rates(model: keras.Model, seen: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean output of every neuron by golden name, q, k and v apart."""
    found: dict[str, float] = {}
    for name, (_, spikes) in seen.items():
        if name.endswith(".qkv"):
            thirds = np.split(spikes, 3, axis=-1)
            found |= {f"{name[:-3]}{letter}": float(third.mean()) for letter, third in zip("qkv", thirds, strict=True)}
        else:
            found[name] = float(spikes.mean())
    return found
