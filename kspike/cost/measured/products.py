"""One product that ran: turns its totals into the activity that a convention charges: mean, by image, by time step."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.cost.analytic.rows import Row
from kspike.cost.conventions.activity import Activity, Around, Attention, Geometry
from kspike.cost.measured.totals import Tally, Total, Views


@dataclasses.dataclass(frozen=True)
class ProductActivity:
    """Activity of one product: the mean over all images, one value an image, and one value a time step."""

    activity: Activity
    by_image: Activity
    by_step: Activity


@dataclasses.dataclass(frozen=True)
class MeasuredProduct:
    """One product that ran: its total, the totals of an attention's inputs, and its closed form if there is one.

    `beside` is the closed form of the other product of an attention, "av" of "qk".
    """

    name: str
    total: Total
    inputs: dict[str, Total]
    role: str
    row: Row | None
    images: int
    beside: Row | None = None

    @property
    def steps(self) -> int:
        """Time steps of the closed form, or of the signal; a product of the still image may run once for all steps."""
        return self.total.signal.steps if self.row is None else min(self.row.steps, self.total.signal.steps)

    @property
    def dense(self) -> int:
        signal = self.total.signal
        if self.row is not None:
            return self.row.macs * self.row.steps
        return signal.elements * signal.shape[0] if self.role else int(signal.dense or 0)

    def elements(self, of: Total) -> int:
        """Numbers in an input: the closed form's count, since inactive channels of a supernet are there as zeros."""
        row = self.row if not self.role or (of.signal.of == "v") == (self.role == "av") else self.beside
        return of.signal.elements if row is None else row.elements * self.steps

    def geometry(self) -> Geometry:
        signal, size, inputs = self.total.signal, self.total.signal.geometry, self.elements(self.total)
        if self.role:  # it multiplies by K, or by A
            tokens = self._tokens
            scores = inputs * tokens // (signal.shape[2] if self.beside is None else self.beside.head_dim)
            outputs, weights = (scores, inputs) if self.role == "qk" else (inputs, scores)
            return Geometry(inputs, outputs, weights // self.steps, self.dense, tokens, self.steps)
        repeats = 1
        if signal.dense is None and self.row is not None:  # elastic: the geometry is that of one output channel
            positions = size.outputs // signal.steps
            channels = self.row.macs // (size.fan * self.row.elements)
            weights = self.row.macs // positions + channels * size.biased
            reach = round(self.dense * size.reach / (size.fan * positions * signal.steps))
            outputs = positions * channels * self.steps
            return dataclasses.replace(
                size, inputs=inputs, outputs=outputs, weights=weights, reach=reach, fan=size.fan * channels,
                steps=self.steps,
            )  # fmt: skip
        repeats = self.dense // signal.dense if signal.dense else 1
        return dataclasses.replace(
            size, inputs=inputs * repeats, outputs=size.outputs * repeats, reach=size.reach * repeats,
            steps=self.steps * repeats,
        )  # fmt: skip

    def over_images(self, around: list[dict[str, Any]], static: bool) -> ProductActivity:
        """Its activity, as a convention reads it."""
        total, size = self.total, self.geometry()
        elements = self.elements(total)
        scale = 1.0
        if not self.role:
            unit = total.signal.dense
            scale = size.fan / total.signal.geometry.fan if unit is None else self.dense / unit

        n, steps, counts = self.images, self.steps, total.counts
        views, inputs = total.views(n, steps), {of: each.sums.views(n, steps) for of, each in self.inputs.items()}
        attributed = [
            {name: value.views(n, steps) if isinstance(value, Tally) else value for name, value in each.items()}
            for each in around
        ]

        def activity(view: str, divisor: int) -> Activity:
            """`view` is a field of `Views`; constants are divided by `divisor` (1, or T)."""
            sums, active, touched, spiking = (getattr(each, view) for each in views.values())
            means = {
                of: getattr(inputs[of], view) / (self.elements(each) // divisor) for of, each in self.inputs.items()
            }
            return Activity(
                name=self.name,
                kind=total.signal.role,
                dense=self.dense // divisor,
                rate=sums / (elements // divisor),
                counts=counts,
                largest=total.largest,
                static=static,
                attention=Attention(self.role, **means, tokens=self._tokens, head_dim=self._head_dim)
                if self.role
                else None,
                smallest=total.smallest,
                whole=total.whole,
                active=active / (elements // divisor),
                touched=touched * scale,
                spiking=spiking * scale,
                geometry=_divided(size, divisor),
                around=_around(attributed, view, divisor),
            )

        return ProductActivity(activity("mean", 1), activity("by_image", 1), activity("by_step", steps))

    @property
    def _tokens(self) -> int:
        return self.total.signal.shape[0] if self.row is None else self.row.tokens

    @property
    def _head_dim(self) -> float:
        if self.row is not None:
            return self.row.head_dim
        return self.inputs["v" if self.role == "qk" else "q"].signal.shape[2]


def _divided(size: Geometry, divisor: int) -> Geometry:
    if divisor == 1:
        return size
    inputs, outputs, reach = (n / divisor for n in (size.inputs, size.outputs, size.reach))
    return dataclasses.replace(size, inputs=inputs, outputs=outputs, reach=reach, steps=size.steps / divisor)


def _around(found: list[dict[str, Any]], view: str, divisor: int) -> Around:
    """Sums of the layers counted on a product: of a tally its `view`; a plain number holds for every image."""
    sums: dict[str, Any] = {}
    for each in found:
        for name, value in each.items():
            sums[name] = sums.get(name, 0) + (getattr(value, view) if isinstance(value, Views) else value / divisor)
    return Around(**sums)
