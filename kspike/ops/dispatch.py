"""Dispatch: chooses which form of an operation runs, the backend's fast form or the fallback, the reference."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
from keras import ops

from kspike import surrogate as surrogates
from kspike._types import (
    Array,
    Currents,
    Frames,
    Heads,
    Images,
    PerChannel,
    PerStep,
    Potentials,
    Scalar,
    Signal,
    Spikes,
    Tokens,
)
from kspike.ops import reference
from kspike.ops.cpu import threads
from kspike.ops.program import Program
from kspike.ops.watching import Ran

_BACKEND = keras.backend.backend()
if _BACKEND == "torch":
    from kspike.ops.torch import BACKEND as backend
elif _BACKEND == "jax":
    from kspike.ops.jax import BACKEND as backend
elif _BACKEND == "tensorflow":
    from kspike.ops.tensorflow import BACKEND as backend
else:
    raise ImportError(
        f"kspike runs on the Keras backends torch, jax and tensorflow; this process uses {_BACKEND!r}. "
        "Set the environment variable KERAS_BACKEND to one of them before Keras is imported."
    )

_reference_only = os.environ.get("KSPIKE_REFERENCE_OPS", "0") not in ("", "0")


def use_reference(flag: bool = True) -> None:
    """Switches every backend's fast forms off (True) or on again (False)."""
    global _reference_only
    _reference_only = bool(flag)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Within it every fast form is off: programs compiled within it run in other processes, too."""
    before = _reference_only
    use_reference(True)
    try:
        yield
    finally:
        use_reference(before)


def uses_reference() -> bool:
    """Whether the fast forms are switched off."""
    return _reference_only


@contextlib.contextmanager
def ordered_sums() -> Iterator[None]:
    """Within it a CPU's products and convolutions are sparse whatever the density: sums run over nonzeros in order.

    A masked subnet and the network extracted from its supernet then sum the same terms in the same order, and are equal
    bit for bit: dense products sum in blocks that depend on the number of zeros beside. For comparisons; slower where
    the density is high. Compiled code reads it at trace time, as `use_reference`.
    """
    before, threads.ordered = threads.ordered, True
    try:
        yield
    finally:
        threads.ordered = before


def _fast(name: str) -> Callable | None:
    return None if _reference_only else getattr(backend, name)


def spike(u: Annotated[Array, "..."], surrogate: Any = "sigmoid") -> Annotated[Array, "..."]:
    """1 where u = h - v_threshold >= 0, else 0, in u's dtype; in backward the surrogate's derivative.

    Args:
        u: float tensor of any shape.
        surrogate: name or `kspike.surrogate` object.
    """
    return backend.spike(u, surrogates.get(surrogate))


def charge(
    v: Potentials,
    x: Potentials,
    *,
    tau: float | Array | None = None,
    inverse_tau: Array | None = None,
    v_reset: float | None = 0.0,
    decay_input: bool = True,
) -> Potentials:
    """One step of `lif` up to its spikes: h[t] from v[t-1] and x[t], `(batch, ...)`; arguments as there."""
    fast = _fast("charge") if inverse_tau is None else None
    h = None if fast is None else fast(v, x, tau, v_reset, decay_input)
    return reference.charge(v, x, over(tau, inverse_tau), v_reset, decay_input) if h is None else h


def over(tau: float | Array | None = None, inverse_tau: Array | None = None) -> Callable[[Array], Array]:
    """y -> y / tau as every form of the neuron rounds it, or y * inverse_tau."""
    if inverse_tau is not None:
        return lambda y: y * inverse_tau
    given: Any = tau
    return lambda y: backend.divide(y, given)


def reset(
    h: Potentials, s: Potentials, *, v_threshold: float | Array, v_reset: float | None, detach_reset: bool = True
) -> Potentials:
    """One step of `lif` after its spikes s: v[t] from h[t]; arguments as there."""
    fast = _fast("reset") if detach_reset else None
    v = None if fast is None else fast(h, s, v_threshold, v_reset)
    return reference.reset(h, ops.stop_gradient(s) if detach_reset else s, v_threshold, v_reset) if v is None else v


def run_program(
    x: Currents, program: Program, starts: tuple[float, ...], again: Callable[[Currents], Spikes], **constants: Any
) -> Spikes | None:
    """Spikes of a neuron's program over axis 1; None where this backend or device has no form for it.

    Args:
        x: `(batch, time, ...)`.
        program: one time step.
        starts: the number that every state starts from.
        again: the same by the step itself, for derivatives of derivatives.
        **constants: tau, v_threshold (numbers), v_reset, decay_input, surrogate of `lif`.
    """
    fast = _fast("run_program")
    return fast(x, program, starts, again, **constants) if fast is not None and _is_concrete(x) else None


def lif(
    x: Currents,
    *,
    tau: float | Array | None = None,
    inverse_tau: Array | None = None,
    v_threshold: float | Array = 1.0,
    v_reset: float | None = 0.0,
    decay_input: bool = True,
    detach_reset: bool = True,
    surrogate: Any = "sigmoid",
    dtype: str | None = None,
    v: float | Potentials | None = None,
) -> Spikes | Any:
    """Runs leaky integrate-and-fire neurons over axis 1, starting at v_reset (0 for a soft reset).

    Args:
        x: input currents `(batch, time, ...)`. Half-precision input is integrated in float32.
        tau: membrane time constant in time steps, a number or a tensor that broadcasts over `(batch, ...)`.
        inverse_tau: in place of tau, a tensor of 1 / tau, for a learned one: tau and v_threshold are constants to the
            fast forms, which give them no gradient.
        v_threshold, v_reset, decay_input, detach_reset, surrogate: as `kspike.layers.LIF`.
        dtype: of the spikes; None for that of x.
        v: initial potentials in place of v_reset, a float or `(batch, ...)`, a tensor that may be written over.

    Returns:
        Spikes, 0.0 or 1.0, in the shape of x; with `v`, (spikes, the potentials after the last step).
    """
    if (tau is None) == (inverse_tau is None):
        raise ValueError("lif needs exactly one of tau and inverse_tau.")
    surrogate = surrogate if isinstance(surrogate, surrogates.Surrogate) else surrogates.get(surrogate)
    dtype = dtype or keras.backend.standardize_dtype(x.dtype)
    args: dict[str, Any] = {
        "tau": tau,
        "v_threshold": v_threshold,
        "v_reset": v_reset,
        "decay_input": decay_input,
        "detach_reset": detach_reset,
        "surrogate": surrogate,
    }
    fast = _fast("lif" if v is None else "lif_from")
    if fast is not None and _simple(tau, inverse_tau, v_threshold, x) and _is_concrete(x) and x.shape[1]:
        start = {} if v is None else {"v": v, "norm": None}
        found = fast(x, inverse_tau=inverse_tau, dtype=dtype, **start, **args)
        if found is not None:
            return found
    x = x if keras.backend.standardize_dtype(x.dtype) in ("float32", "float64") else ops.cast(x, "float32")
    if inverse_tau is not None:
        inverse_tau = ops.cast(inverse_tau, x.dtype)
    spikes, last = reference.lif(x, inverse_tau=inverse_tau, spike=backend.spike, divide=backend.divide, v=v, **args)
    spikes = ops.cast(spikes, dtype)
    return spikes if v is None else (spikes, last)


def level(x: Currents, levels: int) -> Currents:
    """The integer neuron: round(clip(x, 0, levels)) / levels, half to even, of a float tensor of any shape.

    Its gradient is 1 / levels in [0, levels], both ends included, and 0 outside.
    """
    fast = _fast("level")
    y = fast(x, levels) if fast is not None and _is_concrete(x) else None
    return reference.level(x, levels, backend.divide) if y is None else y


def norm_lif(
    x: Signal,
    gamma: PerChannel,
    beta: PerChannel,
    moments: tuple[PerChannel, PerChannel] | None,
    epsilon: float,
    *,
    dtype: str,
    v: float | Potentials | None = None,
    time_mask: PerStep | None = None,
    **neuron: Any,
) -> tuple[Spikes | Any, PerChannel, PerChannel] | None:
    """Normalises the last axis and runs `lif` on it, one pass forward and one backward: (spikes, mean, variance).

    With `v`, initial potentials, ((spikes, the potentials after the last step), mean, variance).

    Args:
        x: `(batch, time, ..., channels)`.
        gamma, beta: scale and shift by channel.
        moments: (mean, variance) to normalise by; None for the batch's own, which are returned.
        epsilon: added to the variance.
        dtype: of the spikes.
        time_mask: `(time,)`: 1.0 for the steps that run, which are the first ones, else 0.0: those enter no moment, and
            have no spikes. None: all run.
        **neuron: tau (one number) or inverse_tau (one, or one a channel), v_threshold (one number), v_reset,
            decay_input, detach_reset, surrogate of `lif`.

    Returns:
        None where this backend, device or dtype has no such fast form: call `batch_norm` and `lif` then.
    """
    fast = _fast("norm_lif" if v is None else "lif_from")
    neuron = {"tau": None, "inverse_tau": None, **neuron}
    if (
        fast is None
        or not _is_concrete(x)
        or len(x.shape) < 3
        or not _simple(neuron["tau"], neuron["inverse_tau"], neuron["v_threshold"], x)
    ):
        return None
    if v is None:
        return fast(x, gamma, beta, moments, epsilon, dtype=dtype, time_mask=time_mask, **neuron)
    if moments is None:
        return None
    found = fast(x, v=v, norm=(gamma, beta, moments, epsilon), dtype=dtype, **neuron)
    return found and (found, *moments)


def _simple(tau: float | Array | None, inverse_tau: Array | None, v_threshold: float | Array, x: Currents) -> bool:
    """Whether tau and v_threshold are one number each, and 1 / tau is one or one a channel."""
    single = all(len(getattr(value, "shape", ())) == 0 for value in (tau, v_threshold))
    shape = tuple(getattr(inverse_tau, "shape", ()))
    return single and (shape in ((), (1,)) or (len(x.shape) > 2 and shape == (x.shape[-1],)))


def _is_concrete(x: Any) -> bool:
    """Whether x is a tensor, not a symbolic KerasTensor."""
    return not isinstance(x, keras.KerasTensor)


def _has_sizes(x: Any) -> bool:
    """Whether x is a tensor of which all sizes but that of the batch are known."""
    return _is_concrete(x) and None not in x.shape[1:]


def linear(
    x: Annotated[Array, "... inputs"],
    kernel: Annotated[Array, "inputs outputs"],
    bias: Annotated[Array, "outputs"] | None = None,
) -> Annotated[Array, "... outputs"]:
    """x kernel + bias over the last axis, in x's dtype: `(..., inputs)` and `(inputs, outputs)` -> `(..., outputs)`."""
    fast = _fast("linear")
    y = fast(x, kernel, bias) if fast is not None and _is_concrete(x) else None
    return reference.linear(x, kernel, bias) if y is None else y


