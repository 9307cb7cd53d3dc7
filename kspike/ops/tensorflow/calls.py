"""When TensorFlow may call the compiled CPU loops, and how it does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from kspike.ops.cpu import norm_lif

#: The dtypes that the loops read and write.
KNOWN = (tf.float32, tf.bfloat16)


@functools.cache
def on_cpu() -> bool:
    return not tf.config.list_logical_devices("GPU") and not tf.config.list_logical_devices("TPU")


#: Names of the functions that Keras' trainer traces, and of `runtime`'s `jit` and `gradients`: they run in this process
#: and are never saved. A function that may be saved must not call Python: another process could not load it.
_STEPS = {"one_step_on_data", "one_step_on_data_distributed", "multi_step_on_iterator", "multi_step_on_data"}
_STEPS.add("kspike_compiled")


def in_xla() -> bool:
    """Whether what is being traced will be compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def calls_python() -> bool:
    """Whether what runs, or is being traced, may call compiled loops: on the CPU, not under XLA, not to be saved."""
    if not on_cpu() or tf.distribute.has_strategy():
        return False
    names, graph = set(), tf.compat.v1.get_default_graph()
    while graph is not None:
        names.add(getattr(graph, "name", None))
        graph = getattr(graph, "outer_graph", None)
    return (tf.executing_eagerly() or bool(names & _STEPS)) and not in_xla() and norm_lif.kernels() is not None


def call(fn: Callable, tensors: Sequence[Any], like: Sequence[tuple]) -> list:
    """fn(arrays) -> arrays, of the dtypes and static shapes of `like`; bfloat16 as uint16. Copies nothing."""
    bits = [tf.bitcast(a, tf.uint16) if a.dtype == tf.bfloat16 else a for a in tensors]
    dtypes = [tf.uint16 if dtype == tf.bfloat16 else dtype for dtype, _ in like]
    found = tf.numpy_function(fn, bits, dtypes, stateful=False)
    found = found if isinstance(found, (list, tuple)) else [found]  # eager code returns a single result bare
    for out, (_, shape) in zip(found, like, strict=True):
        out.set_shape(shape)
    return [tf.bitcast(out, tf.bfloat16) if d == tf.bfloat16 else out for out, (d, _) in zip(found, like, strict=True)]
