"""State dicts of the published spiking transformers, as kspike models."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kspike._registry import unknown
from kspike._stages import several
from kspike.components import geometry
from kspike.components.parts import Conv, Dense, DepthwiseConv, Neuron, Norm, Part
from kspike.config import SpikformerConfig
from kspike.convert.architecture import float32
from kspike.convert.checkpoint import read_checkpoint, some
from kspike.convert.families import family_of
from kspike.convert.families.family import Family, Names, Read
from kspike.convert.namings import NEURON_TENSOR, NORM_TENSORS
from kspike.convert.spikformer import from_spikformer
from kspike.layers.initializers import undrawn
from kspike.models import Spikformer

#: Written by PyTorch's normalisation, and by training scripts; no network reads them.
_COUNTERS = r".*\.num_batches_tracked$"
#: Names of T among the official constructors' arguments.
_STEPS = ("T", "time_step", "timesteps")
#: Arguments that tensors tell, in every family.
_TOLD = ("num_classes", "in_channels", "mlp_ratios", "mlp_ratio")
#: Arguments of the official constructors that say nothing of what a trained network computes.
_NOTHING = (
    "img_size_h", "img_size_w", "patch_size", "sr_ratios", "qkv_bias", "qk_scale", "norm_layer", "drop_rate",
    "attn_drop_rate", "drop_path_rate", "pretrained", "pretrained_cfg", "init_cfg",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was read of a checkpoint; `model.conversion` of a model made by `from_checkpoint`.

    Args:
        family: its name.
        source: repository and paper.
        tensors: how many were used.
        unused: names of tensors that were not used -> why.
        notes: what was assumed, what contradicts the options given, and what to know of this family.
    """

    family: str
    source: str
    tensors: int
    unused: Mapping[str, str]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.family}: {self.tensors} tensors of {self.source}"]
        reasons: dict[str, list[str]] = {}
        for name, why in self.unused.items():
            reasons.setdefault(why, []).append(name)
        lines += [f"not used, {why}: {some(names)}" for why, names in reasons.items()]
        return "\n".join([*lines, *self.notes])


def from_checkpoint(
    source: str | os.PathLike | Mapping[str, Any],
    family: str | None = None,
    *,
    timesteps: int,
    input_shape: tuple[int, ...],
    options: Mapping[str, Any] | None = None,
    which: str | None = None,
) -> Spikformer:
    """Builds a `kspike.Spikformer` from weights trained with the official code of a published family.

    Widths, depths, mixers, ratios, classes, biases and learned time constants are read off names and shapes; what these
    tell wins over `options`, as the official constructors ignore several: a difference is reported.

    Args:
        source: a `.safetensors`, `.npz`, `.pth`, `.pt` or `.pth.tar` file (read without running code from it, and
            without PyTorch), or a mapping from parameter name to array or tensor.
        family: "qkformer", "ms_qkformer", "max_former", "sdt", "sdt_v2", "sdt_v3", "spikingformer" or "spikformer"
            (with SpikingJelly 2.0's, as `from_spikformer` reads them); "spikingjelly_qkformer",
            "spikingjelly_max_former" or "spikingjelly_sdt" of SpikingJelly 2.0's own models. None: recognised by the
            names of the tensors.
        timesteps: T, which no tensor says.
        input_shape: `(height, width, channels)` in pixels, or `(timesteps, height, width, channels)` of frames.
        options: the official constructor's arguments by their official names, for what names and shapes do not tell
            (num_heads, pooling_stat, dvs_mode, ...).
        which: entry of a wrapped checkpoint, as "state_dict_ema". None: "state_dict".

    Returns:
        The model, in inference the same function as the original up to rounding, an image at a time. `model.conversion`
        says what was used, what was not, and why. Images are channels-last, normalised as they were in training.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file; a checkpoint of another family; missing, unknown, misshapen or non-finite
            tensors, all listed; an option that is unknown, or needed and not given.

    Example:
        >>> import kspike
        >>> model = kspike.convert.from_checkpoint(
        ...     "max_former.pth", timesteps=4, input_shape=(32, 32, 3))  # doctest: +SKIP
    """
    if not isinstance(options, Mapping | None):
        raise ValueError(f"options must be a mapping from an argument's name to its value, got {options!r}.")
    if not several(input_shape):
        raise ValueError(f"input_shape must be (height, width, channels), or with time in front, got {input_shape!r}.")
    if timesteps is None:
        raise ValueError("timesteps must be a whole number, which no tensor says, got None.")
    checkpoint = read_checkpoint(source, which)
    options = dict(options or {})
    if family == "spikformer" or (family is None and _spikformer(checkpoint.tensors)):
        return _of_spikformer(checkpoint.tensors, timesteps, input_shape, options)
    found = family_of(checkpoint.tensors, family)
    for name in options:
        if name not in (*found.options, *_STEPS, *_TOLD, *_NOTHING):
            raise unknown(f"option of the family {found.name!r}", name, (*found.options, "T", *_TOLD))
    read = Read(checkpoint.tensors, options, timesteps, tuple(input_shape))
    for name in _STEPS:
        read.told(name, timesteps, "timesteps is")
    try:
        config = _config(found, read)
    except (KeyError, StopIteration) as error:
        raise ValueError(f"The checkpoint is not a whole {found.name}: {error} is not there.") from error
    taken, used = _check(found, config, read)
    with undrawn():
        model = Spikformer(config)
    _check_values(model, taken, read)
    _assign(model, taken, read)
    unused = {n: _why(found, n) for n in read.tensors if n not in used}
    model.__dict__["conversion"] = Conversion(
        found.name, found.source, len(read.tensors) - len(unused), unused, (*read.said, *found.notes)
    )
    return model


