"""Folds every normalisation into the product before it, and makes both int8: the weights of a quantised network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kspike.components import parts as kinds
from kspike.components.geometry import source
from kspike.components.signals import takes_spikes
from kspike.layers.component import ComponentLayer
from kspike.layers.int8 import LARGEST

#: The finest step of a weight is 2^-FINEST: potentials of four time steps, tau 2, then have 18 bits behind the point,
#: and 6 before it in float32.
FINEST = 14
#: Biases are multiples of 2^-BIAS, or of their channel's scale where that is finer.
BIAS = 10
#: Parts with weights that a product of int8 can stand for.
PRODUCTS = (kinds.Dense, kinds.Conv, kinds.DepthwiseConv)
#: Parts that have no weights.
FREE = (kinds.Neuron, kinds.Pool, kinds.MatMul, kinds.Sum)


@dataclasses.dataclass(frozen=True)
class Place:
    """A product of a network, and the normalisations behind it that are folded into it.

    Args:
        path: of the product.
        product: the layer.
        norms: paths and layers, in running order.
        rounds: whether real numbers come in, which int8 has to round.
        border: whether one of the norms puts a border around the map: what it makes of 0 is then its own bias.
    """

    path: str
    product: Any
    norms: tuple[tuple[str, Any], ...] = ()
    rounds: bool = False
    border: bool = False


def components_of(model: Any) -> list[Any]:
    """Every layer of a network that is a component, in running order."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, ComponentLayer)]


def places_of(model: Any) -> list[Place]:
    """Every product of a network, the head last.

    Raises:
        ValueError: a part that is not known, or a normalisation that no product stands before; by its name.
    """
    found = [place for layer in components_of(model) for place in _places(layer)]
    return [*found, Place("head", model.get_layer("head"))] if model.include_top else found


def _places(layer: Any) -> Iterator[Place]:
    owner: dict[str, str] = {}
    behind: dict[str, list[str]] = {}
    for name, part in layer.declared.items():
        if isinstance(part, kinds.Norm):
            before = source(layer.declared, name)
            product = owner.get(before or "")
            if product is None:
                raise ValueError(
                    f"{layer.path}/{name} normalises what no product gives ({before or 'what comes in'}): its scale "
                    "has no int8 weights to go into. Put it behind a Dense, Conv or DepthwiseConv part."
                )
            owner[name] = product
            behind[product].append(name)
        elif isinstance(part, PRODUCTS):
            owner[name], behind[name] = name, []
        elif not isinstance(part, FREE):
            raise ValueError(
                f"{layer.path}/{name} is a {type(part).__name__}, a part that kspike.quantize does not know; known: "
                f"{', '.join(each.__name__ for each in (*PRODUCTS, kinds.Norm, kinds.BorderNorm, *FREE))}."
            )
    for name, norms in behind.items():
        yield Place(
            f"{layer.path}/{name}",
            layer.part(name),
            tuple((f"{layer.path}/{each}", layer.part(each)) for each in norms),
            not takes_spikes(layer.declared, name, layer.component.role, layer.residual),
            any(isinstance(layer.declared[each], kinds.BorderNorm) for each in norms),
        )


def per_step(largest: float, whole: bool) -> np.float32:
    """What real numbers up to `largest` are multiplied by before they are rounded to -127 to 127.

    Whole numbers that fit stay as they are.
    """
    return np.float32(1.0 if largest == 0 or (whole and largest <= LARGEST) else LARGEST / largest)


def fill(place: Place, into: Place, step: np.float32, mean: np.ndarray) -> None:
    """Writes a product of floats and its normalisations into those of int8.

    scale[c] = 2^-k[c], of the k up to `FINEST` whose rounded, and clipped, kernel is nearest. What rounding changes of
    the product of the mean input goes into the bias (as Nagel et al., 2019), so that no channel fires more, or less,
    for it; where the product has no place for a bias, nothing does.

    Args:
        place, into: the product of floats, and that of int8.
        step: what inputs are multiplied by before they are rounded, 1 where they are whole.
        mean: of the inputs, one number a channel.
    """
    kernel = _numpy(place.product.kernel)
    bias = _numpy(place.product.bias) if place.product.use_bias else None
    shifts: list[np.ndarray] = []
    for _, norm in place.norms:
        scale, shift = norm.affine()
        kernel = kernel * (scale[:, None] if len(into.product.scale.shape) == 2 else scale)
        bias = None if bias is None else bias * scale
        shifts = [*(each * scale for each in shifts), shift]
    kernel = kernel / float(step)
    unit = units(kernel, tuple(into.product.scale.shape))
    whole = np.clip(np.rint(kernel / unit), -LARGEST, LARGEST)
    into.product._kernel.assign(whole.astype("int8"))
    moved = _of_mean(whole * unit - kernel, mean * float(step), unit.ndim == 2)
    into.product.scale.assign(unit.astype("float32"))
    if into.rounds:
        into.product.per_step.assign(step)
    unit = np.minimum(unit.reshape(-1), 2.0**-BIAS)
    if bias is not None:
        bias = bias - moved
    if shifts and not place.border:  # one bias is rounded once
        total = np.sum([*shifts, -moved if bias is None else bias], axis=0)
        bias = None if bias is None else np.zeros_like(bias)
        shifts = [*(np.zeros_like(each) for each in shifts[:-1]), total]
    if bias is not None:
        into.product.bias.assign((np.rint(bias / unit) * unit).astype("float32"))
    for (_, norm), shift in zip(into.norms, shifts, strict=True):
        norm.bias.assign((np.rint(shift / unit) * unit).astype("float32"))


def units(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The scale of each channel, a power of two: `(outputs,)`, or `(channels, 1)` of a depth-wise kernel."""
    axes = tuple(range(kernel.ndim - len(shape)))
    largest = np.abs(kernel).max(axis=axes)
    fits = np.ones_like(largest)
    used = largest > 0
    fits[used] = 2.0 ** -np.floor(np.log2(LARGEST / largest[used]))
    choices = [np.maximum(fits / by, 2.0**-FINEST) for by in (1, 2)]  # the finer one clips what is largest
    lost = [
        np.square(np.clip(np.rint(kernel / unit), -LARGEST, LARGEST) * unit - kernel).sum(axis=axes) for unit in choices
    ]
    return np.where(lost[1] < lost[0], choices[1], choices[0]).reshape(shape)


def _of_mean(change: np.ndarray, mean: np.ndarray, depthwise: bool) -> np.ndarray:
    """What a change of the kernel makes of the mean input, one number an output channel, borders of maps left out."""
    over = change.reshape(-1, *change.shape[-2:]).sum(axis=0)
    return mean * over[:, 0] if depthwise else mean @ over


def largest_sum(place: Place, largest: float) -> int:
    """The largest whole number that a sum of an int8 product may reach, for inputs up to `largest`."""
    weights = np.abs(np.asarray(_numpy(place.product._kernel), "int64"))
    axes = tuple(range(weights.ndim - len(place.product.scale.shape)))
    highest = float(LARGEST) if place.rounds else max(largest, 1.0)
    return math.ceil(float(weights.sum(axis=axes).max(initial=0)) * highest)


def _numpy(variable: Any) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(variable), "float64")
