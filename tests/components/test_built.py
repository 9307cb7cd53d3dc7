"""The closed form is compared with what is built: when an entry is published, and when a supernet is made."""

import pytest

import kspike
from kspike.cost.analytic.built import check_built
from kspike.layers import int8
from kspike.space import SearchSpace
from kspike.supernet import places

FIELDS = {"input_shape": (8, 8, 1), "num_classes": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "timesteps": 1}


def without_bias(cls, at=None):
    """A layer that forgets its bias, which is what a reader of parts might do."""

    def made(*args, **kwargs):
        if at is None:
            return cls(*args, **{**kwargs, "use_bias": False})
        return cls(*args[:at], False, *args[at + 1 :], **kwargs)

    return made


@pytest.mark.parametrize("fields", [{"mixer": ("token_qk", "dwconv3")}, {"neuron": "plif"}, {"stem": "single_conv"}])
def test_what_agrees_is_published_frozen_or_not(fields, tmp_path):
    model = kspike.Spikformer(kspike.SpikformerConfig(**FIELDS, **fields))
    check_built(model)
    model.trainable = False
    model.get_layer("block_1").mlp.trainable = True
    folder = kspike.zoo.publish(model, "net", directory=tmp_path, license="cc0-1.0")
    assert kspike.zoo.card(folder)["parameters"] == kspike.cost.parameters(model.config)


def test_publish_refuses_a_network_that_the_closed_form_miscounts(monkeypatch, tmp_path):
    config = kspike.SpikformerConfig(**FIELDS, mixer=("identity", "token_qk"))
    monkeypatch.setattr(int8, "_FLOAT", int8._FLOAT._replace(dense=without_bias(int8._FLOAT.dense)))
    model = kspike.Spikformer(config)
    # two products, 64 and 16 biases
    match = "in block_0/mlp .mlp spiking, neuron lif., the network that is built has 2,"
    with pytest.raises(ValueError, match=match):
        kspike.zoo.publish(model, "net", directory=tmp_path, license="cc0-1.0")
    assert not list(tmp_path.iterdir())


def test_a_supernet_refuses_what_the_closed_form_miscounts(monkeypatch):
    space = SearchSpace(kspike.SpikformerConfig(**FIELDS), mixer=("identity", "token_qk"), embed_dim=(8, 16))
    kspike.Supernet(space)
    monkeypatch.setattr(places, "ElasticDense", without_bias(places.ElasticDense, at=3))
    with pytest.raises(ValueError, match=r"in block_0/attention \(mixer token_qk\) at the space's largest sizes"):
        kspike.Supernet(space)
