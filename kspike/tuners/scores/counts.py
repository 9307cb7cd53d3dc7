"""params and flops: the scores that follow from the architecture, and the baselines that every other must beat."""

from __future__ import annotations

from typing import Any

from kspike import cost
from kspike.tuners.scores.base import Score


class Params(Score):
    """Counts trainable parameters: the simplest score."""

    name = "params"
    counted = True
    source = "kspike.cost.parameters, closed form"

    @property
    def metric(self) -> str:
        return "parameters"

    def of(self, config: Any) -> int:
        return cost.parameters(config)


class Flops(Score):
    """Counts the dense operations of one image over all time steps, as AutoST's fitness does.

    Source: AutoST (Wang et al., ICASSP 2024), released code: `syops.get_model_complexity_info(...)[0][0]`, which counts
    products, normalisation, neurons and pools, but not attention's two products. Here in closed form, without a model.
    """

    name = "flops"
    counted = True
    source = "AutoST (Wang et al., ICASSP 2024), released code; kspike.cost.flops, counting 'syops', closed form"

    def of(self, config: Any) -> int:
        return cost.flops(config)