def attend(q: Heads, k: Heads, v: Heads) -> Tokens:
    """q k^T v without softmax, in float32: (batch, time, tokens, heads, head_dim) -> (batch, time, tokens, channels).

    (q k^T) v = q (k^T v) exactly for integers, as spikes are, so the cheaper order is used: k^T v first where there are
    more tokens than channels in a head. Heads of v may have more channels than those of q and k; the result has as many
    as v.
    """
    fast = _fast("attend") if v.shape[-1] == q.shape[-1] else None
    y = fast(q, k, v) if fast is not None and _is_concrete(q) else None
    return reference.attend(q, k, v) if y is None else y


def attend_chosen(q: Tokens, k: Tokens, v: Tokens, head_dims: tuple[int, ...], index: Scalar) -> Tokens:
    """q k^T v, in float32, of (batch, time, tokens, channels), where the head width is a run-time tensor.

    `index`, a tensor, picks it from `head_dims`; no shape depends on it. Where channels are no multiple of the width,
    the channels of the incomplete last head have to be zero, as a supernet's inactive ones are. v may have a multiple
    of the channels of q and k, and its heads as many times their width.
    """
    fast = _fast("attend_chosen") if v.shape[-1] == q.shape[-1] else None
    y = fast(q, k, v, head_dims, index) if fast is not None and _is_concrete(q) else None
    return reference.attend_chosen(q, k, v, head_dims, index) if y is None else y


