"""The interface of a backend, in one place: what it must provide, and the fast forms that it may provide.

A backend is a folder, `ops/torch`, `ops/jax`, `ops/tensorflow`, whose `BACKEND` fills this in. `reference.py` defines
in keras.ops what every fast form computes; where one is None, or returns None for a device, a dtype or a shape, the
reference is the fallback. The folders have the same files for the same roles: neuron, norm, attention, pool, products,
runtime (how functions run), watching (which products ran), and calls (how tensors reach the compiled loops of
`ops/cpu`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar

import keras

from kspike._types import Array, Currents, Frames, PerChannel, Potentials, Signal, Spikes, Tokens
from kspike.ops.watching import Ran
from kspike.surrogate import Surrogate

_Found = TypeVar("_Found")
#: A fast form: it returns a tensor, or None for the fallback to run.
Fast = Callable[..., _Found | None] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """One backend. Shapes are those of `kspike.ops`; `None` is a form that it lacks.

    Required:
        name: as KERAS_BACKEND has it.
        compiles: whether `jit` compiles, one program for each input shape.
        spike: (u, surrogate) -> 1 where u >= 0, else 0, NaN where u is; its gradient is the surrogate's derivative.
        divide: (y, tau) -> y / tau, correctly rounded in compiled code too.
        jit: (fn, variables) -> fn compiled for inference; what it assigns to the variables takes effect.
        gradients: (fn, of, variables) -> the gradient of a scalar function, compiled as by `jit`.
        accelerated: () -> whether new tensors live on another device than the CPU.
        place: (number) -> a context that marks the products run inside it.
        watched: (run, args) -> what `run` returns, and the products that ran inside places.

    Fast forms:
        charge, reset: a time step's potential before its spikes and after them.
        run_program: a neuron's step, as a list of operations, over time.
        level: the integer neuron.
        lif: neurons over time. lif_from: the same from given potentials; it returns the last ones too.
        norm_lif: normalisation and neurons in one pass forward and one backward.
        batch_norm: normalisation by the batch's own moments.
        linear, convolve: products, sparse where the input is.
        convolve_inside: a convolution of any stride without zeros around. depthwise: each channel by itself.
        attend: q k^T v. attend_chosen: the same where the head width is a run-time tensor.
        max_pool: 3x3, stride 2.
        by_parts: a function of images run in chunks of the batch. parts_of: in how many.
        clip_each: gradients clipped by their norm, one by one.
        recorded: a function as CUDA graphs.

    Of one backend alone:
        substituted: (layer) -> variables that torch.func has put other tensors in place of.
        with_shape: (x, shape) -> x with a static shape, where a TensorFlow graph leaves axes open.
        KeepsWeights: a mixin for models, as Keras' loops under jax take the values out of the variables.
        branch: () -> a context in which a branch of a switch is traced.
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

    charge: Fast[Potentials] = None
    reset: Fast[Potentials] = None
    run_program: Fast[Spikes] = None
    level: Fast[Currents] = None
    lif: Fast[Spikes] = None
    lif_from: Fast[tuple[Spikes, Potentials]] = None
    norm_lif: Fast[tuple[Spikes, PerChannel, PerChannel]] = None
    batch_norm: Fast[tuple[Signal, PerChannel, PerChannel]] = None
    linear: Fast[Annotated[Array, "... outputs"]] = None
    convolve: Fast[Frames] = None
    convolve_inside: Fast[Frames] = None
    depthwise: Fast[Frames] = None
    attend: Fast[Tokens] = None
    attend_chosen: Fast[Tokens] = None
    max_pool: Fast[Frames] = None
    by_parts: Fast[Annotated[Array, "batch outputs"]] = None
    parts_of: Fast[int] = None
    clip_each: Fast[list[Array]] = None
    recorded: Fast[Callable[[Array], Array]] = None

    substituted: Callable[[keras.layers.Layer], list[tuple[keras.Variable, Array]]] | None = None
    with_shape: Callable[[Array, tuple], Annotated[Array, "*shape"]] | None = None
    KeepsWeights: type | None = None
    branch: Callable[[], AbstractContextManager] | None = None

    def lacks(self) -> tuple[str, ...]:
        """The fast forms that it does not have: there the fallback runs."""
        fast = [f.name for f in dataclasses.fields(self) if str(f.type).startswith("Fast[")]
        return tuple(name for name in fast if getattr(self, name) is None)
