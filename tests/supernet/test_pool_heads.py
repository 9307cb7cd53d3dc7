"""The pool over tokens and the channels of a head under masks, where the number of heads is a tensor."""

import numpy as np
import pytest
from keras import ops

from kspike.ops import max_pool
from kspike.supernet.places import pool_heads
from tests.helpers import input_gradient


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_is_the_pool_of_every_head_and_the_first_of_equals_has_the_gradient(heads):
    rng = np.random.default_rng(0)
    x = (rng.random((2, 3, 6, 8)) < 0.4).astype("float32")  # spikes: ties everywhere
    upstream = rng.normal(size=x.shape).astype("float32")

    def plain(x):
        tall = ops.reshape(ops.swapaxes(ops.reshape(x, (6, 6, heads, 8 // heads)), 2, 3), (6, 6, 8 // heads, heads))
        return ops.reshape(ops.swapaxes(max_pool(tall, stride=1), 2, 3), x.shape)

    head_dim = ops.convert_to_tensor(8 // heads, dtype="int32")
    found = input_gradient(lambda x: pool_heads(x, head_dim), x, upstream)
    for a, b in zip(found, input_gradient(plain, x, upstream), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert 0.1 < found[0].mean() < 1.0
