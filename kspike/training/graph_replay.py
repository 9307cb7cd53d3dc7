"""Trains on a GPU without waiting for Python: the model's call captured as a CUDA graph, batches prefetched."""

from __future__ import annotations

import concurrent.futures
import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras

from kspike.models import Spikformer
from kspike.models.parts import indifferent
from kspike.ops import recorded

#: Threads that prepare batches, and how many batches are prefetched.
THREADS, PREFETCHED = 4, 6


@contextlib.contextmanager
def graph_replay(model: keras.Model) -> Iterator[None]:
    """While the block runs, training calls of a Spikformer are captured and replayed (`kspike.ops.recorded`).

    Where a call cannot be captured, or has side effects (firing penalties, metrics on spikes, hooks), the model runs as
    usual.
    """
    if type(model) is not Spikformer or any(map(_has_side_effects, model._flatten_layers())):
        yield
        return
    plain = model.call
    replays: dict[tuple, Any] = {}
    own: dict[str, Any] = model.__dict__  # bypasses Keras' tracking of attributes

    def call(inputs: Any, training: bool | None = None, **options: Any) -> Any:
        if not training or options.get("mask") is not None or isinstance(inputs, keras.KerasTensor):
            return plain(inputs, training=training, **options)
        key = tuple(inputs.shape), str(inputs.dtype)
        if key not in replays:
            replays[key] = _recorded(lambda x: plain(x, training=True), model, inputs)
        replay = replays[key]
        return plain(inputs, training=True) if replay is None else replay(inputs)

    own["call"] = call
    try:
        yield
    finally:
        own.pop("call", None)


def _recorded(fn: Any, model: keras.Model, inputs: Any) -> Any:
    try:
        return recorded(fn, model, inputs)
    except RuntimeError as error:
        warnings.warn(f"kspike: the step could not be recorded, it runs as it is ({error!s:.200}).", stacklevel=2)
        return None


def _has_side_effects(layer: keras.Layer) -> bool:
    """Whether a call of this layer has side effects."""
    return not indifferent(layer) or bool(getattr(layer, "_backward_hooks", None))


class Prefetcher(keras.utils.PyDataset):
    """The batches of another data set, in its order, prepared by threads before they are used.

    Args:
        inside: a data set whose batch i depends on the epoch and i alone, as `kspike.data.Split`.
    """

    def __init__(self, inside: Any) -> None:
        super().__init__()
        self.inside = inside
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="kspike-batches")
        self._coming: dict[int, concurrent.futures.Future] = {}

    @property
    def epoch(self) -> int:
        """The epoch whose batches come."""
        return self.inside.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which decides the order."""
        self._forget()
        self.inside.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.inside)

    def __getitem__(self, index: int) -> Any:
        for i in range(index, min(index + PREFETCHED, len(self))):
            if i not in self._coming:
                self._coming[i] = self._pool.submit(self.inside.__getitem__, i)
        return self._coming.pop(index).result()

    def close(self) -> None:
        """Ends the threads."""
        self._forget()
        self._pool.shutdown()

    def _forget(self) -> None:
        for future in self._coming.values():
            future.cancel()
        concurrent.futures.wait(self._coming.values())
        self._coming.clear()
