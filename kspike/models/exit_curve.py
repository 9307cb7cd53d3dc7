"""Accuracy against the time steps that images need: what leaving early costs, from one full run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from kspike._batches import labelled, unaugmented
from kspike._csv import as_csv
from kspike._files import write_text
from kspike._finite import bad_rows, scaled
from kspike.models.anytime import anytime, step_by_step
from kspike.models.early_exit import confidence_of
from kspike.models.image_model import as_numbers, check_images
from kspike.models.spikformer import Spikformer

#: Where a curve is read when nothing else is asked for.
CONFIDENCES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclasses.dataclass(frozen=True)
class Exit:
    """How a network does where images leave above a confidence.

    Args:
        confidence: as `early_exit` takes it.
        mean_steps: time steps an image.
        accuracy: share of images whose label has the largest logit when they leave.
    """

    confidence: float
    mean_steps: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class ExitCurve:
    """What `early_exit` does for each of several confidences, and what stopping every image at one step does.

    Args:
        images: how many there were.
        exits: one a confidence, in rising order.
        fixed: accuracy where all images stop after 1, 2, ..., T steps.
    """

    images: int
    exits: tuple[Exit, ...]
    fixed: tuple[float, ...]

    def __str__(self) -> str:
        lines = ["confidence   mean steps   accuracy"]
        lines += [f"{e.confidence:10.3g} {e.mean_steps:12.2f} {100 * e.accuracy:9.2f} %" for e in self.exits]
        lines += [f"{'all stop':>10} {t:12.2f} {100 * a:9.2f} %" for t, a in enumerate(self.fixed, 1)]
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> Path:
        """Writes a row a confidence; rows without one are those where all images stop after so many steps."""
        rows: list[list[object]] = [["confidence", "mean_steps", "accuracy", "images"]]
        rows += [[e.confidence, e.mean_steps, e.accuracy, self.images] for e in self.exits]
        rows += [["", t, accuracy, self.images] for t, accuracy in enumerate(self.fixed, 1)]
        return write_text(path, as_csv(rows))

    def plot(self, path: str | Path) -> Path:
        """Draws accuracy against mean time steps (needs matplotlib, extra "plot").

        Raises:
            ImportError: matplotlib is not installed; says how to install it.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("Plots need matplotlib: pip install 'kspike[plot]'.") from error
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        axes = figure.subplots()
        steps = range(1, len(self.fixed) + 1)
        axes.plot(steps, [100 * a for a in self.fixed], "s--", c="0.6", label="all images stop")
        axes.plot([e.mean_steps for e in self.exits], [100 * e.accuracy for e in self.exits], "o-", label="early exit")
        axes.set(xlabel="time steps, mean of the images", ylabel="accuracy, %", xticks=steps)
        axes.legend(loc="lower right")
        figure.savefig(path, dpi=120)
        return Path(path)


def exit_curve(model: Spikformer, data: Any, confidences: Sequence[float] = CONFIDENCES) -> ExitCurve:
    """Reads off one full run how accurate `early_exit` is, and how many steps it runs, at each of several confidences.

    Choose a confidence by validation images; the test images are looked at once, with the one chosen.

    Args:
        model: a `Spikformer` with its head.
        data: `(images, labels)` as arrays, or batches of those, as a part of `kspike.data.load(...)`; training images
            unaugmented.
        confidences: each from 0 to 1.

    Raises:
        ValueError: something else than a Spikformer with its head, one that takes several steps together, a confidence
            out of range, images of another shape or integers, no batch of images with labels, or logits that are not
            finite.

    Example:
        >>> import kspike, numpy as np
        >>> from kspike.models import exit_curve
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2, timesteps=3)
        >>> curve = exit_curve(kspike.Spikformer(config), [(np.zeros((2, 8, 8, 1)), np.zeros(2))], [0.0, 1.0])
        >>> [exit.mean_steps for exit in curve.exits]
        [1.0, 3.0]
    """
    step_by_step(model, "exit_curve")
    if not len(confidences) or not all(0.0 <= c <= 1.0 for c in confidences):
        raise ValueError(f"confidences must be numbers from 0 to 1, at least one, got {tuple(confidences)!r}.")
    reader = anytime(model)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for images, given in labelled(unaugmented(data)):
        images = as_numbers("given", images)
        check_images(images, model.config)
        scaled("given", images)
        readings = np.asarray(reader.predict_on_batch(images))
        if (bad := bad_rows(readings)) is not None:  # the largest of them would be the first class
            raise ValueError(f"Expected finite logits; those of {bad}. Look at the images, and at the weights.")
        found.append((readings, np.asarray(given).reshape(-1)))
    if not found:
        raise ValueError("exit_curve got no batch of (images, labels).")
    logits, labels = (np.concatenate(each) for each in zip(*found, strict=True))
    return curve_of(logits, labels, confidences)


def curve_of(
    logits: Annotated[np.ndarray, "images time classes"],
    labels: Annotated[np.ndarray, "images"],
    confidences: Sequence[float] = CONFIDENCES,
) -> ExitCurve:
    """The same from logits after every time step."""
    sure, right = confidence_of(logits), logits.argmax(-1) == labels.reshape(-1, 1)
    return ExitCurve(
        images=len(sure),
        exits=tuple(_exit(float(c), sure, right) for c in sorted(confidences)),
        fixed=tuple(float(share) for share in right.mean(axis=0)),
    )


def _exit(
    confidence: float, sure: Annotated[np.ndarray, "images time"], right: Annotated[np.ndarray, "images time"]
) -> Exit:
    """From (images, time): how sure each reading is, and whether it is right."""
    leaves = sure > confidence
    leaves[:, -1] = True
    last = leaves.argmax(axis=1)
    return Exit(confidence, float(last.mean() + 1), float(right[np.arange(len(right)), last].mean()))
