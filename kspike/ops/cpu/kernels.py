"""The neuron, and normalisation with the neuron after it, as compiled loops over a CPU's memory (numba).

One pass over the input each way, whatever T: a row of channels stays in the first-level cache while its time steps are
walked through, and the way back computes the potentials again instead of having kept them. What a spike depends on is
written as the reference has it, in its order and without fused multiply-adds, so that spikes are the same bit for bit.

Arrays are `(batch, time, places, channels)`, contiguous; sums are added up in float64, piece by piece.
"""

from kspike.ops.cpu.moments import moments, norm_back
from kspike.ops.cpu.neuron import fire
from kspike.ops.cpu.neuron_gradient import fire_back

__all__ = ["fire", "fire_back", "moments", "norm_back"]
