"""The pool over tokens and the channels of a head under masks, where the number of heads is a tensor."""

import types

import numpy as np
import pytest
from keras import ops

from kspike.ops import max_pool
from kspike.supernet.places import MaskedSizes
from tests.helpers import input_gradient


def sizes_of(widths, index):
    """Sizes under masks, of which only the widths of heads are asked."""
    made = object.__new__(MaskedSizes)
    made._block, made._view = 0, types.SimpleNamespace(heads=lambda block: (widths, ops.convert_to_tensor(index)))
    return made


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_is_the_pool_of_every_head_and_the_first_of_equals_has_the_gradient(heads):
    rng = np.random.default_rng(0)
    x = (rng.random((2, 3, 6, 8)) < 0.4).astype("float32")  # spikes: ties everywhere
    upstream = rng.normal(size=x.shape).astype("float32")

    def plain(x):
        tall = ops.reshape(ops.swapaxes(ops.reshape(x, (6, 6, heads, 8 // heads)), 2, 3), (6, 6, 8 // heads, heads))
        return ops.reshape(ops.swapaxes(max_pool(tall, stride=1), 2, 3), x.shape)

    found = input_gradient(sizes_of((2, 4, 8), [2, 1, None, 0][heads - 1]).pool_heads, x, upstream)
    for a, b in zip(found, input_gradient(plain, x, upstream), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert 0.1 < found[0].mean() < 1.0
