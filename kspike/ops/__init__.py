"""The tensor operations that differ from backend to backend, behind one dispatch.

`reference.py` says in keras.ops what each operation does; a backend's own file holds its faster or compiled form,
tested equal to the reference. `KSPIKE_REFERENCE_OPS=1` in the environment, or `kspike.ops.use_reference(True)`,
switches every fast form off (read at each call in eager code, when a function is traced in compiled code).
`KSPIKE_COMPILE=1` fuses the neurons by torch.compile on the torch backend: worth its half minute for long training.
"""

from kspike.ops.dispatch import (
    batch_norm,
    compilation_counter,
    jit,
    lif,
    max_pool,
    spike,
    use_reference,
    uses_reference,
)

__all__ = ["batch_norm", "compilation_counter", "jit", "lif", "max_pool", "spike", "use_reference", "uses_reference"]
