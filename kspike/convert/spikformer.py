"""State dicts of the official Spikformer code and of SpikingJelly, as kspike models."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kspike._registry import unknown
from kspike.config import SpikformerConfig
from kspike.convert.architecture import Architecture, recognise
from kspike.convert.checkpoint import read_checkpoint
from kspike.convert.weights import assign
from kspike.layers.initializers import undrawn
from kspike.models import Spikformer

#: The training scripts' names for settings that shapes do not show (CIFAR: time_step, num_heads, img_size; CIFAR10-DVS:
#: T).
_HEADS, _STEPS, _SIDE = ("num_heads",), ("time_step", "time_steps", "T"), ("img_size",)
_READ_OFF = ("num_classes", "embed_dim", "depth", "mlp_ratio", "stem_channels", "qkv_bias", "proj_bias", "mlp_bias")


def from_spikformer(
    source: str | os.PathLike | Mapping[str, Any],
    *,
    timesteps: int | None = None,
    num_heads: int | tuple[int, ...] | None = None,
    input_shape: tuple[int, ...] | None = None,
    stem_pool: tuple[bool, bool, bool, bool] | None = None,
    scale: float | None = None,
    which: str | None = None,
    **overrides: Any,
) -> Spikformer:
    """Builds a `kspike.Spikformer` from weights trained with the official Spikformer code or with SpikingJelly 2.0.

    Width, depth, ratios, classes, channels, biases and learned time constants are read off names and shapes. Tensors
    that the code saves but never uses (LayerNorms of the blocks, position embedding, step counters) are left out.

    Args:
        source: a `.safetensors`, `.npz`, `.pth`, `.pt` or `.pth.tar` file (read without running code from it, and
            without PyTorch), or a mapping from parameter name to array or tensor. Wrappers of training
            scripts and the prefix `module.` are understood.
        timesteps: T, which no tensor says. None: as `input_shape` has it, or the training arguments saved beside the
            weights, or the code's own default (4; CIFAR10-DVS 16).
        num_heads: attention heads, which no tensor says either; needed unless the checkpoint holds its arguments.
        input_shape: `(height, width, channels)` in pixels, or `(timesteps, height, width, channels)` of frames.
            None: the code's (32, 224 or 128 pixels). SpikingJelly's models have several: needed there.
        stem_pool: stages of the patch splitting with a max-pool. None: the code's (CIFAR after stages 3 and 4, the
            others after all four; SpikingJelly's by patch size: 32 pixels as CIFAR, 128 and more all four).
        scale: factor of the attention product. None: the code's (0.125; CIFAR10-DVS 0.25).
        which: entry of a wrapped checkpoint, as "state_dict_ema" for timm's moving average. None: "state_dict".
        overrides: other fields of `SpikformerConfig` that no tensor says: tau, v_threshold, surrogate, ...

    Returns:
        The model, in inference the same function as the original up to rounding. Images are channels-last, normalised
        as they were in training.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file; unknown, missing, misshapen or non-finite tensors, all listed.

    Example:
        >>> import kspike
        >>> model = kspike.convert.from_spikformer("spikformer.safetensors", num_heads=12)  # doctest: +SKIP
    """
    checkpoint = read_checkpoint(source, which)
    architecture = recognise(checkpoint.tensors)
    given = {"stem_pool": stem_pool, "scale": scale, **overrides}
    args = {
        "num_heads": num_heads if num_heads is not None else _argument(checkpoint.args, _HEADS),
        "timesteps": timesteps,
        "steps_in_training": _argument(checkpoint.args, _STEPS),
        "side": _argument(checkpoint.args, _SIDE),
    }
    with undrawn():
        model = Spikformer(config_of(architecture, args, input_shape, given))
    assign(model, architecture, checkpoint.tensors)
    return model


def config_of(
    a: Architecture, args: Mapping[str, Any], input_shape: tuple[int, ...] | None, given: Mapping[str, Any]
) -> SpikformerConfig:
    """The config: from shapes, then the caller and the training script, then the code base's defaults."""
    _check(given, a)
    if args["num_heads"] is None:
        fitting = [n for n in range(1, min(a.embed_dim, 64) + 1) if a.embed_dim % n == 0]
        raise ValueError(
            "num_heads is needed: no tensor says it, and the file holds no training arguments. It divides the width "
            f"{a.embed_dim}: one of {fitting}. The published models have 12 (CIFAR 4-384, ImageNet 8-768), 8 (CIFAR "
            "4-256, ImageNet 8-512) or 16 (CIFAR10-DVS 2-256)."
        )
    shape, timesteps = _input(a, args, input_shape)
    fields: dict[str, Any] = {
        "input_shape": shape,
        "timesteps": timesteps,
        "num_heads": args["num_heads"],
        "num_classes": a.num_classes,
        "embed_dim": a.embed_dim,
        "depth": a.depth,
        "mlp_ratio": tuple(_ratio(hidden, a.embed_dim) for hidden in a.hidden),
        "stem_channels": a.stem[:3],
        "pool_after": a.naming.pool_after,
        "scale": a.naming.scale,
        **{f"{group}_bias": present for group, present in a.bias.items()},
        **{name: value for name, value in given.items() if value is not None or name == "v_reset"},
    }
    if "stem_pool" not in fields:
        fields["stem_pool"] = a.naming.stem_pool or _pool_by_size(a, shape)
    if a.learned_tau:
        fields["neuron"] = "plif"
        fields.setdefault("v_threshold", {"attention": a.naming.plif_threshold})
    return SpikformerConfig(**fields)


