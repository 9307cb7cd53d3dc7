"""A stream reads after every frame what the whole run reads after so many steps."""

import numpy as np
import pytest

import kspike
from kspike import Spikformer, SpikformerConfig
from kspike.models import anytime
from tests.helpers import to_numpy, wake

T = 4
COMMON = {"input_shape": (T, 16, 16, 2), "num_classes": 5, "num_heads": 2, "mlp_ratio": 2.0}
CONFIGS = {
    "spikformer": SpikformerConfig(embed_dim=16, depth=1, **COMMON),
    "stages": SpikformerConfig(
        embed_dim=(16, 32), depth=1, residual="membrane", stem="embed_max", mixer=("dwconv3", "token_qk"),
        head={"name": "neuron", "time_last": True}, neuron="plif", **COMMON,
    ),
}  # fmt: skip


def made(name):
    model = wake(Spikformer(CONFIGS[name]))
    frames = np.floor(4 * np.random.default_rng(0).random((3, T, 16, 16, 2))).astype("float32")
    for _ in range(8):
        if to_numpy(model.predict(frames, verbose=0)).std(axis=0).mean() > 1e-3:
            return model, frames
        for variable in model.weights:
            if "moving_variance" in variable.path:
                variable.assign(variable * 0.25)
    raise AssertionError("the network is silent")


@pytest.mark.parametrize("name", [pytest.param("spikformer", marks=pytest.mark.shared), "stages"])
def test_every_frame_reads_what_the_whole_run_reads(name):
    model, frames = made(name)
    whole = to_numpy(anytime(model).predict(frames, verbose=0))
    stream = kspike.models.stream(model, batch_size=3)
    other = kspike.models.stream(model, batch_size=3)  # of the same model, a step behind, of other frames
    kept = None
    for t in range(T):
        np.testing.assert_allclose(to_numpy(stream.step(frames[:, t])), whole[:, t], rtol=0, atol=1e-5)
        if t:
            other.step(frames[::-1, t])
        kept = stream.state() if t == 1 else kept
    assert stream.steps == T and other.steps == T - 1
    stream.restore(kept)
    assert stream.steps == 2
    for t in (2, 3):
        np.testing.assert_allclose(to_numpy(stream.step(frames[:, t])), whole[:, t], rtol=0, atol=1e-5)
    stream.reset()
    np.testing.assert_allclose(to_numpy(stream.step(frames[:, 0])), whole[:, 0], rtol=0, atol=1e-5)


@pytest.mark.shared
def test_what_does_not_fit_is_refused_and_the_state_stays():
    model, frames = made("spikformer")
    stream = kspike.models.stream(model)
    first = to_numpy(stream.step(frames[:1, 0]))
    for wrong, says in (
        (frames[0, 0], "one frame of each of 1 streams"),
        (frames[:2, 0], "one frame of each of 1 streams"),
        (frames[:1, 0].astype("uint8"), "integers|uint8"),
        (np.full_like(frames[:1, 0], np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=says):
            stream.step(wrong)
    assert stream.steps == 1
    stream.reset()
    np.testing.assert_array_equal(to_numpy(stream.step(frames[:1, 0])), first)
    with pytest.raises(ValueError, match="another model or number of streams"):
        kspike.models.stream(model, batch_size=2).restore(stream.state())
    with pytest.raises(ValueError, match="Stream.state"):
        stream.restore(None)
    with pytest.raises(ValueError, match="batch_size"):
        kspike.models.stream(model, batch_size=0)
    with pytest.raises(ValueError, match="stream expects a kspike.Spikformer"):
        kspike.models.stream(None)
    chunked = Spikformer(CONFIGS["spikformer"].replace(mixer={"name": "ssa", "chunk": 2}))
    with pytest.raises(ValueError, match="look back alone"):
        kspike.models.stream(chunked)
