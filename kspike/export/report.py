"""What a file was found to give: beside the network that wrote it, and beside the network where the user runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kspike._messages import counted


@dataclasses.dataclass(frozen=True)
class NeuronDifference:
    """Spikes of one neuron layer, in two places.

    Args:
        compared: how many numbers, over images, time steps and units.
        differing: of those, how many are not equal.
        rounding: of the differing, those whose membrane lies within rounding of the threshold.
        following: those behind an earlier difference in the same image.
        images: numbers of the first few images in which they differ.
    """

    compared: int
    differing: int
    rounding: int
    following: int
    images: tuple[int, ...] = ()

    @property
    def unexplained(self) -> int:
        """Differing spikes that no rounding explains."""
        return self.differing - self.rounding - self.following


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a file gives beside a network.

    Args:
        beside: what it was compared with: "torch 2.13.0".
        images: how many.
        difference: largest absolute difference of a logit.
        ulp: the same in units of the last place of the largest logit of its image.
        classes_changed: images whose class is another.
        neurons: name -> what was found, in running order.
    """

    beside: str
    images: int
    difference: float
    ulp: float
    classes_changed: int
    neurons: Mapping[str, NeuronDifference]

    @property
    def spikes_compared(self) -> int:
        """Numbers compared, over all neurons."""
        return sum(each.compared for each in self.neurons.values())

    @property
    def spikes_differing(self) -> int:
        """Of those, how many differ."""
        return sum(each.differing for each in self.neurons.values())

    @property
    def unexplained(self) -> int:
        """Of those, how many rounding does not explain."""
        return sum(each.unexplained for each in self.neurons.values())

    def lines(self) -> list[str]:
        """The comparison in words."""
        out = [
            f"beside {self.beside}: {counted(self.images, 'image')}; logits differ by at most {self.difference:.3g} "
            f"({self.ulp:.3g} ulp); classes changed: {self.classes_changed:,}",
            f"  spikes: {self.spikes_compared:,} of {len(self.neurons)} neurons compared, "
            f"{self.spikes_differing:,} differ",
        ]
        for name, each in self.neurons.items():
            if each.differing:
                where = ", ".join(map(str, each.images))
                out.append(
                    f"    {name}: {each.differing:,} of {each.compared:,} differ ({each.rounding:,} within rounding of "
                    f"the threshold, {each.following:,} behind an earlier one, {each.unexplained:,} unexplained), "
                    f"images {where}"
                )
        return out


@dataclasses.dataclass(frozen=True)
class Report:
    """An exported file and what was found about it.

    Args:
        path: of the file, or the folder.
        format: its format.
        bytes: its size on the disk, with that of files beside it.
        writer: backend and version that wrote it.
        runtime: what ran it, with version; "" where nothing did.
        opset: of ONNX' operators; None for other formats.
        batch: images at a time; None where it is free.
        time: "unrolled", "scan" or "step".
        written: the file beside the network that wrote it, on the writer's backend; None where nothing was compared.
        own: the file beside the model as it runs in this process, by its fast forms; None where nothing was compared.
        skipped: what was not done, and why.
    """

    path: Path
    format: str
    bytes: int
    writer: str
    runtime: str
    opset: int | None
    batch: int | None
    time: str
    written: Comparison | None
    own: Comparison | None
    skipped: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Images compared."""
        return self.written.images if self.written else 0

    @property
    def classes_changed(self) -> int | None:
        """Images whose class is another than the writer's; None where nothing was compared."""
        return self.written.classes_changed if self.written else None

    @property
    def spikes_compared(self) -> int:
        """Spikes compared with the writer's."""
        return self.written.spikes_compared if self.written else 0

    @property
    def spikes_differing(self) -> int | None:
        """Of those, how many differ; None where nothing was compared."""
        return self.written.spikes_differing if self.written else None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON."""
        found = dataclasses.asdict(self)
        for name in ("written", "own"):
            each = getattr(self, name)
            if each is not None:
                found[name] |= {"spikes_compared": each.spikes_compared, "spikes_differing": each.spikes_differing}
        return {**found, "path": str(self.path), "skipped": list(self.skipped)}

    def __str__(self) -> str:
        opset = f", opset {self.opset}" if self.opset else ""
        batch = "batch of any size" if self.batch is None else f"batch fixed at {self.batch}"
        out = [
            f"{self.path}: {self.format}{opset}, {self.bytes:,} bytes, {batch}, time {self.time}",
            f"written by {self.writer}, run by {self.runtime or 'nothing'}",
        ]
        for each in (self.written, self.own):
            out += each.lines() if each else []
        out += [f"skipped: {each}" for each in self.skipped]
        return "\n".join(out)