def _spikformer(tensors: Mapping[str, Any]) -> bool:
    """Whether these are the names that `from_spikformer` reads."""
    if "blocks.0.attn.q_conv.weight" in tensors:  # SpikingJelly's Spike-driven Transformer
        return False
    if any(name.startswith(("blocks.", "block.0.attn.q_linear.")) for name in tensors):
        return True
    # its event and ImageNet code has names of the Spike-driven Transformer, whose products have two kernel axes
    query = tensors.get("block.0.attn.q_conv.weight")
    return query is not None and len(query.shape) == 3 and "patch_embed.rpe_conv.weight" in tensors


def _of_spikformer(
    tensors: Mapping[str, Any], timesteps: int, input_shape: tuple[int, ...], options: Mapping[str, Any]
) -> Spikformer:
    known = ("num_heads", "stem_pool", "scale", *_STEPS)
    for name in options:
        if name not in known:
            raise unknown("option of the family 'spikformer'", name, known)
    given = {name: value for name, value in options.items() if name not in _STEPS}
    model = from_spikformer(tensors, timesteps=timesteps, input_shape=input_shape, **given)
    model.__dict__["conversion"] = Conversion(
        "spikformer", "Spikformer (Zhou et al., 2023) or SpikingJelly 2.0", len(tensors), {}, ()
    )
    return model


def _config(family: Family, read: Read) -> SpikformerConfig:
    shape = read.input_shape
    fields = family.config(read)
    config = SpikformerConfig(input_shape=shape, timesteps=read.timesteps, num_classes=read.outputs("head"), **fields)
    # by its place in the network: a file may hold the tensors in any order
    names = family.names(config, read)
    first = next(n for n, part in config.stem_parts.items() if isinstance(part, Conv) and part.inputs == "image")
    channels = read.shape(str(names[f"stem/{first}"]))[1]
    if shape[-1] != channels:
        raise ValueError(
            f"input_shape {shape} ends in {shape[-1]} channels, but the first convolution of these weights takes "
            f"{channels}; channels come last."
        )
    read.told("num_classes", config.num_classes, "the head has")
    read.told("in_channels", channels, "the first convolution takes")
    ratios = tuple(dict.fromkeys(config.mlp_ratio))
    for name in ("mlp_ratios", "mlp_ratio"):
        read.told(name, ratios[0] if len(ratios) == 1 else config.mlp_ratio, "the products are of")
    for name in _NOTHING:
        if read.options.get(name) is not None:
            read.said.append(
                f"option {name}={read.options[name]!r} was not used: it says nothing of a trained network."
            )
    return config


