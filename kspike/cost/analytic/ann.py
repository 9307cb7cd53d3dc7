"""The ANN twin: what the same architecture costs as an ordinary network, with ReLU and real-valued attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kspike.cost.analytic.table import as_config, table

#: Number format -> picojoules of a multiply-accumulate in it, 45 nm.
FORMATS: Mapping[str, float] = {"float32": 4.6, "int8": 0.23}
SOURCE = (
    "one pass of dense multiply-accumulates, attention in, at 4.6 pJ in float32 (3.7 + 0.9) and 0.23 pJ in int8 "
    "(0.2 + 0.03, the sum of the products as cheap as the sum of two int8): 45 nm, Horowitz, ISSCC 2014"
)


@dataclasses.dataclass(frozen=True)
class AnnTwin:
    """Operations and energy of the ANN twin, for one image.

    Args:
        macs: multiply-accumulates.
        energies_mj: number format -> millijoules.
        source: what is charged, and by which figures.
    """

    macs: int
    energies_mj: Mapping[str, float]
    source: str = SOURCE

    @property
    def float32_mj(self) -> float:
        """Millijoules in float32, which is what a spiking network's additions of 0.9 pJ compare with."""
        return self.energies_mj["float32"]

    @property
    def int8_mj(self) -> float:
        """Millijoules in int8."""
        return self.energies_mj["int8"]


def ann_twin(config: Any) -> AnnTwin:
    """Charges the same architecture as an ordinary network: ReLU for every neuron, real numbers in attention.

        macs             sum over all products of their dense multiply-accumulates, once
        energy           macs * picojoules of a multiply-accumulate in float32, and in int8

    The twin has no time: a still image passes once. An input of frames passes frame by frame, the head once. Attention
    multiplies real q, k and v, N * N * D each for Q K^T and A V, without a softmax; normalisation is folded into the
    weights, and ReLU, pools, biases and residual sums are free, as for the spiking network under "spikformer". Zeros
    behind a ReLU are multiplied, too: a dense processor does not skip them.

    float32 is how Spikformer's paper charges its ANN (4.6 pJ * FLOPs). int8 is the harder baseline, a twentieth of
    that: a spiking network that adds 32-bit weights needs less only if its mean firing rate is below 0.23 / (0.9 * T).

    Args:
        config: a `SpikformerConfig`, a genome, or a `Spikformer`.

    Returns:
        An `AnnTwin`.

    Example:
        >>> import kspike
        >>> twin = kspike.cost.ann_twin(kspike.SpikformerConfig())
        >>> twin.macs, round(twin.float32_mj, 3), round(twin.int8_mj, 4)
        (934039296, 4.297, 0.2148)
    """
    config = as_config(config)
    return twin_of(sum(row.macs * (row.steps if config.has_time else 1) for row in table(config)))


def twin_of(macs: int) -> AnnTwin:
    """The twin of a network of so many dense multiply-accumulates."""
    return AnnTwin(int(macs), {name: macs * pj * 1e-9 for name, pj in FORMATS.items()})
