"""A small Spikformer on the real digits, published once; tests that damage an entry get a copy of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import kspike
from kspike.zoo import files, sealing


@pytest.fixture(scope="session")
def config():
    return kspike.SpikformerConfig(
        input_shape=(8, 8, 1),
        num_classes=10,
        timesteps=2,
        embed_dim=16,
        depth=1,
        num_heads=2,
        mlp_ratio=(1.5,),
        stem_pool=(False, False, False, True),
        tau=1.5,
    )


@pytest.fixture(scope="session")
def model(config, digits):
    """A network that fires: as it is made it is silent, says the same of every image, and would prove nothing."""
    made = kspike.Spikformer(config)
    rng = np.random.default_rng(0)
    values = {
        "gamma": lambda shape: rng.uniform(0.8, 1.6, shape),
        "beta": lambda shape: rng.uniform(0.0, 1.0, shape),
        "moving_mean": lambda shape: rng.normal(0.0, 0.2, shape),
        "moving_variance": lambda shape: rng.uniform(0.3, 1.0, shape),
        "bias": lambda shape: rng.normal(0.0, 0.1, shape),
        "kernel": lambda shape: rng.normal(0.0, np.sqrt(2.0 / np.prod(shape[:-1])), shape),
    }
    for variable in made.weights:
        variable.assign(values[variable.name](variable.shape).astype("float32"))
    # Without the images' common part, which would make one class win everywhere.
    made.get_layer("head").bias.assign(-made.predict(digits.validation, verbose=0).mean(axis=0))
    return made


@pytest.fixture(scope="session")
def digits():
    return kspike.data.load("digits", batch_size=120, seed=0)


@pytest.fixture(scope="session")
def released(model, digits, tmp_path_factory):
    """The folder of a published entry; not to be changed."""
    zoo = tmp_path_factory.mktemp("zoo")
    return kspike.zoo.publish(
        model, "tiny_digits", directory=zoo, data=digits, license="apache-2.0", reproduce="python tiny.py", seed=7
    )


@pytest.fixture
def entry(released, tmp_path):
    """A copy of the entry, to be damaged."""
    return Path(shutil.copytree(released, tmp_path / released.name))


@pytest.fixture
def rewrite():
    """Changes metadata (and a file), and all hashes with it, as somebody would who makes an entry by hand."""

    def change(folder: Path, changes=None, **contents: bytes) -> None:
        path = folder / "metadata.json"
        metadata = json.loads(path.read_text("utf-8"))
        for file, content in ((name.replace("__", "."), content) for name, content in contents.items()):
            (folder / file).write_bytes(content)
            metadata["files"][file] = {"sha256": files.sha256(content), "bytes": len(content)}
        for keys, value in (changes or {}).items():
            place = metadata
            *above, last = keys.split("/")
            for key in above:
                place = place[key]
            place[last] = value
        seal = sealing.SEAL in metadata and sealing.SEAL not in (changes or {})
        path.write_text(json.dumps(sealing.seal(metadata) if seal else metadata), "utf-8")

    return change
