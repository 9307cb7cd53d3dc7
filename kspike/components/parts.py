"""What components are made of, as data: products, normalisations, neurons and pools, their sizes given by name.

A size is the name of a dimension of the place where the component stands:

    width     channels of the tokens, D
    hidden    hidden channels of the block's MLP
    heads     attention heads of the block
    tokens    tokens, N
    image     channels of the image, in a stem
    before    channels of the stage that ends, in a downsampling
    stem_0, stem_1, stem_2    channels of the first three stages of the stem

`width/2`, `width/4`, `width/8` are fractions of it, `width*2`, `width*4`, `width*8` multiples. Readers give each name a
number (one network), an array (a population) or an extent of shared weights (a supernet). Imports no Keras.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Dimensions by name; each may be followed by "/2", "/4" or "/8", or by "*2", "*4" or "*8".
SIZES = ("width", "hidden", "heads", "tokens", "image", "before", "stem_0", "stem_1", "stem_2")
FACTORS = (2, 4, 8)
_NAMES = frozenset((*SIZES, *(f"{name}{sign}{factor}" for name in SIZES for sign in "/*" for factor in FACTORS)))


class Size(NamedTuple):
    """What a size's name says: a dimension, so many times, or divided by so many."""

    dimension: str
    times: int = 1
    over: int = 1

    def of(self, number: Any) -> Any:
        """The size where the dimension is `number`: an int, or an array of them."""
        return number * self.times // self.over


@functools.cache
def split(size: str) -> Size:
    """A size's dimension, and what it is multiplied and divided by.

    Example:
        >>> split("width/8").over, split("width*4").times, split("heads")
        (8, 4, Size(dimension='heads', times=1, over=1))
    """
    name, over = size.partition("/")[::2]
    name, times = name.partition("*")[::2]
    return Size(name, int(times or 1), int(over or 1))


def number_of(sizes: Mapping[str, Any], size: str) -> Any:
    """The number behind a size's name, of dimension -> number.

    Example:
        >>> number_of({"width": 64}, "width/8"), number_of({"width": 64}, "width*4")
        (8, 256)
    """
    named = split(size)
    return named.of(sizes[named.dimension])


def times(size: str, factor: int) -> str:
    """The name of a dimension so many times: 1, 2, 4 or 8.

    Example:
        >>> times("width", 4), times("width", 1)
        ('width*4', 'width')
    """
    return size if factor == 1 else f"{size}*{factor}"


def known(size: Any) -> bool:
    """Whether a size has a name that a reader knows."""
    return isinstance(size, str) and size in _NAMES


@dataclasses.dataclass(frozen=True)
class Part:
    """Base of all parts."""

    @functools.cached_property
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
        padded: whether zeros are put around the image; else each side gets shorter by `kernel - 1`.
    """

    channels: str
    kernel: int = 3
    stride: int = 1
    bias: bool = False
    of: str | None = None
    padded: bool = True


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
class BorderNorm(Norm):
    """Batch normalisation, and a border around its result: what it makes of 0 by the moving statistics.

    `(batch, time, height, width, channels)` -> `(batch, time, height + 2, width + 2, channels)`.
    """


@dataclasses.dataclass(frozen=True)
class Neuron(Part):
    """Spiking neurons, one a number of the last axis: `part.name(x)`, or `part.name(x, norm=part.norm)`.

    Args:
        kind: whose tau and threshold: one of `kspike.components.KINDS`.
        channels: size of the last axis.
        copies: so many groups of channels side by side, each with learned weights of its own.
        tokens: how many tokens fire where that is not all of them: 1 where tokens are summed before.
        of: as `Conv`.
    """

    kind: str
    channels: str
    copies: int = 1
    tokens: int | None = None
    of: str | None = None


@dataclasses.dataclass(frozen=True)
class MatMul(Part):
    """A product of two activations over the tokens, a head at a time: `sizes.attend(q, k, v)` runs "qk" and "av".

    Args:
        role: "qk" (scores) or "av" (what they weigh).
        channels: size of all heads of q, and of k, together.
        scaled: whether its result is multiplied by a factor.
        chunk: time steps whose tokens meet: every token meets those of so many steps.
        values: size of all heads of v together, where that is another.
    """

    role: str
    channels: str = "width"
    scaled: bool = False
    chunk: int = 1
    values: str | None = None

    @functools.cached_property
    def sizes(self) -> tuple[str, ...]:
        return self.own, self.other, "heads"

    @property
    def own(self) -> str:
        """Size of what goes in beside the scores: of q and k, or of v."""
        return self.channels if self.role == "qk" else self.values or self.channels

    @property
    def other(self) -> str:
        """Size of what the product beside it takes."""
        return self.values or self.channels if self.role == "qk" else self.channels


@dataclasses.dataclass(frozen=True)
class Pool(Part):
    """3x3 max-pool, padding 1: `(batch, time, height, width, channels)`; the stride rounds sizes up.

    Args:
        channels: size.
        stride: 1 or 2; 1 with `heads`.
        of: as `Conv`.
        heads: whether it pools `(batch, time, tokens, channels)` over tokens and the channels of a head, as if these
            were height and width: `sizes.pool_heads(x)` runs it.
    """

    channels: str
    stride: int = 2
    of: str | None = None
    heads: bool = False

    def __post_init__(self) -> None:
        if self.heads and self.stride != 1:
            raise ValueError(f"A pool over heads keeps tokens and channels: stride must be 1, got {self.stride!r}.")

    @property
    def sizes(self) -> tuple[str, ...]:
        return (*super().sizes, "heads") if self.heads else super().sizes


@dataclasses.dataclass(frozen=True)
class Sum(Part):
    """Additions, or masks, that `forward` does by itself: nothing to call, counted on the product before it.

    Args:
        channels: how many numbers a token or pixel are added.
    """

    channels: str


PRODUCTS = (Dense, Conv, DepthwiseConv, MatMul)