def batch_norm(x: Signal, gamma: PerChannel, beta: PerChannel, epsilon: float) -> tuple[Signal, PerChannel, PerChannel]:
    """Normalises the last axis by the batch's own moments: (y, mean, biased variance); moments in float32."""
    fast = _fast("batch_norm")
    if fast is not None and _is_concrete(x):
        return fast(x, gamma, beta, epsilon)
    return reference.batch_norm(x, gamma, beta, epsilon)


def max_pool(x: Frames, stride: int = 2) -> Frames:
    """3x3 max-pool, one pixel of padding on each side: (n, h, w, c) -> (n, ceil(h/stride), ceil(w/stride), c).

    Backends have a form of their own for stride 2.
    """
    fast = _fast("max_pool") if stride == 2 else None
    y = fast(x) if fast is not None and _has_sizes(x) else None
    return reference.max_pool(x, stride) if y is None else y


def convolve(
    x: Annotated[Array, "frames height width inputs"],
    kernel: Annotated[Array, "kernel_height kernel_width inputs outputs"],
) -> Annotated[Array, "frames height width outputs"]:
    """Convolution of stride 1 that keeps height and width: (n, h, w, c) and (a, b, c, d) -> (n, h, w, d)."""
    fast = _fast("convolve")
    y = fast(x, kernel) if fast is not None and _has_sizes(x) else None
    return reference.convolve(x, kernel) if y is None else y