@dataclasses.dataclass(frozen=True)
class _Taken:
    """A part of the network, and the modules that its tensors are of."""

    path: str
    part: Part
    modules: tuple[str, ...]
    #: Of a normalisation, the bias before it that the product here has not; "" where there is none.
    bias: str = ""


def _parts(config: SpikformerConfig) -> Iterator[tuple[str, Part]]:
    """Path and part of everything in a network, its linear layer included."""
    for at in config.standing:
        yield from ((f"{at.place.path}/{name}", part) for name, part in at.declared.items())
    yield "head", Dense("width", "width")


def _check(family: Family, config: SpikformerConfig, read: Read) -> tuple[list[_Taken], set[str]]:
    """What stands for each part, and the names of all their tensors; missing and unknown ones are refused together."""
    names = family.names(config, read)
    biases = _folded(family, config, names, read)
    taken = []
    for path, part in _parts(config):
        if not isinstance(part, (Dense, Conv, DepthwiseConv, Norm, Neuron)):
            continue
        if path not in names:
            raise ValueError(f"The family {family.name!r} says nothing of {path}, which its network has.")
        modules = names[path]
        modules = (modules,) if isinstance(modules, str) else modules
        taken.append(_Taken(path, part, modules, biases.get(path, "")))
    used = _used(taken, read, config.neuron_component.learns_tau)
    missing = sorted(used - set(read.tensors))
    extra = sorted(n for n in read.tensors if n not in used and not _why(family, n))
    if missing or extra:
        said = f"missing: {some(missing)}. " if missing else ""
        said += f"unknown: {some(extra)}." if extra else ""
        raise ValueError(f"The checkpoint is not a whole {family.name}, or has more than one; {said}")
    for name in sorted(used):
        if not np.isfinite(float32(read.tensors[name])).all():
            raise ValueError(f"{name} holds numbers that are not finite; the checkpoint is damaged.")
    return taken, used


def _folded(family: Family, config: SpikformerConfig, names: Names, read: Read) -> dict[str, str]:
    """Path of a normalisation -> the bias of the product before it, which the code has and the part here has not."""
    found = {}
    for at in config.standing:
        for name, part in at.declared.items():
            product = geometry.source(at.declared, name) if isinstance(part, Norm) else None
            if product is None or getattr(at.declared[product], "bias", True):
                continue
            module = names.get(f"{at.place.path}/{product}")
            if isinstance(module, str) and family.folded(read, module):
                found[f"{at.place.path}/{name}"] = f"{module}.bias"
    return found


def _why(family: Family, name: str) -> str:
    """Why a tensor is not used; "" where nothing says so."""
    reasons = {_COUNTERS: "a counter of the training", **family.never}
    return next((why for pattern, why in reasons.items() if re.match(pattern, name)), "")


def _used(taken: list[_Taken], read: Read, learned: bool) -> set[str]:
    """Names of all tensors that parts need."""
    found: set[str] = set()
    for each in taken:
        for module in each.modules:
            if isinstance(each.part, Norm):
                found |= {f"{module}.{name}" for name in NORM_TENSORS} | ({each.bias} if each.bias else set())
            elif isinstance(each.part, Neuron):
                found |= (
                    {f"{module}.{NEURON_TENSOR}"} if learned or f"{module}.{NEURON_TENSOR}" in read.tensors else set()
                )
            else:
                found.add(f"{module}.weight")
                found |= {f"{module}.bias"} if getattr(each.part, "bias", False) else set()
    return found


def layer_at(model: Any, path: str) -> Any:
    """The layer of a part by its path in the model: "block_0/attention/qkv"."""
    first, *rest = path.split("/")
    layer = model.get_layer(first)
    for name in rest[:-1]:
        layer = getattr(layer, name)
    return layer.part(rest[-1]) if rest else layer


