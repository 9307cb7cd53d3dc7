"""What components are made of, as data: products, normalisations, neurons and pools, their sizes given by name.

A size is the name of a dimension of the place where the component stands:

    width     channels of the tokens, D
    hidden    hidden channels of the block's MLP
    heads     attention heads of the block
    tokens    tokens, N
    image     channels of the image, in a stem
    before    channels of the stage that ends, in a downsampling
    stem_0, stem_1, stem_2    channels of the first three stages of the stem

`width/2`, `width/4`, `width/8` are fractions of it. Readers give each name a number (one network), an array (a
population) or an extent of shared weights (a supernet). Imports no Keras.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

#: Dimensions by name; each may be followed by "/2", "/4" or "/8".
SIZES = ("width", "hidden", "heads", "tokens", "image", "before", "stem_0", "stem_1", "stem_2")
FRACTIONS = (2, 4, 8)


def split(size: str) -> tuple[str, int]:
    """A size's dimension and what it is divided by: "width/8" is ("width", 8).

    Example:
        >>> split("width/8"), split("heads")
        (('width', 8), ('heads', 1))
    """
    name, _, fraction = size.partition("/")
    return name, int(fraction) if fraction else 1


def number_of(sizes: Mapping[str, Any], size: str) -> Any:
    """The number behind a size's name, of dimension -> number.

    Example:
        >>> number_of({"width": 64}, "width/8")
        8
    """
    dimension, fraction = split(size)
    return sizes[dimension] // fraction


def known(size: Any) -> bool:
    """Whether a size has a name that a reader knows."""
    if not isinstance(size, str):
        return False
    name, slash, fraction = size.partition("/")
    return name in SIZES and (not slash or fraction in [str(n) for n in FRACTIONS])


@dataclasses.dataclass(frozen=True)
class Part:
    """Base of all parts."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """Every size that the part names, what comes in first."""
        return tuple(getattr(self, field) for field in ("inputs", "outputs", "channels") if hasattr(self, field))


@dataclasses.dataclass(frozen=True)
class Dense(Part):
    """A product over the last axis, with weights. `part.name(x)`: `(..., inputs)` -> `(..., copies * outputs)`.

    Args:
        inputs, outputs: sizes of one product.
        copies: products side by side on one input, computed as one (q, k and v: three).
        bias: whether it has a bias.
    """

    inputs: str
    outputs: str
    copies: int = 1
    bias: bool = True


@dataclasses.dataclass(frozen=True)
class Conv(Part):
    """A square convolution: `(batch, time, height, width, inputs)` -> `(..., outputs)`; a stride rounds sizes up.

    Args:
        inputs, outputs: sizes.
        kernel: its side, odd; `(kernel - 1) / 2` zeros are put around the image, as PyTorch does.
        stride: 1, 2 or 4.
        bias: whether it has a bias.
        of: the part whose output it takes where that is not the part before it: "" for the component's input.
    """

    inputs: str
    outputs: str
    kernel: int = 3
    stride: int = 1
    bias: bool = False
    of: str | None = None


@dataclasses.dataclass(frozen=True)
class DepthwiseConv(Part):
    """A square convolution of each channel by itself: `(batch, time, height, width, channels)` -> the same.

    Args:
        channels: size.
        kernel, stride, bias, of: as `Conv`.
    """

    channels: str
    kernel: int = 3
    stride: int = 1
    bias: bool = False
    of: str | None = None


@dataclasses.dataclass(frozen=True)
class Norm(Part):
    """Batch normalisation of the last axis. Alone: `part.name(x)`; with the neuron behind it in one pass:
    `part.neuron(x, norm=part.name)`.

    Args:
        channels: size.
        copies: so many side by side.
    """

    channels: str
    copies: int = 1


@dataclasses.dataclass(frozen=True)
class Neuron(Part):
    """Spiking neurons, one a number of the last axis: `part.name(x)`, or `part.name(x, norm=part.norm)`.

    Args:
        kind: whose tau and threshold: one of `kspike.components.KINDS`.
        channels: size of the last axis.
        copies: so many groups of channels side by side, each with learned weights of its own.
        tokens: how many tokens fire where that is not all of them: 1 where tokens are summed before.
    """

    kind: str
    channels: str
    copies: int = 1
    tokens: int | None = None


@dataclasses.dataclass(frozen=True)
class MatMul(Part):
    """A product of two activations over the tokens, a head at a time: `sizes.attend(q, k, v)` runs "qk" and "av".

    Args:
        role: "qk" (scores) or "av" (what they weigh).
        channels: size of all heads together.
        scaled: whether its result is multiplied by a factor.
    """

    role: str
    channels: str = "width"
    scaled: bool = False

    @property
    def sizes(self) -> tuple[str, ...]:
        return *super().sizes, "heads"


@dataclasses.dataclass(frozen=True)
class Pool(Part):
    """3x3 max-pool, padding 1: `(batch, time, height, width, channels)`; the stride rounds sizes up.

    Args:
        channels: size.
        stride: 1 or 2.
        of: as `Conv`.
    """

    channels: str
    stride: int = 2
    of: str | None = None


@dataclasses.dataclass(frozen=True)
class Sum(Part):
    """Additions, or masks, that `forward` does by itself: nothing to call, counted on the product before it.

    Args:
        channels: how many numbers a token or pixel are added.
    """

    channels: str


PRODUCTS = (Dense, Conv, DepthwiseConv, MatMul)
