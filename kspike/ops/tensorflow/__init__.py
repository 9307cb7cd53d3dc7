"""TensorFlow's own forms of what `contract.Backend` names."""

from kspike.ops.contract import Backend
from kspike.ops.tensorflow.attention import attend, attend_chosen
from kspike.ops.tensorflow.neuron import divide, lif, norm_lif, spike
from kspike.ops.tensorflow.pool import max_pool
from kspike.ops.tensorflow.products import convolve, linear
from kspike.ops.tensorflow.program import run_program
from kspike.ops.tensorflow.runtime import accelerated, gradients, jit, with_shape
from kspike.ops.tensorflow.watching import place, watched

BACKEND = Backend(
    name="tensorflow",
    compiles=True,
    spike=spike,
    divide=divide,
    jit=jit,
    gradients=gradients,
    accelerated=accelerated,
    place=place,
    watched=watched,
    run_program=run_program,
    lif=lif,
    norm_lif=norm_lif,
    linear=linear,
    convolve=convolve,
    attend=attend,
    attend_chosen=attend_chosen,
    max_pool=max_pool,
    with_shape=with_shape,
)
