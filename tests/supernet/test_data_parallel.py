"""Keras' data parallelism on jax: two devices train a supernet as one does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import BACKEND

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import jax, keras, numpy as np
assert len(jax.devices()) == 2
if sys.argv[1] == "two":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
from tests.supernet.test_sampling import LARGE, SPACE, made
rng = np.random.default_rng(0)
images, labels = rng.normal(0.5, 1.0, (16, 8, 8, 1)).astype("float32"), (np.arange(16) % 4).astype("int32")
supernet = made(optimizer=keras.optimizers.SGD(0.1))
loss = supernet.fit(images, labels, batch_size=16, epochs=2, verbose=0, shuffle=False).history["loss"]
if sys.argv[1] == "two":
    kernel = supernet.head.kernel.value
    assert len(kernel.sharding.device_set) == 2, kernel.sharding
supernet.activate(LARGE)
supernet.calibrate([images])
logits = supernet.predict(images, verbose=0)
np.savez(sys.argv[2], *[np.asarray(v) for v in supernet.trainable_variables], loss=loss, logits=logits)
"""


@pytest.mark.proof
@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution runs on jax")
def test_two_devices_train_what_one_trains(tmp_path):
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=1"
    found = []
    for how in ("one", "two"):
        path = tmp_path / f"{how}.npz"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, how, str(path)], cwd=ROOT, capture_output=True, timeout=900,
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        found.append(dict(np.load(path)))
    one, two = found
    assert set(one) == set(two) and len(one) > 20
    np.testing.assert_allclose(two["loss"], one["loss"], atol=1e-4)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=2e-3, err_msg=name)
