"""What quantisation changed: weights, spikes by neuron and classes, beside the network of floats."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kspike._messages import counted


@dataclasses.dataclass(frozen=True)
class Quantization:
    """A network with int8 weights beside the one that it was made of; prints as a few lines.

    `dataclasses.asdict` of it is the model's `quantization`, which its file keeps.

    Args:
        weights: how many weights of products are int8.
        bytes: of all weights and biases.
        bytes_before: the same of the network of floats.
        images: how many calibration images were compared.
        spikes: neuron -> (numbers compared, how many of them are others).
        classes_changed: images whose class is another.
        labels: how many of the images have labels.
        right, right_before: how many of those both networks classify rightly.
        largest_sum: of all products, the largest whole number that a sum may reach; exact in float32 below 2^24.
        inexact: neuron -> why integers may decide otherwise where the potential lies within rounding of the threshold;
            empty: they decide every spike as this network does.
    """

    weights: int
    bytes: int
    bytes_before: int
    images: int
    spikes: Mapping[str, tuple[int, int]]
    classes_changed: int
    labels: int
    right: int
    right_before: int
    largest_sum: int
    inexact: Mapping[str, str]

    @property
    def spikes_compared(self) -> int:
        """Numbers that neurons gave, over all images."""
        return sum(compared for compared, _ in self.spikes.values())

    @property
    def spikes_changed(self) -> int:
        """Of those, how many are others than those of the network of floats."""
        return sum(changed for _, changed in self.spikes.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        found = dataclasses.asdict(self)
        return {**found, "spikes": {name: list(each) for name, each in self.spikes.items()}}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Quantization:
        """Of what `to_dict` gave."""
        spikes = {name: (int(compared), int(changed)) for name, (compared, changed) in found["spikes"].items()}
        return cls(**{**found, "spikes": spikes})

    def __str__(self) -> str:
        share = 100 * self.spikes_changed / max(self.spikes_compared, 1)
        out = [
            f"{self.weights:,} weights in int8: {self.bytes:,} bytes in place of {self.bytes_before:,}",
            f"beside the network of floats, {counted(self.images, 'calibration image')}: {self.spikes_changed:,} of "
            f"{self.spikes_compared:,} spikes are others ({share:.2f} %); classes changed: {self.classes_changed:,}",
        ]
        if self.labels:
            out.append(f"of {self.labels:,} with labels {self.right:,} are right, {self.right_before:,} before")
        found = self.spikes.items()
        out += [f"  {name}: {changed:,} of {compared:,}" for name, (compared, changed) in found if changed]
        if not self.inexact:
            out.append("integers decide every spike as it does")
        out += [f"within rounding of the threshold, {name}: {why}" for name, why in self.inexact.items()]
        return "\n".join(out)
