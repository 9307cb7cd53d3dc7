"""The tensor operations that differ from backend to backend, behind one dispatch.

`reference.py` defines each operation in keras.ops, the fallback; `contract.py` states what a backend provides, and each
backend's folder holds its fast forms, tested equal to the reference. `KSPIKE_REFERENCE_OPS=1` in the environment, or
`kspike.ops.use_reference(True)`, switches every fast form off (read at each call in eager code, at trace time in
compiled code). Inside torch.func's transforms they are always off (`torch/transforms`).
On a CPU all three backends run neurons, the normalisation before them, attention, pools, and sparse products and
convolutions as loops compiled by numba (`cpu/norm_lif`, `cpu/kernels`, `cpu/attention`, `cpu/pool`, `cpu/sparse`); jax
also dense products (`cpu/dense`), which torch leaves to oneDNN. torch runs the loops on its own thread pool
(`torch/openmp`), tensorflow calls them through numpy_function (`tensorflow/calls`), jax through XLA's foreign function
interface (`jax/calls`). Where XLA cannot call them, pools and, under jax, convolutions have gradients that it compiles
well (`xla`). On a GPU torch runs normalisation, neurons, attention and pools as Triton kernels (`gpu/autograd`,
`gpu/kernels`).
"""

from kspike.ops.dispatch import (
    KeepsWeights,
    accelerated,
    attend,
    attend_chosen,
    batch_norm,
    branch,
    by_parts,
    charge,
    clip_each,
    compilation_counter,
    compiles,
    convolve,
    convolve_inside,
    depthwise,
    gradients,
    jit,
    level,
    lif,
    linear,
    max_pool,
    norm_lif,
    ordered_sums,
    over,
    parts_of,
    place,
    portable,
    recorded,
    reset,
    run_program,
    spike,
    substituted,
    use_reference,
    uses_reference,
    watched,
    with_shape,
)

__all__ = [
    "KeepsWeights",
    "accelerated",
    "attend",
    "attend_chosen",
    "batch_norm",
    "branch",
    "by_parts",
    "charge",
    "clip_each",
    "compilation_counter",
    "compiles",
    "convolve",
    "convolve_inside",
    "depthwise",
    "gradients",
    "jit",
    "level",
    "lif",
    "linear",
    "max_pool",
    "norm_lif",
    "ordered_sums",
    "over",
    "parts_of",
    "place",
    "portable",
    "recorded",
    "reset",
    "run_program",
    "spike",
    "substituted",
    "use_reference",
    "uses_reference",
    "watched",
    "with_shape",
]
