"""Measures a model on test images: logits image by image, and the figures of a card."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kspike._finite import bad_rows, check_weights, scaled
from kspike.zoo import files

# Two float32 backends agree to this in every logit of most images; in the rest, a neuron was within rounding of firing.
LOGIT_TOLERANCE = 1e-5
#: Of confidence, in the calibration error of a card.
BINS = 15


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A model's logits for each test image, with the labels. `logits`: `(n, classes)` float32; `labels`: `(n,)`.

    Raises:
        ValueError: logits that are not finite.
    """

    logits: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if (bad := bad_rows(self.logits)) is not None:
            raise ValueError(
                f"Expected finite logits on the test images; those of {bad}. Clean the images: the weights are finite."
            )

    @property
    def predictions(self) -> np.ndarray:
        """`(n,)`: the class with the largest logit; the first of equal ones."""
        return np.argmax(self.logits, axis=-1)

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of images whose prediction is the label."""
        return int(np.sum(self.predictions == self.labels))

    @property
    def accuracy(self) -> float:
        """correct / n."""
        return self.correct / self.n


def batches(data: Any) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """A `keras.utils.PyDataset`, or any iterable of batches -> (images, labels) as NumPy, each batch once."""
    source = (data[index] for index in range(len(data))) if hasattr(data, "__getitem__") else iter(data)
    for batch in source:
        images, labels = np.asarray(batch[0]), batch[1]
        scaled("test", images)
        yield images.astype("float32", copy=False), np.asarray(labels).reshape(-1)


def measure(model: Any, test: Any) -> Measured:
    """A model and test batches -> its logits and the labels, in the order of the data."""
    check(model)
    logits, labels = [], []
    for images, expected in batches(test):
        logits.append(np.asarray(model.predict_on_batch(images), dtype="float32"))
        labels.append(expected.astype("int64"))
    if not labels:
        raise ValueError("Expected test images; received data whose test split is empty.")
    return Measured(np.concatenate(logits), np.concatenate(labels))


def check(model: Any) -> None:
    """Refuses a model whose weights are not finite, by ValueError."""
    check_weights(model, "the model", "Training diverged: take an earlier checkpoint.")


def agreement(measured: Measured, reference: Measured) -> dict:
    """Logits of two backends on the same images -> a card's figures of the first, compared with the second."""
    close = np.all(np.abs(measured.logits - reference.logits) <= LOGIT_TOLERANCE, axis=-1)
    return {
        "correct": measured.correct,
        "accuracy": measured.accuracy,
        "disagreements": int(np.sum(measured.predictions != reference.predictions)),
        "logits_equal_to_1e-5": float(np.mean(close)),
    }


def calibration(measured: Measured) -> dict:
    """Whether a prediction of so much confidence is right so often.

        ECE = sum over bins of share of images * |accuracy - mean confidence|

    Confidence is the largest softmax of the logits; `BINS` bins of equal width. Source: Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017, eq. 3.
    """
    logits = measured.logits.astype("float64")
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    sure = shares.max(axis=-1) / shares.sum(axis=-1)
    right = measured.predictions == measured.labels
    places = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(places, weights=right - sure, minlength=BINS)
    return {"ece": float(np.abs(gaps).sum() / measured.n), "bins": BINS, "mean_confidence": float(sure.mean())}


def interval(correct: int, n: int, z: float = 1.96) -> list[float]:
    """Wilson's 95 % confidence interval of an accuracy on n images."""
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def hash_labels(labels: Sequence[int] | np.ndarray) -> str:
    """The labels in order -> a SHA-256, by which another run checks that it reads the same images in the same order."""
    return files.sha256(np.asarray(labels, dtype="<i4").tobytes())


def pack(measured: Measured) -> dict:
    """Predictions -> JSON: one or more bytes an image, so that another backend can count disagreements."""
    kind = "<u1" if measured.logits.shape[-1] <= 256 else "<u4"
    values = measured.predictions.astype(kind).tobytes()
    return {
        "n": measured.n,
        "dtype": kind,
        "labels_sha256": hash_labels(measured.labels),
        "base64": base64.b64encode(values).decode(),
    }


def unpack(record: dict | None) -> np.ndarray | None:
    """What `pack` made -> predictions, or None where an entry has none."""
    if record is None:
        return None
    kind, text, n = str(record.get("dtype")), str(record.get("base64")), record.get("n")
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype={"<u1": "<u1", "<u4": "<u4"}[kind])
    except (KeyError, ValueError):
        values = None
    if values is None or len(values) != n:
        raise ValueError(
            "Expected the predictions of an entry as base64 of <u1 or <u4, one an image; received something else."
        )
    return values.astype("int64")
