"""State dicts that do not fit: one error that lists everything."""

import numpy as np
import pytest

from kspike.convert import from_spikformer
from tests.convert import reference

pytestmark = pytest.mark.shared

ARGUMENTS = {"num_heads": 4, "input_shape": (16, 16, 3)}


@pytest.fixture
def tensors():
    return reference.official(reference.network(4))


def message(tensors, **arguments):
    with pytest.raises(ValueError) as caught:
        from_spikformer(tensors, **{**ARGUMENTS, **arguments})
    return str(caught.value)


def test_everything_wrong_is_listed_at_once(tensors):
    tensors["block.0.attn.q_liner.weight"] = tensors.pop("block.0.attn.q_linear.weight")
    tensors["patch_embed.extra"] = np.zeros(3)
    del tensors["head.bias"]
    tensors["block.1.mlp.fc1_bn.running_mean"] = np.full(40, np.nan)
    tensors["head.weight"] = np.full((5, 16), np.inf)
    text = message(tensors)
    assert "'official CIFAR'" in text
    assert "missing (2): block.0.attn.q_linear.weight, head.bias" in text
    assert "unknown (2)" in text and "patch_embed.extra" in text
    assert "block.0.attn.q_liner.weight (did you mean 'block.0.attn.q_linear.weight'?)" in text
    assert "not finite (NaN or infinity) (2): block.1.mlp.fc1_bn.running_mean, head.weight" in text


def test_shapes_that_do_not_fit(tensors):
    tensors["block.1.attn.k_linear.weight"] = np.zeros((16, 12))
    tensors["patch_embed.proj_conv2.weight"] = np.zeros((8, 4, 5, 5))
    tensors["block.0.attn.proj_bn.running_var"] = -np.ones(16)
    text = message(tensors)
    assert "of another shape (2): patch_embed.proj_conv2.weight is (8, 4, 5, 5), expected (8, 4, 3, 3), " in text
    assert "block.1.attn.k_linear.weight is (16, 12), expected (16, 16)" in text
    assert "negative, for a variance (1): block.0.attn.proj_bn.running_var" in text


@pytest.mark.parametrize("shape", [(), (16,), (0, 3, 3, 3), (2, 3, 3, 3, 3)])
def test_shapes_that_no_convolution_has(tensors, shape):
    tensors["patch_embed.proj_conv.weight"] = np.zeros(shape)
    assert "patch_embed.proj_conv.weight is " + str(shape) in message(tensors)


def test_a_bias_that_only_some_blocks_have(tensors):
    del tensors["block.1.attn.k_linear.bias"]
    assert "missing (1): block.1.attn.k_linear.bias" in message(tensors)


def test_a_gap_between_blocks(tensors):
    renamed = {name.replace("block.1.", "block.9."): value for name, value in tensors.items()}
    text = message(renamed)
    assert "block.1.attn.q_linear.weight" in text and "block.9.attn.q_linear.weight" in text and "more" in text


@pytest.mark.parametrize("tensors", [{}, {"conv1.weight": np.zeros((4, 3, 3, 3))}, {"head.weight": np.zeros((5, 16))}])
def test_names_of_something_else(tensors):
    text = message(tensors)
    assert "official CIFAR (block.0.attn.q_linear.weight)" in text and "SpikingJelly 2.0" in text


def test_heads(tensors):
    text = message(tensors, num_heads=None)
    assert "num_heads is needed" in text and "[1, 2, 4, 8, 16]" in text
    assert "num_heads must divide embed_dim" in message(tensors, num_heads=3)
    assert "expected 2 values" in message(tensors, num_heads=(4, 4, 4))


def test_arguments_that_contradict_the_weights(tensors):
    assert "ends in 2 channels" in message(tensors, input_shape=(4, 16, 16, 2))
    assert "3 frames, but timesteps is 4" in message(tensors, input_shape=(3, 16, 16, 3), timesteps=4)
    assert "read off the shapes" in message(tensors, embed_dim=32)
    assert "did you mean 'v_threshold'" in message(tensors, v_treshold=1.0)
    assert "residual must stay 'add'" in message(tensors, residual="membrane")


def test_options_reach_the_neurons(tensors):
    config = from_spikformer(tensors, tau=3.0, v_reset=None, surrogate="atan", **ARGUMENTS).config
    assert config.tau.fc1 == (3.0, 3.0) and config.v_reset is None
    assert type(config.surrogate).__name__ == "ATan"