def _input(a: Architecture, args: Mapping[str, Any], given: tuple[int, ...] | None) -> tuple[tuple[int, ...], int]:
    """Input shape and number of time steps."""
    timesteps, side = args["timesteps"], args["side"] or a.naming.size
    if timesteps is None and given is not None and len(given) == 4:
        timesteps = given[0]
    elif timesteps is None:
        timesteps = args["steps_in_training"] or a.naming.timesteps
    if given is not None:
        shape = tuple(given)
    elif side is not None:
        image = (side, side, a.in_channels)
        shape = (timesteps, *image) if a.naming.frames else image
    else:
        raise ValueError(
            f"input_shape is needed: models of {a.naming.name} exist for several image sizes. Expected (height, width, "
            f"{a.in_channels}), as (32, 32, {a.in_channels})."
        )
    if len(shape) in (3, 4) and shape[-1] != a.in_channels:
        raise ValueError(
            f"input_shape {shape} ends in {shape[-1]} channels, but the first convolution of these weights takes "
            f"{a.in_channels}; channels come last."
        )
    return shape, timesteps


def _pool_by_size(a: Architecture, shape: tuple[int, ...]) -> tuple[bool, bool, bool, bool]:
    """SpikingJelly's two patch sizes: 4 for 32 pixels, 16 for 128 and more; in between the user must say."""
    sides = shape[-3:-1]
    if max(sides) <= 32:
        return (False, False, True, True)
    if min(sides) >= 128:
        return (True, True, True, True)
    raise ValueError(
        f"stem_pool is needed for {a.naming.name} and images of {sides} pixels: (False, False, True, True) if the "
        "model was built with patch_size=4, (True, True, True, True) with patch_size=16."
    )


def _ratio(hidden: int, embed_dim: int) -> float:
    """The ratio with int(embed_dim * ratio) == hidden, which the plain quotient may miss by a rounding."""
    ratio = hidden / embed_dim
    return ratio if int(embed_dim * ratio) == hidden else float(np.nextafter(ratio, np.inf))


def _argument(args: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    value = next((args[name] for name in names if args.get(name) is not None), None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _check(given: Mapping[str, Any], a: Architecture) -> None:
    known = [field.name for field in dataclasses.fields(SpikformerConfig)]
    for name, value in given.items():
        if name in _READ_OFF:
            raise ValueError(f"{name} is read off the shapes of the tensors; leave {name}={value!r} out.")
        if name not in known:
            raise unknown("option", name, known)
    if given.get("residual", "add") != "add":
        raise ValueError("residual must stay 'add': these networks add spikes, and have the neurons for it.")
    if given.get("neuron") == "lif" and a.learned_tau:
        raise ValueError("neuron must stay 'plif': these weights hold learned time constants.")
