"""The conventions of papers and counters, registered by name; each says where it comes from and where it departs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kspike.cost.conventions.activity import Activity
from kspike.cost.conventions.base import Convention, register
from kspike.cost.conventions.lemaire import Lemaire

INT8 = "0.23 pJ an int8 multiply-accumulate (0.2 + 0.03), 0.03 pJ an addition: 45 nm, Horowitz, ISSCC 2014"
HOROWITZ = "4.6 pJ a 32-bit multiply-accumulate, 0.9 pJ an addition: 45 nm, Horowitz, ISSCC 2014"


@dataclasses.dataclass(frozen=True)
class KeyValueFirst(Convention):
    """Charges attention as K^T V and then Q (K^T V), the order of Spikingformer's counter.

        accumulations of K^T V        = dense * head_dim / tokens * min(rate(k), rate(v))      (on the row "av")
        accumulations of Q (K^T V)    = dense * head_dim / tokens * rate(q)                    (on the row "qk")

    where dense = T * N * N * D, so that the first factor is T * N * D * head_dim (where v is wider than q and k, each
    row with the channels of the other row's heads).
    """

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        at = activity.attention
        if at is None or not self.accumulates(activity):
            return super().operations(activity)
        rate = at.q if at.role == "qk" else np.minimum(at.k, at.v)
        return activity.dense * at.head_dim / at.tokens * rate, np.zeros_like(rate)


@dataclasses.dataclass(frozen=True)
class Syops(Convention):
    """Charges every module that the syops counter hooks, and nothing else: attention's products are no module, so free.

        products          rate * dense accumulations where the input is spikes, else dense multiply-accumulates
        normalisation     2 multiply-accumulates a number
        neurons           1 accumulation a membrane updated
        max-pools         1 accumulation a spike that goes in, 1 multiply-accumulate a real number

    It takes any tensor with at most two values from 0 to 1 for spikes: an image of ones is charged as spikes too, which
    undercounts. Departures: spikes are 0 and 1 (a still image of the values 0 and 0.5 is real here), decided over all
    images and not batch by batch; linear biases, which it adds once a batch, are left out.
    """

    largest_count: float = 1

    def accumulates(self, activity: Activity) -> bool:
        """Whether the product adds weights: also for a still image of 0 and 1 alone."""
        return activity.counts and activity.largest <= self.largest_count

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        none = np.zeros_like(activity.rate)
        acs, macs = (none, none) if activity.attention is not None else super().operations(activity)
        at = activity.around
        return acs + at.updates + at.pooled_spikes, macs + 2 * at.normalised + at.pooled_real

    def dense(self, activity: Activity) -> Any:
        """Its first number, ops[0], without biases."""
        at = activity.around
        product = 0 if activity.attention is not None else activity.dense
        return product + 2 * at.normalised + at.updates + at.pooled


@dataclasses.dataclass(frozen=True)
class SpikingJelly(Convention):
    """Charges products as SpikingJelly 2.0's SynOpCounter and MACCounter count them, the attention as it is computed.

        spikes in                     the weights that they are multiplied by, padding left out, accumulations
        Q K^T of spikes               pairs of a spike in Q and one in K, accumulations
        A V                           tokens * spikes of V, accumulations
        anything else                 dense multiply-accumulates; counts above 1 are no spikes, and padding is in

    Its simple energy also has what normalisations, neurons, pools and residual sums add and multiply, as the backend
    runs them, and 24.96 pJ a byte of memory; they are left out: this is the computing of products alone.
    Departures: decided over all images and not call by call; weights that are exactly 0 are not added.
    """

    largest_count: float = 1

    def accumulates(self, activity: Activity) -> bool:
        """Whether the input is spikes, 0 or 1, even if they are the pixels of a still image."""
        return activity.counts and activity.largest <= self.largest_count

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        if self.accumulates(activity):
            return activity.touched, np.zeros_like(activity.rate)
        return super().operations(activity)


@dataclasses.dataclass(frozen=True)
class NeuroBench(Convention):
    """Counts effective synaptic operations as NeuroBench 2.3 defines them, and charges no energy, as it does.

        effective operations          pairs of a nonzero input and a nonzero weight that meet; no padding, no biases
        accumulations                 if every number of the input is -1, 0 or 1
        multiply-accumulates          otherwise
        dense                         the same of ones: all pairs, padding left out

    Attention's products, which it does not see, count nothing. Whether a layer accumulates is decided once, over all
    images; NeuroBench decides at every call of a layer, so that its numbers depend on the batch size, and so does
    `per_call=True`: a batch with all its time steps is one call.
    """

    mac_pj: float = 0.0
    ac_pj: float = 0.0
    largest_count: float = 1
    per_call: bool = False

    def accumulates(self, activity: Activity) -> bool:
        """Whether the whole input is -1, 0 and 1."""
        return activity.whole and activity.smallest >= -1 and activity.largest <= 1

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps."""
        none = np.zeros_like(activity.rate)
        if activity.attention is not None:
            return none, none
        if self.per_call:
            return activity.spiking + none, activity.touched - activity.spiking + none
        return (activity.touched, none) if self.accumulates(activity) else (none, activity.touched)

    def dense(self, activity: Activity) -> Any:
        """All pairs that meet, padding left out."""
        return 0 if activity.attention is not None else activity.geometry.reach


CONVENTIONS = (
    Convention(
        "spikformer",
        source="Zhou et al., Spikformer, ICLR 2023, eq. 21-24: multiply-accumulates where the measured input is real "
        f"(the still image T times, the head once), accumulations elsewhere, attention as Q K^T, then A V. {HOROWITZ}",
    ),
    Convention(
        "int8",
        source="as spikformer, for int8 weights: kspike.quantize makes such networks, and kspike.cost.ann_twin charges "
        f"the ordinary network by the same figures, sums as cheap as those of two int8. {INT8}",
        mac_pj=0.23,
        ac_pj=0.03,
    ),
    KeyValueFirst(
        "spikingformer",
        source="Spikingformer's energy_consumption_calculation with Nspks_max = 1: integers above 1 are multiplied, "
        f"attention as K^T V, then Q (K^T V). All products are counted, whatever their names. {HOROWITZ}",
        largest_count=1,
    ),
    KeyValueFirst(
        "spikingformer_counts",
        source="Spikingformer's energy_consumption_calculation with Nspks_max = 30: integers up to 30 are added, by "
        f"their mean, attention as K^T V, then Q (K^T V). All products are counted, whatever their names. {HOROWITZ}",
        largest_count=30,
    ),
    Syops(
        "syops",
        source="syops 0.0.5 (iCGY96/syops-counter), ops.py: products by rate, 2 a normalised number, 1 a neuron's "
        f"update and a pooled number, attention's products not seen. {HOROWITZ}",
    ),
    SpikingJelly(
        "spikingjelly",
        source="SpikingJelly 2.0.0, activation_based.op_counter, preset fp32, computing only: SynOpCounter and the "
        f"products of MACCounter; padding left out where spikes come in. {HOROWITZ}",
    ),
    Lemaire(
        "lemaire",
        source="Lemaire et al., ICONIP 2022 (arXiv 2210.13107), with memory and addressing, in the form and with the "
        "figures of SpikingJelly 2.0.0's estimate_lemaire_energy: 0.1 pJ a 32-bit integer addition, 3.1 pJ a "
        "multiplication, 10, 20 and 100 pJ an access to 8 KiB, 32 KiB and 1 MiB of SRAM, 45 nm",
    ),
    NeuroBench(
        "neurobench",
        source="NeuroBench 2.3.0, SynapticOperations: operations, no energy; a layer accumulates or multiplies as all "
        "images together say",
    ),
    NeuroBench(
        "neurobench_per_call",
        source="NeuroBench 2.3.0, SynapticOperations, exactly: operations, no energy; decided batch by batch, so that "
        "the batch size has an effect",
        per_call=True,
    ),
)
for _convention in CONVENTIONS:
    register(_convention)
