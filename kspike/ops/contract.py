"""What kspike asks of a backend, in one place: what it must give, and fast forms that it may give.

A backend is a folder, `ops/torch`, `ops/jax`, `ops/tensorflow`, whose `BACKEND` fills this in. `reference.py` says in
keras.ops what every fast form computes; where one is None, or answers None for a device, a type or a shape, the
reference runs. The folders have the same files for the same roles: neuron, norm, attention, pool, products, runtime
(how functions run), watching (which products ran), and calls (how tensors enter the compiled loops of `ops/cpu`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar

import keras

from kspike._types import Array, Frames, PerChannel, Potentials, Signal, Spikes, Tokens
from kspike.ops.watching import Ran
from kspike.surrogate import Surrogate

_Found = TypeVar("_Found")
#: A fast form: what it gives, or None where the reference is to run.
Fast = Callable[..., _Found | None] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """One backend. Shapes are those of `kspike.ops`; `None` stands for what a backend lacks.

    Required:
        name: as KERAS_BACKEND has it.
        compiles: whether `jit` compiles, a program for each shape that comes.
        spike: (u, surrogate) -> 1 where u >= 0, else 0, NaN where u is; backward the surrogate's derivative.
        divide: (y, tau) -> y / tau, correctly rounded in compiled code too.
        jit: (fn, variables) -> fn compiled for inference; what it assigns to the variables takes effect.
        gradients: (fn, of, variables) -> the gradient of a scalar function, compiled as `jit` compiles.
        accelerated: () -> whether new tensors live on another device than the CPU.
        place: (number) -> a context that marks the products run inside it.
        watched: (run, args) -> what `run` gives, and the products that ran inside places.

    Fast forms:
        lif: neurons over time. lif_from: the same from potentials given, which it gives back.
        norm_lif: normalisation and neurons in one pass each way.
        batch_norm: normalisation by the batch's own moments.
        linear, convolve: products, sparse where few inputs are not 0.
        attend: q k^T v. attend_chosen: the same where the head width is a run-time tensor.
        max_pool: 3x3, stride 2.
        by_parts: a function of images run chunk by chunk of the batch.
        clip_each: gradients shortened one by one.
        recorded: a function recorded on a GPU and replayed.

    Of one backend alone:
        substituted: (layer) -> variables that torch.func has put other tensors in place of.
        with_shape: (x, shape) -> x with axes told that a TensorFlow graph leaves open.
        KeepsWeights: a base class of models whose loops under jax take the values out of the variables.
    """

    name: str
    compiles: bool
    spike: Callable[[Annotated[Array, "..."], Surrogate], Annotated[Array, "..."]]
    divide: Callable[[Annotated[Array, "..."], float | Array], Annotated[Array, "..."]]
    jit: Callable[..., Callable]
    gradients: Callable[..., Callable]
    accelerated: Callable[[], bool]
    place: Callable[[int], AbstractContextManager]
    watched: Callable[[Callable, tuple], tuple[Any, list[Ran]]]

    lif: Fast[Spikes] = None
    lif_from: Fast[tuple[Spikes, Potentials]] = None
    norm_lif: Fast[tuple[Spikes, PerChannel, PerChannel]] = None
    batch_norm: Fast[tuple[Signal, PerChannel, PerChannel]] = None
    linear: Fast[Annotated[Array, "... outputs"]] = None
    convolve: Fast[Frames] = None
    attend: Fast[Tokens] = None
    attend_chosen: Fast[Tokens] = None
    max_pool: Fast[Frames] = None
    by_parts: Fast[Annotated[Array, "batch outputs"]] = None
    clip_each: Fast[list[Array]] = None
    recorded: Fast[Callable[[Array], Array]] = None

    substituted: Callable[[keras.layers.Layer], list[tuple[keras.Variable, Array]]] | None = None
    with_shape: Callable[[Array, tuple], Annotated[Array, "*shape"]] | None = None
    KeepsWeights: type | None = None

    def lacks(self) -> tuple[str, ...]:
        """Fast forms that it does not have: there the reference runs."""
        fast = [f.name for f in dataclasses.fields(self) if str(f.type).startswith("Fast[")]
        return tuple(name for name in fast if getattr(self, name) is None)
