"""What the tests need of each backend: gradients, plain arrays, and what every neuron of a model saw and fired."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kspike import ops

BACKEND = keras.backend.backend()


def to_numpy(x: Any) -> np.ndarray:
    """A tensor of any backend, any float width, as a NumPy array."""
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def input_gradient(fn: Callable, x: np.ndarray, upstream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """fn(x), and the gradient of sum(fn(x) * upstream) with respect to x."""
    if BACKEND == "torch":
        x = keras.ops.convert_to_tensor(x).requires_grad_(True)
        out = fn(x)
        (out * keras.ops.convert_to_tensor(upstream)).sum().backward()
        return to_numpy(out.detach()), to_numpy(x.grad)
    if BACKEND == "jax":
        import jax

        @jax.jit
        def both(x: Any, upstream: Any) -> tuple:
            out, pullback = jax.vjp(fn, x)
            return out, pullback(upstream.astype(out.dtype))[0]

        return tuple(map(to_numpy, both(jax.numpy.asarray(x), jax.numpy.asarray(upstream))))
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = fn(x)
        total = tf.reduce_sum(out * tf.cast(upstream, out.dtype))
    return to_numpy(out), to_numpy(tape.gradient(total, x))


def pullback(fn: Callable, arrays: Sequence[Any], upstream: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """fn(*arrays), and the gradients of sum(fn(*arrays)[0] * upstream) with respect to the arrays.

    In the form in which `ops.jit` runs it: compiled under jax, in a graph under TensorFlow.
    """
    arrays, upstream = [keras.ops.convert_to_tensor(a) for a in arrays], keras.ops.convert_to_tensor(upstream)
    if BACKEND == "torch":
        arrays = [a.detach().requires_grad_(True) for a in arrays]
        out = fn(*arrays)
        (out[0] * upstream).sum().backward()
        gradients = [0 * a.detach() if a.grad is None else a.grad for a in arrays]
        return [to_numpy(a.detach()) for a in out], [to_numpy(g) for g in gradients]

    def both(upstream: Any, *arrays: Any) -> tuple:
        if BACKEND == "jax":
            import jax

            out, back = jax.vjp(lambda *arrays: tuple(fn(*arrays)), *arrays)
            zeros = [jax.numpy.zeros_like(a) for a in out[1:]]
            return out, back((upstream.astype(out[0].dtype), *zeros))
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(arrays)
            out = fn(*arrays)
            total = tf.reduce_sum(out[0] * tf.cast(upstream, out[0].dtype))
        return out, tape.gradient(total, arrays)

    out, gradients = ops.jit(both)(upstream, *arrays)
    return [to_numpy(a) for a in out], [to_numpy(a) for a in gradients]


def weight_gradients(layer: keras.Layer, x: Any, loss: Callable, training: bool = True) -> tuple[Any, dict]:
    """layer(x), and the gradient of loss(layer(x)) for every trainable variable, by id(variable).

    Changes nothing in the layer: statistics that a training call moved are put back. A variable that the loss does not
    reach has the gradient None (torch, TensorFlow) or 0 (jax).
    """
    variables = layer.trainable_variables
    x = keras.ops.convert_to_tensor(x)
    if BACKEND == "jax":
        import jax

        def total(trainable: list, others: list, x: Any) -> tuple:
            # unlike a call, stateless_call hands `training` to a layer that does not take it
            mode = {"training": training} if layer._call_has_training_arg else {}
            out, _ = layer.stateless_call(trainable, others, x, **mode)
            return loss(out), out

        values = [[v.value for v in vs] for vs in (variables, layer.non_trainable_variables)]
        gradients, out = jax.jit(jax.grad(total, has_aux=True))(*values, x)
        return to_numpy(out), {id(v): to_numpy(g) for v, g in zip(variables, gradients, strict=True)}
    with _kept(layer):
        if BACKEND == "torch":
            layer.zero_grad()
            out = layer(x, training=training)
            loss(out).backward()
            gradients = [None if v.value.grad is None else v.value.grad.clone() for v in variables]
            layer.zero_grad()
            out = out.detach()
        else:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                out = layer(x, training=training)
                value = loss(out)
            gradients = tape.gradient(value, [v.value for v in variables])
    gradients = [None if g is None else to_numpy(g) for g in gradients]
    return to_numpy(out), {id(v): g for v, g in zip(variables, gradients, strict=True)}


def compiled(fn: Callable) -> Callable:
    """fn as the backend compiles it in fit: jax.jit, XLA under tf.function; torch runs fit eagerly."""
    if BACKEND == "jax":
        import jax

        return jax.jit(fn)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(fn, jit_compile=True)
    return fn


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Forward passes without a record for gradients (torch); the others keep none."""
    if BACKEND == "torch":
        import torch

        with torch.no_grad():
            yield
    else:
        yield


