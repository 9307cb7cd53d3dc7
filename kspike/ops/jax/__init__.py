"""JAX's own forms of what `contract.Backend` names."""

from kspike.ops.contract import Backend
from kspike.ops.jax.attention import attend, attend_chosen
from kspike.ops.jax.neuron import divide, lif, norm_lif, spike
from kspike.ops.jax.pool import max_pool
from kspike.ops.jax.products import branch, convolve, convolve_inside, depthwise, linear
from kspike.ops.jax.runtime import accelerated, gradients, jit
from kspike.ops.jax.trainer import KeepsWeights
from kspike.ops.jax.watching import place, watched

BACKEND = Backend(
    name="jax",
    compiles=True,
    spike=spike,
    divide=divide,
    jit=jit,
    gradients=gradients,
    accelerated=accelerated,
    place=place,
    watched=watched,
    lif=lif,
    norm_lif=norm_lif,
    linear=linear,
    convolve=convolve,
    convolve_inside=convolve_inside,
    depthwise=depthwise,
    attend=attend,
    attend_chosen=attend_chosen,
    max_pool=max_pool,
    KeepsWeights=KeepsWeights,
    branch=branch,
)