def convolve_inside(
    x: Annotated[Array, "frames height width inputs"],
    kernel: Annotated[Array, "kernel_height kernel_width inputs outputs"],
    strides: tuple[int, int] = (1, 1),
) -> Annotated[Array, "frames out_height out_width outputs"]:
    """Convolution of any stride without zeros around: where they are wanted, x has them."""
    fast = _fast("convolve_inside")
    y = fast(x, kernel, strides) if fast is not None and _has_sizes(x) else None
    return reference.convolve_inside(x, kernel, strides) if y is None else y


def depthwise(
    x: Frames,
    kernel: Annotated[Array, "kernel_height kernel_width channels 1"],
    strides: tuple[int, int] = (1, 1),
    padding: str = "valid",
) -> Frames:
    """Convolution of each channel by itself: "valid" of any stride, "same" of stride 1."""
    fast = _fast("depthwise")
    y = fast(x, kernel, strides, padding) if fast is not None and _has_sizes(x) else None
    return reference.depthwise(x, kernel, strides, padding) if y is None else y


def branch() -> contextlib.AbstractContextManager:
    """The context in which a branch of a switch is traced: some backends compile what stands in one otherwise."""
    made = backend.branch
    return contextlib.nullcontext() if made is None else made()


def by_parts(fn: Callable[[Array], Array], x: Images, numbers: int, dtype: str) -> Annotated[Array, "batch outputs"]:
    """fn(x) for a function that treats images independently: in chunks of the batch, where that is faster.

    Args:
        fn: takes `(batch, ...)`, returns one tensor of the same batch.
        x: `(batch, ...)`.
        numbers: elements of the largest intermediate tensor for one image.
        dtype: of those.
    """
    fast = _fast("by_parts")
    y = fast(fn, x, numbers, dtype) if fast is not None and _is_concrete(x) else None
    return fn(x) if y is None else y


def parts_of(images: int, numbers: int, dtype: str) -> int:
    """In how many chunks `by_parts` runs a batch of so many images; its other arguments are those of `by_parts`."""
    fast = _fast("parts_of")
    return fast(images, numbers, dtype) if fast is not None and not accelerated() else 1


def clip_each(gradients: Sequence[Array], longest: float) -> list[Array] | None:
    """Gradients, each clipped to the L2 norm `longest`; None where this backend has no fast form.

    Keras does it one variable after the other, which under eager torch is a tenth of a small network's step.
    """
    fast = _fast("clip_each")
    return fast(gradients, longest) if fast is not None else None


