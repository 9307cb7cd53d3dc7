"""The same entry on the other backends, each in a process of its own."""

import importlib.util

import keras
import pytest

import kspike

OTHERS = [
    name
    for name in ("torch", "jax", "tensorflow")
    if importlib.util.find_spec(name) and name != keras.backend.backend()
]


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not OTHERS, reason="one backend is installed")
def test_an_entry_is_measured_on_every_backend_before_it_is_released(model, digits, tmp_path):
    path = kspike.zoo.publish(model, "net", directory=tmp_path, data=digits, license="cc0-1.0", backends=OTHERS)
    rows = kspike.zoo.card(path)["evaluation"]["backends"]
    assert set(rows) == {keras.backend.backend(), *OTHERS}
    for backend, row in rows.items():
        assert row["logits_equal_to_1e-5"] >= 0.98
        assert row["disagreements"] <= 0.02 * 360
        assert f"| {backend} |" in (path / "README.md").read_text("utf-8")
    assert len({row["correct"] for row in rows.values()}) <= 2


@pytest.mark.skipif(not OTHERS, reason="one backend is installed")
def test_a_backend_that_fails_leaves_nothing_behind(model, digits, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(RuntimeError, match="nothing was published"):
        kspike.zoo.publish(model, "net", directory=tmp_path, data=digits, license="cc0-1.0", backends=OTHERS[:1])
    assert list(tmp_path.iterdir()) == []
