"""The tensor operations that differ from backend to backend, behind one dispatch.

`reference.py` says in keras.ops what each operation does; `contract.py` says what a backend gives, and each backend's
folder holds its faster or compiled forms, tested equal to the reference. `KSPIKE_REFERENCE_OPS=1` in the environment,
or `kspike.ops.use_reference(True)`, switches every fast form off (read at each call in eager code, when a function is
traced in compiled code). Inside torch.func's transforms they are off by themselves (`torch/transforms`).
On a CPU all three run neurons, the normalisation before them, attention, pools, and sparse products and convolutions
as loops compiled by numba (`cpu/norm_lif`, `cpu/kernels`, `cpu/attention`, `cpu/pool`, `cpu/sparse`), torch dense
linear products in oneDNN, jax all dense products (`cpu/dense`). torch calls them on its own threads (`torch/openmp`),
tensorflow through numpy_function (`tensorflow/calls`), jax through XLA's foreign function interface (`jax/calls`).
Where XLA cannot call them, pools and, under jax, convolutions have gradients that it compiles well (`xla`). On a GPU
torch runs normalisation, neurons and attention as Triton kernels (`gpu/autograd`, `gpu/kernels`).
"""

from kspike.ops.dispatch import (
    KeepsWeights,
    accelerated,
    attend,
    attend_chosen,
    batch_norm,
    by_parts,
    clip_each,
    compilation_counter,
    compiles,
    convolve,
    gradients,
    jit,
    lif,
    linear,
    max_pool,
    norm_lif,
    ordered_sums,
    place,
    portable,
    recorded,
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
    "by_parts",
    "clip_each",
    "compilation_counter",
    "compiles",
    "convolve",
    "gradients",
    "jit",
    "lif",
    "linear",
    "max_pool",
    "norm_lif",
    "ordered_sums",
    "place",
    "portable",
    "recorded",
    "spike",
    "substituted",
    "use_reference",
    "uses_reference",
    "watched",
    "with_shape",
]
