"""The same weights and images give the same logits on every backend; the reference was computed by one of them.

`python -m tests.models.test_across_backends` writes the reference anew (tests/golden/across_backends.npz), by the
backend that runs it.
"""

from pathlib import Path

import keras
import numpy as np

from kspike import Spikformer, SpikformerConfig
from tests.golden import networks
from tests.helpers import traced

REFERENCE = Path(__file__).parent.parent / "golden" / "across_backends.npz"
CONFIG = SpikformerConfig(
    input_shape=(8, 8, 3),
    timesteps=3,
    embed_dim=32,
    depth=2,
    num_heads=4,
    mlp_ratio=2.0,
    tau={"fc1": (1.25, 3.0)},
    scale=2.0,  # four tokens give small counts: attention would stay silent
)
IMAGES = 128


def inputs() -> np.ndarray:
    return np.random.RandomState(0).uniform(-2.0, 2.0, (IMAGES, 8, 8, 3)).astype("float32")


def model() -> keras.Model:
    """Weights from NumPy's frozen generator, normalisation such that about a tenth of all neurons fire."""
    built, rng = Spikformer(CONFIG), np.random.RandomState(1)
    for variable in built.weights:
        low, high = {"gamma": (0.5, 1.5), "beta": (-0.3, 0.5), "moving_variance": (0.5, 1.0)}.get(
            variable.name, (-1.0, 1.0)
        )
        value = rng.uniform(low, high, variable.shape)
        if variable.name == "kernel":
            value *= 3.0 / np.sqrt(np.prod(variable.shape[:-1]))
        if variable.name == "moving_mean":
            value *= 0.1
        variable.assign(value.astype("float32"))
    return built


def computed() -> dict[str, np.ndarray]:
    built = model()
    logits, seen = traced(built, networks.neurons(built), inputs())
    spikes = {name: s.sum(axis=tuple(range(1, s.ndim))) for name, (_, s) in seen.items()}
    return {"logits": logits, **{f"spikes/{name}": counts.astype("int32") for name, counts in spikes.items()}}


def test_at_least_98_of_100_images_agree_to_1e_5():
    found = computed()
    with np.load(REFERENCE) as expected:
        assert set(expected) == set(found)
        agree = np.abs(found["logits"] - expected["logits"]).max(axis=1) <= 1e-5
        assert agree.mean() >= 0.98, f"{(~agree).sum()} of {len(agree)} images differ"
        for name in expected:
            if name.startswith("spikes/"):  # an image whose logits agree fired the same number of spikes in every layer
                same = expected[name] == found[name]
                assert (same | ~agree).mean() >= 0.98, name
                assert 0 < expected[name].sum(), f"{name} never fires: this would show nothing"
        assert np.abs(expected["logits"] - expected["logits"][0]).max(axis=1)[1:].min() > 1e-3  # images do differ


if __name__ == "__main__":
    np.savez_compressed(REFERENCE, **computed())