def _assign(model: Any, taken: list[_Taken], read: Read) -> None:
    for each in taken:
        layer = layer_at(model, each.path)
        if isinstance(each.part, Neuron):
            if layer is not None and layer.trainable_variables:
                values = [float(float32(read.tensors[f"{m}.{NEURON_TENSOR}"])) for m in each.modules]
                layer.w.assign(np.resize(np.array(values, "float32"), tuple(layer.w.shape)))
        elif isinstance(each.part, Norm):
            for name, variable in NORM_TENSORS.items():
                found = _joined(read, each, name, float32)
                if each.bias and name == "running_mean":  # BN(x + bias) is BN(x) of a mean smaller by it
                    found = found - float32(read.tensors[each.bias])
                getattr(layer, variable).assign(found)
        else:
            layer.kernel.assign(_joined(read, each, "weight", layout_of(each.part)))
            if getattr(each.part, "bias", False):
                layer.bias.assign(_joined(read, each, "bias", float32))


def _joined(read: Read, each: _Taken, name: str, turn: Any) -> np.ndarray:
    return np.concatenate([turn(read.tensors[f"{module}.{name}"]) for module in each.modules], axis=-1)


def _check_values(model: Any, taken: list[_Taken], read: Read) -> None:
    """Refuses tensors of other shapes than the network's, and negative variances, all listed."""
    misshapen, negative = [], []
    for each in taken:
        if isinstance(each.part, Neuron):
            constants = [n for m in each.modules if (n := f"{m}.{NEURON_TENSOR}") in read.tensors]
            shapes = {n: tuple(read.tensors[n].shape) for n in constants}
            misshapen += [f"{n} is {shape}, one number is due" for n, shape in shapes.items() if set(shape) - {1}]
            continue
        layer = layer_at(model, each.path)
        norm = isinstance(each.part, Norm)
        variables = NORM_TENSORS if norm else {"weight": "kernel"}
        if getattr(each.part, "bias", False):
            variables = {**variables, "bias": "bias"}
        for name, variable in variables.items():
            expected = tuple(getattr(layer, variable).shape)
            shapes = {f"{m}.{name}": tuple(read.tensors[f"{m}.{name}"].shape) for m in each.modules}
            ours = {n: _turned(each.part, name, shape) for n, shape in shapes.items()}
            share = (*expected[:-1], expected[-1] // len(ours))
            whole = all(o[:-1] == expected[:-1] for o in ours.values()) and expected[-1] == sum(
                o[-1] for o in ours.values() if o
            )
            if not whole:
                misshapen += [f"{n} is {shapes[n]}, in our layout {share} is due" for n in ours if ours[n] != share]
        if each.bias and tuple(read.tensors[each.bias].shape) != tuple(layer.gamma.shape):
            shape = tuple(read.tensors[each.bias].shape)
            misshapen.append(f"{each.bias} is {shape}, in our layout {tuple(layer.gamma.shape)} is due")
        if norm:
            variances = [f"{m}.running_var" for m in each.modules]
            negative += [n for n in variances if (float32(read.tensors[n]) < 0).any()]
    if misshapen or negative:
        said = f"misshapen: {some(misshapen)}. " if misshapen else ""
        said += f"negative, for a variance: {some(negative)}." if negative else ""
        raise ValueError(f"The tensors do not fit the network that their names and shapes tell; {said}")


def _turned(part: Part, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that `layout_of` gives; () where it has not the axes for that."""
    if name != "weight" or isinstance(part, Norm):
        return shape if len(shape) == 1 else ()
    if isinstance(part, Dense):
        return (shape[1], shape[0]) if len(shape) >= 2 and set(shape[2:]) <= {1} else ()
    order = (2, 3, 0, 1) if isinstance(part, DepthwiseConv) else (2, 3, 1, 0)
    return tuple(shape[axis] for axis in order) if len(shape) == 4 else ()


def layout_of(part: Part) -> Any:
    """PyTorch's layout of a product's weight -> Keras'."""

    def turned(tensor: Any) -> np.ndarray:
        tensor = float32(tensor)
        if isinstance(part, Dense):  # (out, in), with any kernel axes of size 1
            return tensor.reshape(tensor.shape[:2]).T
        # a filter a channel (channels, 1, h, w) -> (h, w, channels, 1); else (out, in, h, w) -> (h, w, in, out)
        return tensor.transpose((2, 3, 0, 1) if isinstance(part, DepthwiseConv) else (2, 3, 1, 0))

    return turned
