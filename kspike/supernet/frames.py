"""The frames that a supernet's network runs on, out of those that all networks are given."""

from __future__ import annotations

from keras import ops

from kspike._types import Images
from kspike.space.frames import GivenFrames
from kspike.supernet.view import MaskedView, View


def seen(x: Images, frames: GivenFrames, view: View) -> Images:
    """Given frames -> the frames of a network's T; under masks as many as the largest T has, zeros behind its own.

    A sum of windows is a difference of running sums: exact for counts, and one program for every T.
    """
    if not isinstance(view, MaskedView):
        return frames.of(x, view.timesteps)
    first, after = (view.of_timesteps(frames.bounds[..., i]) for i in range(2))
    if frames.way == "recordings":
        return ops.take(x, first, axis=1) * ops.cast(ops.reshape(after > first, (1, -1, 1, 1, 1)), x.dtype)
    sums = ops.cumsum(ops.cast(x, "float32"), axis=1)
    sums = ops.concatenate([ops.zeros_like(sums[:, :1]), sums], axis=1)
    return ops.cast(ops.take(sums, after, axis=1) - ops.take(sums, first, axis=1), x.dtype)