def recorded(
    fn: Callable[[Array], Array], module: keras.layers.Layer, example: Array
) -> Callable[[Array], Array] | None:
    """fn(x), with its gradients, captured as CUDA graphs and replayed for every x of the example's shape and dtype.

    A training step launches some hundred kernels from Python, which takes longer than the kernels themselves on a fast
    GPU. What fn does must depend on nothing but x and the module's variables.

    Args:
        fn: takes and returns one tensor.
        module: the layer whose variables fn reads and assigns.
        example: a tensor like those to come.

    Returns:
        None where this backend or device has no such graphs: call fn then.
    """
    fast = _fast("recorded")
    return fast(fn, module, example) if fast is not None else None


if TYPE_CHECKING:
    from keras import Model as KeepsWeights
else:

    class KeepsWeights:
        """A mixin before keras.Model: an error raised in `predict` or `evaluate` does not empty the variables.

        It does nothing, except where Keras' loops take the values out of the variables (`jax/trainer`).
        """

    KeepsWeights = backend.KeepsWeights or KeepsWeights


def with_shape(x: Annotated[Array, "*shape"], shape: tuple[int | None, ...]) -> Annotated[Array, "*shape"]:
    """x with this static shape (None: any), where a graph leaves axes open; every batch is checked against it."""
    unknown = any(found is None and wanted is not None for found, wanted in zip(x.shape, shape, strict=True))
    fast = backend.with_shape
    return fast(x, shape) if fast is not None and unknown and _is_concrete(x) else x


def accelerated() -> bool:
    """Whether tensors live on another device than the CPU."""
    return backend.accelerated()


def substituted(layer: keras.layers.Layer) -> list[tuple[keras.Variable, Array]]:
    """Variables of a layer for which torch.func has substituted tensors in this call, each with its tensor.

    For `keras.StatelessScope(state_mapping=...)`; empty in any ordinary call.
    """
    return [] if backend.substituted is None else backend.substituted(layer)


_compilations = [0]


def compilation_counter() -> int:
    """How many programs `jit` has traced in this process; a search must not raise it from candidate to candidate."""
    return _compilations[0]


def compiles() -> bool:
    """Whether `jit` compiles on this backend: one program for each input shape."""
    return backend.compiles


def jit(fn: Callable, variables: Sequence[keras.Variable] = ()) -> Callable:
    """Compiles `fn` for inference on this backend: jax.jit, tf.function, or eager torch without gradients.

    Args:
        fn: takes tensors, returns a nest of tensors; may read and assign the keras Variables listed.
        variables: every variable that `fn` reads or assigns; assignments take effect after each call.

    Returns:
        A callable of the same arguments (arrays or tensors). A new input shape compiles anew; new values do not.
    """

    def counted(*args: Any) -> Any:
        _compilations[0] += 1
        return fn(*args)

    return backend.jit(counted if backend.compiles else fn, list(variables))


def place(number: int) -> contextlib.AbstractContextManager:
    """Within it, operations run (or are traced) at the place of this number, which `watched` reports."""
    return backend.place(number)


def watched(run: Callable, args: tuple) -> tuple[Any, list[Ran]]:
    """(run(*args), the matrix products and convolutions that ran inside places).

    Whoever called them: the backend's own operators, as torch's dispatcher, jax's program or tensorflow's graph shows
    them. Code that the backend calls from outside (numba, a user's kernel) is not seen.

    Args:
        run: what `jit` returned.
        args: its arguments.
    """
    return backend.watched(run, args)


def gradients(fn: Callable, of: Sequence[keras.Variable], variables: Sequence[keras.Variable] = ()) -> Callable:
    """The gradient of a scalar function with respect to variables, compiled as by `jit`.

    Args:
        fn: takes tensors, returns (scalar, a nest of further tensors); may read and assign the keras Variables listed.
        of: trainable variables to differentiate by.
        variables: every other variable that `fn` reads or assigns. What it assigns may, or may not, take effect.

    Returns:
        A callable of the same arguments that returns (the further tensors, one gradient a variable); zeros where the
        scalar does not depend on it.
    """
    return backend.gradients(fn, list(of), list(variables))
