"""A kspike Spikformer's weights as a .safetensors file, under the names of the official code or of SpikingJelly."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import kspike._finite as finite
from kspike._files import expanded, write_bytes
from kspike._registry import unknown
from kspike.components import PATHS
from kspike.config import SpikformerConfig
from kspike.convert.architecture import Architecture, recognise
from kspike.convert.namings import NAMINGS, Naming
from kspike.convert.spikformer import config_of
from kspike.convert.weights import tensors_of
from kspike.models import Spikformer

#: Short names of the code bases; "official" is one of them by the input.
_SHORT = {
    "spikingjelly": "SpikingJelly 2.0",
    "official_cifar": "official CIFAR",
    "official_cifar_first": "official CIFAR (first release)",
    "official_dvs": "official CIFAR10-DVS",
    "official_imagenet": "official ImageNet",
}
#: Sides of images from which "official" is the code for ImageNet.
_LARGE = 128


def to_safetensors(
    model: Spikformer, path: str | os.PathLike[str], naming: str = "spikingjelly", *, overwrite: bool = True
) -> dict[str, Any]:
    """Writes a network's weights under the names of the official code or of SpikingJelly: `load_state_dict` takes them.

    Tensors have PyTorch's layouts. A bias that the code does not build is taken into the mean of the normalisation
    behind it. What no tensor says, the code has to be told: the settings that this function returns, which the file
    carries as JSON too; `from_spikformer(path, **settings)` makes the same network of it. Where one is nothing that the
    code can be told (SpikingJelly pools before the neuron: pool_after), the code computes another function.

    Args:
        model: a `kspike.Spikformer` with its head, of the stem `sps`, mixers `ssa`, MLPs `spiking`, residual="add" and
            neurons lif or plif: what those code bases have. It is not changed.
        path: of the file, in a folder that is there; it is written whole or not at all.
        naming: "spikingjelly"; "official" (by the input: CIFAR's, CIFAR10-DVS' of frames, ImageNet's from 128 pixels
            on); or "official_cifar", "official_cifar_first", "official_dvs", "official_imagenet". The official code
            also saves tensors that it never uses: load with strict=False there.
        overwrite: whether an existing file is replaced.

    Returns:
        Settings by their names in `SpikformerConfig`: num_heads, timesteps, input_shape, and all that differ from what
        the code takes by itself.

    Raises:
        ValueError: another model, a layer that the code does not have (named), an unknown naming, another suffix.

    Example:
        >>> import kspike
        >>> kspike.convert.to_safetensors(model, "spikformer.safetensors")  # doctest: +SKIP
        {'num_heads': (2,), 'timesteps': 4, 'input_shape': (32, 32, 3)}
    """
    target = expanded(path)
    if target.suffix.lower() != ".safetensors":
        raise ValueError(f"Expected a path that ends in .safetensors; received {target.name!r}.")
    if not overwrite and os.path.lexists(target):
        raise ValueError(f"Expected a free place; {target} exists, and overwrite=False.")
    if not isinstance(model, Spikformer) or not model.include_top:
        what = "one without its head" if isinstance(model, Spikformer) else f"a {type(model).__name__}"
        raise ValueError(f"Expected a kspike.Spikformer with its head; received {what}.")
    if model.quantized:
        raise ValueError(
            f"{model.name} has int8 weights, and the normalisations that these code bases load are taken into them. "
            "Write the network that it was made of."
        )
    config = model.config
    table = _naming(naming, config)
    _check(config, table)
    finite.check_weights(model, "the network", "Training diverged: write an earlier checkpoint.")
    tensors = tensors_of(model, table, config.depth)
    settings = _settings(config, recognise(tensors))
    from safetensors.numpy import save

    notes = {"format": "pt", "kspike.naming": table.name, "kspike.settings": json.dumps(settings)}
    write_bytes(target, save(tensors, metadata=notes))
    return settings


def _naming(naming: str, config: SpikformerConfig) -> Naming:
    if naming == "official":
        large = min(config.image_shape[:2]) >= _LARGE
        naming = "official_dvs" if config.has_time else "official_imagenet" if large else "official_cifar"
    if naming not in _SHORT:
        raise unknown("naming", naming, [*_SHORT, "official"])
    return next(each for each in NAMINGS if each.name == _SHORT[naming])


def _check(config: SpikformerConfig, table: Naming) -> None:
    """Refuses what the code bases do not have, by the layer's name."""
    found = []
    if config.residual != "add":
        found.append(f"every block has residual={config.residual!r}, where there it is 'add'")
    if config.stages > 1:
        found.append(f"it has {config.stages} stages, where there is one")
    if config.head != "mean":
        found.append(f"its head is {config.head!r}, where there it is the mean")
    named: dict[str, tuple[Any, tuple[str, ...]]] = {
        "stem": (config.stem_component, ("sps",)),
        "neurons": (config.neuron_component, ("lif", "plif")),
    }
    has = {"mixer": ("ssa",), "mlp": ("spiking",)}
    for i, branches in enumerate(config.blocks):
        for field, made in branches.items():
            named[f"block_{i}/{PATHS[field]}"] = made, has.get(field, ("identity",))
    for layer, (component, known) in named.items():
        if component.name not in known or component.settings:
            found.append(f"{layer}: the {component.role} {component.label}, where there it is {' or '.join(known)}")
    if found:
        raise ValueError(f"{table.name} has no names for this network. {'; '.join(found)}.")


def _settings(config: SpikformerConfig, architecture: Architecture) -> dict[str, Any]:
    """What a reader of the tensors has to be told so as to make this config of them."""
    told: dict[str, Any] = {"num_heads": config.num_heads, "timesteps": config.timesteps}
    told["input_shape"] = config.input_shape
    args = {"num_heads": config.num_heads, "timesteps": config.timesteps, "steps_in_training": None, "side": None}
    sure = {"stem_pool": config.stem_pool}  # which some sizes of images leave open
    assumed = config_of(architecture, args, config.input_shape, sure).to_dict()
    plain = config.to_dict()
    for name in (field.name for field in dataclasses.fields(config)):
        # biases are in the tensors, or in the means; the ratio is the hidden channels over the width
        if name not in told and name not in ("qkv_bias", "proj_bias", "mlp_bias", "mlp_ratio"):
            if plain.get(name) != assumed.get(name):
                told[name] = plain.get(name)
    if config.stem_pool != (architecture.naming.stem_pool or ()):
        told["stem_pool"] = config.stem_pool
    return told
