"""Looks at fixed networks of a supernet while it trains, each calibrated, on images that do not train."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kspike._batches import check_count, labelled, unaugmented
from kspike.models.image_model import read_images

if TYPE_CHECKING:
    from kspike.supernet.supernet import Supernet


@contextlib.contextmanager
def undisturbed(supernet: Supernet) -> Iterator[None]:
    """Puts the active genome and every stored statistic back afterwards, bit for bit."""
    genome = supernet.genome
    statistics = supernet.statistics()
    try:
        yield
    finally:
        supernet.restore_statistics(statistics)
        supernet.activate(genome)


class SubnetValidation(keras.callbacks.Callback):
    """Adds to each epoch's logs how the smallest, the largest and some fixed random networks do on held-out images.

    Each network is calibrated on training images, unaugmented, and judged; the supernet is left as it was. The random
    networks are the same after every epoch, so that the numbers can be compared: the public code of Auto-Spikformer
    draws a new one each time and keeps the weights of the luckiest. Nothing is chosen here.

    Adds `val_smallest`, `val_largest` and `val_random_0`, ... to the logs (accuracies).

    Args:
        data: training data, to calibrate: `(images, labels)` as arrays, or batches of those; read anew each epoch.
        validation: images that do not train, with their labels, in the same form.
        networks: how many random networks.
        batches: how many batches calibrate, and how many judge.
        seed: of the random networks.
        say: takes a line after each epoch; None for silence.
    """

    def __init__(
        self,
        data: Any,
        validation: Any,
        networks: int = 2,
        batches: int = 16,
        seed: int = 0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        check_count(batches)
        self.data = unaugmented(data)
        self.networks, self.batches, self.seed, self.say = networks, batches, seed, say
        parts = list(itertools.islice(labelled(validation), batches))
        self.images, self.labels = (np.concatenate([part[i] for part in parts]) for i in range(2))
        if self.labels.ndim > 1:
            self.labels = self.labels.argmax(-1)

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuses validation images of another shape, integers, NaN and infinity, before the first step."""
        read_images("validation", self.images, self.model.space.base)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        space = self.model.space
        genomes = {"smallest": space.smallest(), "largest": space.largest()}
        genomes |= {f"random_{i}": space.sample(seed=self.seed + i) for i in range(self.networks)}
        found = {}
        with undisturbed(self.model):
            for name, genome in genomes.items():
                self.model.activate(genome)
                self.model.calibrate(self.data, batches=self.batches)
                logits = self.model.predict(self.images, verbose=0)
                found[name] = float(np.mean(logits.argmax(1) == self.labels))
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in found.items()})
        if self.say is not None:
            shown = [f"{name} network {found[name]:.4f}" for name in ("smallest", "largest")]
            if self.networks:
                drawn = ", ".join(f"{found[f'random_{i}']:.4f}" for i in range(self.networks))
                shown.append(f"{self.networks} random {drawn}")
            self.say(f"  on {len(self.labels)} validation images: {', '.join(shown)}")
