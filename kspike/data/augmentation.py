"""Augments training images: settings of small random changes, which can be written as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kspike._registry import check_keys
from kspike.data import policy, transforms
from kspike.data.sources import Array


@dataclass(frozen=True)
class Augmentation:
    """Changes a batch of raw images in a fixed order: mirror and shift, distort; then, normalised, erase and mix.

    The changes of an image depend on the seed, the epoch and its position in the epoch alone, so a resumed run sees the
    same images.
    All is off by default.

    Args:
        flip: probability of a left-right mirror.
        shift: largest move, as a share of the image's size (0.125: 4 pixels of 32, 1 of 8), the classic pad and crop.
        distort: probability of one operation out of `operations` (the official Spikformer recipe; kspike.data.policy).
        operations: names out of "equalize", "rotate", "shear_x", "translate_x", "translate_y".
        magnitude, magnitude_std: strength of the operation, out of 10.
        erase: probability of a rectangle set to the mean.
        erase_area: smallest and largest share of the image that is erased.
        erase_aspect: smallest ratio of its height to its width; the largest is the inverse.
        mixup: alpha of mixup's Beta distribution; labels are then one-hot float32, (batch, classes), which wants
            `CategoricalCrossentropy` and `validation.one_hot()`.
        mixup_until: epoch from which images are no longer mixed or cut into each other (labels stay one-hot); None for
            never.
        fill: "black" or "mean", the colour that fills in at the edges.
        cutmix: alpha of CutMix's Beta distribution: a rectangle of another image, and as much of its label. With mixup
            too, each batch has one of them, by chance.
    """

    flip: float = 0.0
    shift: float = 0.0
    distort: float = 0.0
    operations: tuple[str, ...] = policy.OPERATIONS
    magnitude: float = 9.0
    magnitude_std: float = 0.4
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    erase_aspect: float = 0.3
    mixup: float = 0.0
    mixup_until: int | None = None
    fill: str = "black"
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        object.__setattr__(self, "erase_area", tuple(float(a) for a in self.erase_area))
        for name in ("flip", "distort", "erase"):
            _check(0 <= getattr(self, name) <= 1, name, "a probability in 0..1", getattr(self, name))
        _check(0 <= self.shift < 0.5, "shift", "a share of the image in 0..0.5", self.shift)
        _check(0 <= self.magnitude <= 10 and self.magnitude_std >= 0, "magnitude", "0..10", self.magnitude)
        unknown = [o for o in self.operations if o not in policy.OPERATIONS]
        _check(bool(self.operations) and not unknown, "operations", f"names of {policy.OPERATIONS}", self.operations)
        low_to_high = len(self.erase_area) == 2 and 0 < self.erase_area[0] <= self.erase_area[1] <= 1
        _check(low_to_high, "erase_area", "two shares, 0 < low <= high <= 1", self.erase_area)
        _check(0 < self.erase_aspect <= 1, "erase_aspect", "a ratio in 0..1", self.erase_aspect)
        for name in ("mixup", "cutmix"):
            _check(getattr(self, name) >= 0, name, "alpha >= 0", getattr(self, name))
        until = self.mixup_until
        _check(until is None or until >= 0, "mixup_until", "an epoch or None", until)
        _check(self.fill in ("black", "mean"), "fill", "'black' or 'mean'", self.fill)

    def to_dict(self) -> dict[str, Any]:
        """Gives the arguments as plain JSON values; `cutmix`, which came later, only where it is on."""
        values = dataclasses.asdict(self)
        if not self.cutmix:
            del values["cutmix"]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Augmentation":
        """Reads what `to_dict` gave; absent keys take their defaults, unknown ones are refused."""
        check_keys("Augmentation", values, (f.name for f in dataclasses.fields(cls)))
        return cls(**values)

    @property
    def mixes(self) -> bool:
        """Whether it blends labels, so that they have to be shares of classes."""
        return self.mixup > 0 or self.cutmix > 0

    def without_mixing(self) -> "Augmentation":
        """The same for labels that are whole numbers."""
        return dataclasses.replace(self, mixup=0.0, cutmix=0.0)

    def edge(self, mean: Array, black: Array) -> Array:
        """Of two colours (channels,) the one that fills in at the edges."""
        return mean if self.fill == "mean" else black

    def change_raw(
        self, images: Array, mean: Array, top: Array | float, rng: np.random.Generator, black: Array | None = None
    ) -> Array:
        """Mirrors, shifts and distorts raw uint8 images, or floats.

        `mean` (channels,) and `top` are in the values of the images; so is `black` (channels,), which of uint8 is 0.
        """
        black = np.zeros_like(mean) if black is None else black
        fill = self.edge(mean, black)
        if self.flip or self.shift:
            images = transforms.flip_and_shift(images, self.flip, self.shift, fill, rng)
        if self.distort:
            strength = (self.magnitude, self.magnitude_std)
            images = policy.distort(images, self.operations, self.distort, strength, fill, top, rng, black)
        return images

    def change_normalized(
        self, images: Array, labels: Array, epoch: int, rng: np.random.Generator, mean: Array | float = 0.0
    ) -> tuple[Array, Array]:
        """Erases and mixes float32 images of this mean, and mixes their labels, one-hot where it `mixes`."""
        if self.erase:
            images = transforms.erase(images, self.erase, self.erase_area, self.erase_aspect, rng, mean)
        if self.mixes and (self.mixup_until is None or epoch < self.mixup_until):
            if not self.cutmix or (self.mixup and rng.random() < 0.5):
                return transforms.mix(images, labels, self.mixup, rng)
            return transforms.cut_and_mix(images, labels, self.cutmix, rng)
        return images, labels


def _check(right: bool, name: str, expected: str, received: Any) -> None:
    if not right:
        raise ValueError(f"Augmentation: {name} expected {expected}, received {received!r}.")
