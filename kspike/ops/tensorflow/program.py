"""Neuron programs under TensorFlow on a CPU, by compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops.cpu import norm_lif
from kspike.ops.program import Program
from kspike.ops.tensorflow.calls import call, calls_python


def run_program(x: Any, program: Program, starts: tuple, again: Any, **constants: Any) -> tf.Tensor | None:
    """Spikes of a neuron program over axis 1; None where the loops do not take x, or a step itself is as fast."""
    x = tf.convert_to_tensor(x)
    if x.dtype != tf.float32 or not calls_python():
        return None
    from kspike.ops.cpu import program as cpu_program  # numba is there

    spec = cpu_program.spec_of(norm_lif.SURROGATES, program, starts, tuple(x.shape), **constants)
    if spec is None:
        return None

    def fire(x: np.ndarray) -> np.ndarray:
        out = norm_lif.empty(x.shape, "float32")
        cpu_program.forward(spec, x, out, norm_lif.cores())
        return out

    def fire_backward(grad_output: np.ndarray, x: np.ndarray) -> np.ndarray:
        grad = norm_lif.empty(x.shape, "float32")
        cpu_program.backward(spec, np.ascontiguousarray(grad_output), x, grad, norm_lif.cores())
        return grad

    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple:
        like = [(tf.float32, x.shape)]
        return call(fire, [x], like)[0], lambda grad_output: call(fire_backward, [grad_output, x], like)[0]

    return run(x)
