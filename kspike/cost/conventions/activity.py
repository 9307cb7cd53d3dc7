"""What was measured at one product, as a convention sees it: its input, its size, and the layers around it."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Attention:
    """What an attention product multiplies: its mean spikes, and its size.

    Args:
        role: "qk" for Q K^T, "av" for A V.
        q, k, v: mean of each input over the images measured (or one number an image).
        tokens, head_dim: numbers of tokens and of channels in a head (of v for "qk", of q and k for "av", where these
            differ); together with `dense` the whole size.
    """

    role: str
    q: Any
    k: Any
    v: Any
    tokens: int
    head_dim: float


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The size of a product, for one image over all time steps.

    Args:
        inputs, outputs: numbers in its input and in its output.
        weights: numbers that it multiplies by, kept for all steps: kernel and bias (of attention: K, or V, of a step).
        reach: multiply-accumulates that meet a number of the input, not the padding.
        fan: weights that each number of the input meets, away from the borders.
        steps: how often it runs (1 where an `Activity` tells time steps apart).
        kernel, strides: of a convolution's window; empty for others.
        biased: whether it adds a bias.
    """

    inputs: Any = 0
    outputs: Any = 0
    weights: int = 0
    reach: Any = 0
    fan: int = 0
    steps: Any = 1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    biased: bool = False


@dataclasses.dataclass(frozen=True)
class Around:
    """The neurons, normalisations and pools counted on a product's row, for one image over all time steps.

    Args:
        updates: membranes updated.
        spikes: how many spikes they fired.
        normalised: numbers that go through normalisation.
        pooled: numbers that go into a pool.
        pooled_spikes: the sum of these numbers, where they are spikes or counts.
        pooled_real: how many they are, where they are real.
    """

    updates: Any = 0
    spikes: Any = 0
    normalised: Any = 0
    pooled: Any = 0
    pooled_spikes: Any = 0
    pooled_real: Any = 0


@dataclasses.dataclass(frozen=True)
class Activity:
    """What was measured at one product: all that a convention may look at.

    Args:
        name, kind: path of the layer; "conv", "dense" or "attention".
        dense: multiply-accumulates of the dense product for one image, all time steps together, padding included.
        rate: mean of the input: the firing rate where it is spikes, the mean spike count where it is integers. An array
            with one number an image, or a time step, when the spread over images or the change over time is asked for;
            `touched`, `spiking`, `active` and `around` then hold arrays likewise.
        counts: whether every number of the input, over all images, is a non-negative integer.
        largest, smallest: the largest and the smallest number of the input.
        static: whether the input is a still image, repeated in time: values of pixels, even where they are integers.
        attention: filled for attention products.
        whole: whether every number of the input is an integer, of either sign.
        active: share of the input that is not zero.
        touched: pairs of a nonzero input and a nonzero weight that meet, padding left out (for Q K^T: of a spike in Q
            and one in K).
        spiking: the part of `touched` from batches whose whole input is -1, 0 or 1.
        geometry: its size.
        around: the neurons, normalisations and pools counted on its row.
    """

    name: str
    kind: str
    dense: Any
    rate: Any
    counts: bool
    largest: float
    static: bool = False
    attention: Attention | None = None
    smallest: float = 0.0
    whole: bool = True
    active: Any = 0.0
    touched: Any = 0.0
    spiking: Any = 0.0
    geometry: Geometry = Geometry()
    around: Around = Around()
