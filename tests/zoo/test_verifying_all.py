"""All entries of a zoo, measured again: one table, whatever is wrong with one of them."""

import shutil

import keras
import pytest

import kspike
from tests.zoo.test_cross_backend import OTHERS

HERE = keras.backend.backend()


@pytest.fixture
def zoo(released, rewrite, tmp_path):
    """One entry that is right, one that promises too much, one damaged, one whose images are its author's own."""
    for version in range(1, 5):
        shutil.copytree(released, tmp_path / f"tiny_digits.v{version}")
        rewrite(tmp_path / f"tiny_digits.v{version}", {"version": version})
    energy = 2 * kspike.zoo.card(released)["energy_mj"]
    rewrite(tmp_path / "tiny_digits.v2", {"energy_mj": energy, "energy/energy_mj": energy})
    (tmp_path / "tiny_digits.v3" / "config.json").write_bytes(b"{}")
    rewrite(tmp_path / "tiny_digits.v4", {"data/own": True})
    return tmp_path


@pytest.mark.shared
def test_every_entry_is_a_row_with_what_is_wrong(zoo):
    seen = []
    with pytest.warns(UserWarning, match="tiny_digits.v3"):
        found = kspike.zoo.verify_all(directory=zoo, progress=seen.append)
    assert not found.ok and not found and list(found.rows) == seen
    rows = {row.name: row for row in found.rows}
    assert {row.backend for row in found.rows} == {HERE} and len(rows) == 4
    assert [rows[f"tiny_digits.v{version}"].ok for version in (1, 2, 3, 4)] == [True, False, False, False]
    assert rows["tiny_digits.v1"].cells()[-1] == "ok" and rows["tiny_digits.v2"].cells()[-1] == "DIFFERS"
    assert "config.json" in rows["tiny_digits.v3"].error and "author's own" in rows["tiny_digits.v4"].error
    accuracy = f"{100 * kspike.zoo.card(zoo / 'tiny_digits.v1')['accuracy']:.2f} %"
    assert accuracy in str(found) and "DIFFERS" in str(found)
    assert kspike.zoo.verify_all("*.v1", directory=zoo).ok


@pytest.mark.once
def test_no_entry_is_no_success(tmp_path):
    with pytest.raises(ValueError, match="matches none"):
        kspike.zoo.verify_all("nothing*")
    with pytest.raises(ValueError, match="matches none"):
        kspike.zoo.verify_all(directory=tmp_path)
    with pytest.raises(ValueError, match="theano"):
        kspike.zoo.verify_all(backends=("theano",))


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not OTHERS, reason="one backend is installed")
def test_other_backends_are_rows_too(zoo):
    found = kspike.zoo.verify_all("*.v[14]", directory=zoo, backends=(HERE, OTHERS[0]))
    assert [(row.name[-2:], row.backend, row.ok) for row in found.rows] == [
        ("v1", HERE, True), ("v4", HERE, False), ("v1", OTHERS[0], True), ("v4", OTHERS[0], False),
    ]  # fmt: skip
