"""The elastic form of `kspike.layers.border.BorderNorm`."""

from __future__ import annotations

from typing import Any

from keras import ops

from kspike._types import Maps, PerStep, Scalar
from kspike.layers.border import of_zero, surrounded, unbiased
from kspike.supernet.elastic import EPSILON, ElasticNorm, Extent, Statistics


class ElasticBorderNorm(ElasticNorm):
    """`ElasticNorm` of maps, which it surrounds by what it makes of 0 by the stored moments, this batch's entered."""

    def call(
        self,
        x: Maps,
        extent: Extent,
        statistics: Statistics,
        time_mask: PerStep | None = None,
        active: Scalar | None = None,
    ) -> Maps:
        gamma, beta, mean, variance = self._taken(extent)
        y, moments = self._normalised(x, extent, statistics, time_mask)
        if moments is not None:
            frames = None if time_mask is None else ops.cast(ops.shape(x)[0], "float32") * ops.sum(time_mask)
            of_batch = moments[0], unbiased(moments[1], x, frames)
            mean, variance = (
                stored + (ops.cast(batch, "float32") - stored) * statistics.rate
                for stored, batch in zip((mean, variance), of_batch, strict=True)
            )
            self._remember(extent, *moments, statistics.rate, active)
        return extent.mask(surrounded(y, of_zero(gamma, beta, mean, variance, EPSILON)))

    def then_fire(
        self,
        x: Maps,
        extent: Extent,
        statistics: Statistics,
        time_mask: PerStep | None = None,
        active: Scalar | None = None,
        **neuron: Any,
    ) -> None:
        """None: there is no pass that puts a border in between."""
        return None
