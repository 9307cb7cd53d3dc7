"""Processors without bfloat16: its products are computed in float32, for the backends' own are scalar."""

import keras
import numpy as np
import pytest

import kspike
from kspike import ops
from kspike.ops import reference
from tests.helpers import BACKEND, pullback


@pytest.fixture(params=[True, False], ids=["without", "whatever it is"])
def without(request, monkeypatch, processor):
    """A processor without bfloat16, or the one that there is."""
    if not request.param:
        return
    processor(avx512f=False)
    if BACKEND == "torch":
        from kspike.ops.torch import products as torch_products

        monkeypatch.setattr(torch_products, "WIDENS", True)


def numbers(*shape, seed=0):
    return keras.ops.cast(np.random.default_rng(seed).normal(size=shape).astype("float32"), "bfloat16")


def assert_rounded_once(product, exactly, given, grad_output):
    """The product and the gradients of all its arguments are float32's, rounded."""
    exact = pullback(lambda *a: [exactly(*a)], [keras.ops.cast(a, "float32") for a in given], grad_output)
    found = pullback(lambda *a: [product(*a)], given, keras.ops.cast(grad_output, "bfloat16"))
    for a, b in zip((*found[0], *found[1]), (*exact[0], *exact[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2**-8, atol=2**-8 * np.abs(b).max())


@pytest.mark.parametrize("rows", [64, 20000])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.usefixtures("without")
def test_products_are_those_of_float32_rounded_once(rows, bias):
    given = numbers(rows, 2, 24), numbers(24, 40, seed=1), *[numbers(40, seed=2)] * bias
    assert_rounded_once(ops.linear, reference.linear, given, keras.ops.cast(numbers(rows, 2, 40, seed=3), "float32"))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("images", [1, 40])
@pytest.mark.usefixtures("without")
def test_convolutions_are_those_of_float32_rounded_once(images, size):
    given = numbers(images, 16, 12, 24), numbers(size, size, 24, 40, seed=1)
    grad_output = keras.ops.cast(numbers(images, 16, 12, 40, seed=3), "float32")
    assert_rounded_once(ops.convolve, reference.convolve, given, grad_output)


def spikformer():
    keras.utils.set_random_seed(0)
    config = kspike.SpikformerConfig(
        input_shape=(16, 16, 3), num_classes=10, timesteps=2, embed_dim=32, depth=1, num_heads=4
    )
    return kspike.Spikformer(config, dtype="mixed_bfloat16")


@pytest.mark.skipif(BACKEND != "torch", reason="reads torch's calls")
def test_a_training_step_multiplies_no_bfloat16(monkeypatch):
    """And saves bfloat16 for backward, as it does elsewhere: half of float32's memory."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from kspike.ops.torch import products as torch_products

    products = ("convolution", "mm", "addmm", "bmm", "convolution_backward", "_convolution", "mkldnn_convolution")
    seen = []

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, called, types, args=(), kwargs=None):
            name = called.overloadpacket.__name__
            if name in products:
                seen.append((name, {a.dtype for a in args if isinstance(a, torch.Tensor)}))
            return called(*args, **(kwargs or {}))

    def step():
        model, x = spikformer(), np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
        model.build((None, 16, 16, 3))
        kept = []
        with Watched(), torch.autograd.graph.saved_tensors_hooks(lambda a: (kept.append(a), a)[1], lambda a: a):
            model(x, training=True).sum().backward()
        return sum(a.nbytes for a in kept)

    monkeypatch.setattr(torch_products, "WIDENS", False)
    usual = step()
    assert any(torch.bfloat16 in kinds for _, kinds in seen)  # it looks where products are
    seen.clear()
    monkeypatch.setattr(torch_products, "WIDENS", True)
    assert step() == usual
    assert {name for name, _ in seen} >= {"convolution", "convolution_backward"}
    assert all(kinds == {torch.float32} for _, kinds in seen)


@pytest.mark.skipif(BACKEND != "torch", reason="torch's transforms of functions")
def test_torchs_own_transforms_run_on_it(monkeypatch):
    import torch

    from kspike.ops.torch import products as torch_products

    monkeypatch.setattr(torch_products, "WIDENS", True)
    x, kernel = numbers(5, 6, 24), numbers(24, 40, seed=1)

    def total(x, kernel):
        return ops.linear(x, kernel).float().square().sum()

    each = torch.vmap(torch.func.grad(total), in_dims=(0, None))(x, kernel)
    alone = torch.stack([torch.func.grad(total)(row, kernel) for row in x])
    np.testing.assert_allclose(each.float(), alone.float(), rtol=2**-7, atol=2**-7 * alone.float().abs().max())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="reads TensorFlow's graph")
def test_a_traced_step_multiplies_no_bfloat16(processor):
    import tensorflow as tf

    def products(**features):
        processor(**features)
        model = spikformer()
        model.build((None, 16, 16, 3))

        @tf.function
        def kspike_compiled(x):
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(model(x, training=True))
            return tape.gradient(total, model.trainable_variables[0].value)

        graph = kspike_compiled.get_concrete_function(tf.TensorSpec((4, 16, 16, 3))).graph
        nodes = [*graph.as_graph_def().node, *(n for f in graph.as_graph_def().library.function for n in f.node_def)]
        kinds = [node.attr["T"].type for node in nodes if node.op.startswith(("MatMul", "BatchMatMul", "Conv2D"))]
        return [tf.dtypes.as_dtype(kind) for kind in kinds]

    assert tf.bfloat16 in products()  # it looks where products are
    found = products(avx512f=False)
    assert found and set(found) == {tf.float32}
