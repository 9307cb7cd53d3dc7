"""Early exit: a Spikformer runs step by step, and an image that is decided leaves."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
from keras import ops

from kspike._finite import scaled
from kspike._types import Array, Frames, Images, Potentials
from kspike.layers.neuron import SpikingNeuron
from kspike.models.anytime import one_by_one, over_time
from kspike.models.image_model import as_numbers, check_images
from kspike.models.spikformer import END, Spikformer
from kspike.ops import compiles, jit


@dataclasses.dataclass(frozen=True)
class EarlyExit:
    """What a network answered, and when.

    Args:
        logits: `(images, num_classes)`, float32: the running mean after each image's last step.
        steps: `(images,)`: how many time steps each image ran.
    """

    logits: np.ndarray
    steps: np.ndarray

    @property
    def mean_steps(self) -> float:
        """Time steps an image."""
        return float(self.steps.mean()) if len(self.steps) else 0.0


def early_exit(model: Spikformer, images: Images, confidence: float = 0.9, *, batch_size: int = 32) -> EarlyExit:
    """Classifies images in as many time steps as each of them needs.

        y[t] = head(mean over s <= t of features[s])                     as `anytime` reads it; where the mean over
                                                                         time follows the head: mean of head(...)
        an image leaves after the first t with max softmax(y[t]) > confidence, at the latest after T

    The network runs one step for the whole batch, keeps its neurons' potentials, and goes on with those images that
    remain. Spikes, and so the answers, are those of the full run up to each image's last step: which confidence is
    worth what, `exit_curve` tells from one full run. Nothing in the model is changed.

    Under torch the batch shrinks image by image. Compiled (jax, tensorflow), it halves when half of it has left, so
    that a batch size compiles a handful of programs, once for a model.

    Source: the running mean over time as a decision that can be taken early is common practice for rate-coded spiking
    networks; confidence by softmax as in SEENN-I (Li et al., 2023).

    Args:
        model: a `Spikformer` with its head.
        images: an array as the model takes it, `(n, height, width, channels)`, or `(n, time, height, width, channels)`.
        confidence: from 0 (every image leaves after one step) to 1 (none leaves early).
        batch_size: images at a time.

    Raises:
        ValueError: something else than a Spikformer with its head, one that takes several steps together, images of
            another shape or integers, or a confidence or batch size out of range.

    Example:
        >>> import kspike, numpy as np
        >>> from kspike.models import early_exit
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2, timesteps=3)
        >>> early_exit(kspike.Spikformer(config), np.zeros((2, 8, 8, 1)), confidence=0.0).steps
        array([1, 1])
    """
    one_by_one(model, "early_exit")
    if not 0.0 <= confidence <= 1.0:
        raise ValueError(f"confidence must be from 0 to 1, got {confidence!r}.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}.")
    numbers = as_numbers("given", images)
    check_images(numbers, model.config)
    scaled("given", numbers)
    numbers = numbers.astype("float32", copy=False)
    logits = np.zeros((len(numbers), model.config.num_classes), "float32")
    steps = np.zeros(len(numbers), "int64")
    stepper = stepper_of(model)
    for first in range(0, len(numbers), batch_size):
        mine = slice(first, first + batch_size)
        stepper.run(numbers[mine], confidence, batch_size, logits[mine], steps[mine])
    return EarlyExit(logits, steps)


class Stepper:
    """Runs a batch step by step; what lies between the steps goes in and out of one compiled function."""

    def __init__(self, model: Spikformer) -> None:
        config = model.config
        self.timesteps, self.frames = config.timesteps, config.has_time
        head, mean = model.get_layer("head"), over_time(model)
        before = [layer for layer in model.layers if layer.name not in (*END, "images", "encoding")]
        decoding = [] if config.head == "mean" else [model.get_layer("decoding")]
        self.body = [*before, *decoding, *([head] if config.averages_logits else [])]
        self.mean, self.head = mean, None if config.averages_logits else head
        self.features = config.num_classes if config.averages_logits else config.features
        self.neurons = [layer for layer in model._flatten_layers() if isinstance(layer, SpikingNeuron)]
        self.variables = model.variables
        self.step = jit(self._step, self.variables)

    def _step(
        self,
        frames: Frames,
        total: Annotated[Array, "frames features"],
        step: Annotated[Array, "1"],
        *potentials: Potentials,
    ) -> tuple:
        """One time step of frames (batch, height, width, channels): (logits so far, sum of features, potentials)."""
        left = list(potentials)
        for neuron in self.neurons:
            start = neuron.start
            neuron.resume(tuple(left.pop(0) for _ in start) if potentials else start)
        try:
            x = ops.expand_dims(frames, 1)
            for layer in self.body:
                x = layer(x) if layer.name in END[1:] else layer(x, training=False)
            total = total + ops.cast(self.mean(x), total.dtype)
            logits = total / step if self.head is None else self.head(total / step)
            return ops.cast(logits, "float32"), total, tuple(s for n in self.neurons for s in n.states())
        finally:
            for neuron in self.neurons:
                neuron.resume(None)

    def run(self, images: np.ndarray, confidence: float, most: int, logits: np.ndarray, steps: np.ndarray) -> None:
        """Writes the answers on a batch of images, at most `most`, into `logits` and `steps`."""
        images_left = np.arange(len(images))
        at = images_left  # their rows among those that run; the others have left, or only fill up
        rows = _filled(at, most)
        total: Any = ops.zeros((len(rows), self.features), "float32")
        still = None if self.frames else ops.convert_to_tensor(images[rows])
        potentials: tuple = ()
        for t in range(1, self.timesteps + 1):
            frames = ops.convert_to_tensor(images[rows, t - 1]) if still is None else still
            found, total, potentials = self.step(frames, total, np.full(1, t, "float32"), *potentials)
            answers = ops.convert_to_numpy(found)[at]
            # what is nan is never sure, here as on `exit_curve`
            stays = ~(confidence_of(answers) > confidence) & (t < self.timesteps)
            logits[images_left[~stays]], steps[images_left[~stays]] = answers[~stays], t
            images_left, at = images_left[stays], at[stays]
            if not len(at):
                return
            kept = _filled(at, len(rows))
            if len(kept) < len(rows):
                rows, at, index = rows[kept], np.arange(len(at)), ops.convert_to_tensor(kept)
                total = ops.take(total, index, axis=0)
                potentials = tuple(ops.take(v, index, axis=0) for v in potentials)
                still = None if still is None else ops.take(still, index, axis=0)


def confidence_of(logits: np.ndarray) -> np.ndarray:
    """The largest softmax probability over the last axis, in float64."""
    shifted = logits.astype("float64") - logits.max(axis=-1, keepdims=True)
    return 1.0 / np.exp(shifted).sum(axis=-1)


def _filled(at: np.ndarray, most: int) -> np.ndarray:
    """The rows to run for these: the same; where shapes are compiled, filled up to the next of most, most / 2, ..."""
    size = len(at)
    if compiles():
        size = most
        while size > 1 and (size + 1) // 2 >= len(at):
            size = (size + 1) // 2
    return np.concatenate([at, np.repeat(at[:1], size - len(at))])


def stepper_of(model: Spikformer) -> Stepper:
    """The model's own, kept on it: its compiled programs last as long as its layers."""
    stepper = vars(model).get("_kspike_stepper")
    current = [id(v) for v in model.variables]
    if stepper is None or [id(v) for v in stepper.variables] != current:
        stepper = model.__dict__["_kspike_stepper"] = Stepper(model)
    return stepper
