"""PyTorch's own forms of what `contract.Backend` names."""

from kspike.ops.contract import Backend
from kspike.ops.torch.attention import attend
from kspike.ops.torch.neuron import divide, lif, lif_from, norm_lif
from kspike.ops.torch.norm import batch_norm
from kspike.ops.torch.pool import max_pool
from kspike.ops.torch.products import convolve, linear
from kspike.ops.torch.program import run_program
from kspike.ops.torch.runtime import accelerated, by_parts, clip_each, gradients, jit, parts_of, recorded
from kspike.ops.torch.steps import charge, level, reset, spike
from kspike.ops.torch.transforms import substituted
from kspike.ops.torch.watching import place, watched

BACKEND = Backend(
    name="torch",
    compiles=False,
    spike=spike,
    divide=divide,
    jit=jit,
    gradients=gradients,
    accelerated=accelerated,
    place=place,
    watched=watched,
    charge=charge,
    reset=reset,
    run_program=run_program,
    level=level,
    lif=lif,
    lif_from=lif_from,
    norm_lif=norm_lif,
    batch_norm=batch_norm,
    linear=linear,
    convolve=convolve,
    attend=attend,
    max_pool=max_pool,
    by_parts=by_parts,
    parts_of=parts_of,
    clip_each=clip_each,
    recorded=recorded,
    substituted=substituted,
)