def run(layer: Callable, x: Any, **kwargs: Any) -> np.ndarray:
    """layer(x) as a NumPy array: eagerly, but on jax, where each eager operation is compiled for each shape, as one."""
    if BACKEND == "jax" and isinstance(layer, keras.Layer):
        x = keras.ops.convert_to_tensor(x)
        if not layer.built:
            layer(keras.KerasTensor(x.shape, dtype=keras.backend.standardize_dtype(x.dtype)), **kwargs)
        return to_numpy(ops.jit(lambda x: layer(x, **kwargs), layer.variables)(x))
    with eager():
        return to_numpy(layer(keras.ops.convert_to_tensor(x), **kwargs))


def wake(layer: keras.Layer) -> keras.Layer:
    """Fills a built layer so that its neurons do fire: as initialised, small nets stay silent and show nothing."""
    rng = np.random.RandomState(0)
    for variable in layer.trainable_variables:
        if variable.name == "kernel":
            fan_in = np.prod(variable.shape[:-1])
            variable.assign(rng.normal(0.0, 2.0 / np.sqrt(fan_in), variable.shape).astype("float32"))
        elif variable.name == "beta":
            variable.assign(rng.uniform(0.0, 2.0, variable.shape).astype("float32"))
    return layer


def traced(
    layer: keras.Layer, inner: dict[str, keras.Layer], x: Any, training: bool = False
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """layer(x), and what each of the inner layers took and gave on the way; jax compiles, the others run eagerly.

    Changes nothing in the layer.
    """
    seen: dict[str, tuple[Any, Any]] = {}

    def wrap(name: str, call: Callable) -> Callable:
        def recording(x: Any, *args: Any, **kwargs: Any) -> Any:
            out = call(x, *args, **kwargs)
            seen[name] = (x, out)
            return out

        return recording

    originals = {name: each.call for name, each in inner.items()}
    for name, each in inner.items():
        each.call = wrap(name, originals[name])
    x = keras.ops.convert_to_tensor(x)
    try:
        if BACKEND == "jax":
            import jax

            def pure(trainable: list, others: list, x: Any) -> tuple:
                out, _ = layer.stateless_call(trainable, others, x, training=training)
                return out, dict(seen)

            values = [[v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables)]
            out, seen = jax.jit(pure)(*values, x)
        else:
            with eager(), _kept(layer):
                out = layer(x, training=training)
    finally:
        for name, each in inner.items():
            each.call = originals[name]
    return to_numpy(out), {name: (to_numpy(seen[name][0]), to_numpy(seen[name][1])) for name in inner}


@contextlib.contextmanager
def _kept(layer: keras.Layer) -> Iterator[None]:
    """Puts back the statistics that training calls made inside have moved."""
    before = [np.array(to_numpy(v)) for v in layer.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in zip(layer.non_trainable_variables, before, strict=True):
            variable.assign(value)


def narrow(x: np.ndarray) -> np.ndarray:
    """As bfloat16, rounded to nearest even, in uint16."""
    bits = x.view("uint32")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("uint16")


def wide(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers that these are as bfloat16."""
    return (bits.astype("uint32") << 16).view("float32")
