"""Streaming: a Spikformer takes one frame at a time and keeps what its neurons know from frame to frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from kspike._finite import bad_rows, scaled
from kspike._types import Frames, Logits
from kspike.models.anytime import one_by_one
from kspike.models.early_exit import stepper_of
from kspike.models.image_model import as_numbers
from kspike.models.spikformer import Spikformer


@dataclasses.dataclass(frozen=True)
class StreamState:
    """What a stream knows between two frames; `Stream.restore` puts it back.

    Args:
        steps: how many frames have come.
        total: sum of the features (of the logits, where the mean over time follows the linear layer), `(batch, ...)`.
        potentials: states of all neurons, in the model's order; empty before the first frame.
    """

    steps: int
    total: np.ndarray
    potentials: tuple[np.ndarray, ...]


class Stream:
    """Runs a model one frame at a time; see `stream`.

    Args:
        model: a `Spikformer` with its head.
        batch_size: streams side by side.
    """

    def __init__(self, model: Spikformer, batch_size: int = 1) -> None:
        one_by_one(model, "stream")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}.")
        self.model, self.batch_size = model, batch_size
        self._total: Any = None
        self._potentials: tuple[Any, ...] = ()
        self.reset()

    @property
    def steps(self) -> int:
        """How many frames have come since the last reset."""
        return self._steps

    def step(self, frames: Frames) -> Logits:
        """Takes the next frame of every stream: `(batch_size, height, width, channels)`, floats.

        Returns:
            Logits `(batch_size, num_classes)` of all frames so far: after t of them what the whole run reads after t.

        Raises:
            ValueError: frames of another shape, integers, or numbers that are not finite; the state stays.
        """
        numbers = as_numbers("given", frames)
        expected = (self.batch_size, *self.model.config.image_shape)
        if tuple(numbers.shape) != expected:
            raise ValueError(
                f"step expects one frame of each of {self.batch_size} streams, {expected}: (batch, height, width, "
                f"channels); received shape {tuple(numbers.shape)}."
            )
        scaled("given", numbers)
        if (bad := bad_rows(numbers)) is not None:
            raise ValueError(f"Expected finite frames; {bad}. Clean them first.")
        x = ops.convert_to_tensor(numbers.astype("float32", copy=False))
        count = np.full(1, self._steps + 1, "float32")
        found, self._total, self._potentials = stepper_of(self.model).step(x, self._total, count, *self._potentials)
        self._steps += 1
        return found

    def state(self) -> StreamState:
        """What is known so far, as NumPy arrays: to keep, to send, to restore."""
        read = lambda x: np.array(ops.convert_to_numpy(x))
        return StreamState(self._steps, read(self._total), tuple(read(v) for v in self._potentials))

    def restore(self, state: StreamState) -> None:
        """Goes on from a state that `state` gave, of this model and batch size.

        Raises:
            ValueError: it is of another model, or of another number of streams.
        """
        if not isinstance(state, StreamState):
            raise ValueError(f"restore expects what Stream.state() gave, got {type(state).__name__}.")
        stepper = stepper_of(self.model)
        held = sum(len(neuron.start) for neuron in stepper.neurons)
        if state.total.shape != (self.batch_size, stepper.features) or len(state.potentials) not in (0, held):
            raise ValueError(
                f"The state is of another model or number of streams: expected {self.batch_size} streams of "
                f"{stepper.features} features and {held} states of neurons, received {state.total.shape} and "
                f"{len(state.potentials)}."
            )
        self._steps = state.steps
        self._total = ops.convert_to_tensor(state.total)
        self._potentials = tuple(ops.convert_to_tensor(v) for v in state.potentials)

    def reset(self) -> None:
        """Forgets all frames: the next one is the first."""
        self._steps = 0
        self._total = ops.zeros((self.batch_size, stepper_of(self.model).features), "float32")
        self._potentials = ()


def stream(model: Spikformer, batch_size: int = 1) -> Stream:
    """Runs a model one frame at a time, with its neurons' states kept from frame to frame.

    After t frames it reads what `anytime` reads after t steps of the whole run: spikes look back alone. On jax and
    tensorflow a step is compiled, for the first frame and for the others. Several streams may go on at once, of one
    model too. Statistics of normalisation are those of runs of T steps; more frames than T may come, and the mean goes
    on.

    Args:
        model: a `Spikformer` with its head.
        batch_size: streams side by side.

    Raises:
        ValueError: something else, or a network that takes several time steps together (`ssa` with a chunk).

    Example:
        >>> import kspike, numpy as np
        >>> config = kspike.SpikformerConfig(input_shape=(3, 8, 8, 2), embed_dim=16, depth=1, num_heads=2)
        >>> stream = kspike.models.stream(kspike.Spikformer(config))
        >>> stream.step(np.zeros((1, 8, 8, 2), "float32")).shape[1], stream.steps
        (10, 1)
    """
    return Stream(model, batch_size)
