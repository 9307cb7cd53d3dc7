"""The neuron, and normalisation with the neuron after it, as compiled loops over a CPU's memory (numba).

One pass over the input forward and one backward, whatever T: a row of channels stays in the L1 cache for all its time
steps, and backward recomputes the potentials instead of storing them. What a spike depends on is computed as in the
reference, in the same order and without fused multiply-adds, so that spikes are equal bit for bit.

Arrays are `(batch, time, places, channels)`, contiguous; sums are in float64, chunk by chunk.
"""

from kspike.ops.cpu.moments import moments, norm_backward
from kspike.ops.cpu.neuron import fire
from kspike.ops.cpu.neuron_gradient import fire_backward

__all__ = ["fire", "fire_backward", "moments", "norm_backward"]
