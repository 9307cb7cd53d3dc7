"""Attention by the compiled loops on whole arrays (batch, time, tokens, channels), whatever the width of a head.

What channels lack for a whole head is filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kspike.ops.cpu import attention, norm_lif


def _width(channels: int, dim: int) -> int:
    return -(-channels // dim) * dim


def _rows(a: np.ndarray, width: int) -> np.ndarray:
    """One row of `width` numbers a token, flat."""
    a = a.reshape(-1, a.shape[-1])
    if width > a.shape[1]:
        filled = np.zeros((len(a), width), a.dtype)
        filled[:, : a.shape[1]] = a
        a = filled
    return a.reshape(-1)


def _room(like: np.ndarray, width: int) -> np.ndarray:
    """An array for results: `like` itself, where its rows are as wide."""
    return like if like.shape[-1] == width else norm_lif.empty((*like.shape[:3], width), like.dtype)


def attend(parts: Sequence[np.ndarray], dim: int, y: np.ndarray, threads: int) -> None:
    """Writes q k^T v, in heads of `dim` channels, into y, float32."""
    if not y.size:
        return
    tokens, channels = y.shape[2:]
    width = _width(channels, dim)
    whole = _room(y, width)
    rows = [(_rows(a, width), width) for a in parts]
    attention.attend(*rows, tokens, width // dim, dim, whole.reshape(-1), threads)
    if whole is not y:
        y[:] = whole[..., :channels]


def attend_back(
    parts: Sequence[np.ndarray], dim: int, upstream: np.ndarray, grads: Sequence[np.ndarray], threads: int
) -> None:
    """Writes the gradients of q, k and v by that of y, float32, into `grads`."""
    if not upstream.size:
        return
    tokens, channels = upstream.shape[2:]
    width = _width(channels, dim)
    whole = [_room(grad, width) for grad in grads]
    rows, flat = [(_rows(a, width), width) for a in parts], tuple(a.reshape(-1) for a in whole)
    attention.attend_back(*rows, tokens, width // dim, dim, _rows(upstream, width), flat, threads)
    for grad, found in zip(grads, whole, strict=True):
        if found is not grad:
            grad[:] = found[..., :channels]
