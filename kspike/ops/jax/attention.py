"""Attention without softmax on a CPU under JAX: the compiled loops, else a form that XLA compiles well."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kspike.ops.cpu import norm_lif
from kspike.ops.jax.calls import call, calls_loops


def _by_heads(q: Any, k: Any, v: Any, dim: int) -> Any:
    """q k^T v of (batch, time, tokens, channels) in heads of `dim` channels, as batched products with the heads first.

    XLA makes slower ones of einsums that leave the heads where they are. Channels are padded with zeros to whole heads.
    """
    *size, channels = q.shape
    heads = -(-channels // dim)

    def heads_first(x: Any) -> Any:
        x = jnp.pad(x.astype("float32"), [(0, 0)] * 3 + [(0, heads * dim - channels)])
        return x.reshape(*size, heads, dim).swapaxes(2, 3)

    q, k, v = map(heads_first, (q, k, v))
    y = q @ (k.mT @ v) if size[2] > dim else (q @ k.mT) @ v
    return y.swapaxes(2, 3).reshape(*size, heads * dim)[..., :channels]


def _loops(head_dims: tuple[int, ...], *parts: Any) -> bool:
    """Whether the compiled loops take heads of these widths, and arrays of one supported dtype."""
    one_dtype = len({a.dtype for a in parts}) == 1
    return one_dtype and calls_loops(*parts) and not any(dim % norm_lif.attention().HEAD_MULTIPLE for dim in head_dims)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> Any:
    if not _loops(head_dims, q, k, v):
        return jax.lax.switch(index, [functools.partial(_by_heads, dim=dim) for dim in head_dims], q, k, v)

    def attend(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        from kspike.ops.cpu import heads as cpu_heads

        cpu_heads.attend(args[:3], head_dims[int(args[3])], results[0], norm_lif.cores())

    return call(attend, head_dims, (q, k, v, index), [(q.shape, "float32")])[0]


def _attend_backward(head_dims: tuple[int, ...], kept: tuple, grad_output: Any) -> tuple:
    """From q, k and v alone: JAX's own derivative of a switch saves what each of its branches would need."""
    *parts, index = kept
    if not _loops(head_dims, *parts):

        def branch(dim: int) -> Callable:
            return lambda *args: jax.vjp(functools.partial(_by_heads, dim=dim), *args[:3])[1](args[3])

        return *jax.lax.switch(index, [branch(dim) for dim in head_dims], *parts, grad_output), None

    def attend_backward(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        from kspike.ops.cpu import heads as cpu_heads

        cpu_heads.attend_backward(args[:3], head_dims[int(args[3])], args[4], results, norm_lif.cores())

    like = [(a.shape, a.dtype) for a in parts]
    return *call(attend_backward, head_dims, (*parts, index, grad_output.astype("float32")), like), None


_attend.defvjp(
    lambda q, k, v, head_dims, index: (_attend(q, k, v, head_dims, index), (q, k, v, index)), _attend_backward
)


def attend_chosen(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> Any | None:
    """Attention whose head width is a run-time tensor; None (the fallback) on other devices than a CPU."""
    if jax.default_backend() != "cpu":
        return None
    return _attend(*map(jnp.asarray, (q, k, v)), head_dims, jnp.asarray(index, "int32"))


def attend(q: Any, k: Any, v: Any) -> Any | None:
    """Attention that saves q, k and v alone for backward; None (the fallback) on other devices than a CPU."""
    shape = (*q.shape[:3], q.shape[3] * q.shape[4])
    return attend_chosen(*(jnp.asarray(a).reshape(shape) for a in (q, k, v)), (q.shape[4],), 0)
