"""Attention by the compiled loops on arrays (batch, time, tokens, channels), whatever the head width.

Channels are padded with zeros to a multiple of the head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kspike.ops.cpu import attention, norm_lif


def _padded_width(channels: int, dim: int) -> int:
    return -(-channels // dim) * dim


def _rows(a: np.ndarray, width: int) -> np.ndarray:
    """Rows padded to `width`, one a token, as a flat array."""
    a = a.reshape(-1, a.shape[-1])
    if width > a.shape[1]:
        padded = np.zeros((len(a), width), a.dtype)
        padded[:, : a.shape[1]] = a
        a = padded
    return a.reshape(-1)


def _output_array(like: np.ndarray, width: int) -> np.ndarray:
    """An array for results in rows of `width`: `like` itself where it has such rows."""
    return like if like.shape[-1] == width else norm_lif.empty((*like.shape[:3], width), like.dtype)


def attend(parts: Sequence[np.ndarray], dim: int, y: np.ndarray, threads: int) -> None:
    """Writes q k^T v, in heads of `dim` channels, into y, float32."""
    if not y.size:
        return
    tokens, channels = y.shape[2:]
    width = _padded_width(channels, dim)
    padded = _output_array(y, width)
    rows = [(_rows(a, width), width) for a in parts]
    attention.attend(*rows, tokens, width // dim, dim, padded.reshape(-1), threads)
    if padded is not y:
        y[:] = padded[..., :channels]


def attend_backward(
    parts: Sequence[np.ndarray], dim: int, grad_output: np.ndarray, grads: Sequence[np.ndarray], threads: int
) -> None:
    """Writes the gradients of q, k and v into `grads`, from grad_output, float32."""
    if not grad_output.size:
        return
    tokens, channels = grad_output.shape[2:]
    width = _padded_width(channels, dim)
    padded = [_output_array(grad, width) for grad in grads]
    rows, flat = [(_rows(a, width), width) for a in parts], tuple(a.reshape(-1) for a in padded)
    attention.attend_backward(*rows, tokens, width // dim, dim, _rows(grad_output, width), flat, threads)
    for grad, found in zip(grads, padded, strict=True):
        if found is not grad:
            grad[:] = found[..., :channels]
