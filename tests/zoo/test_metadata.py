import json

import pytest

import kspike
from kspike.zoo import strict_json

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "newer kspike"),
        ({"format_version": True}, "format_version"),
        ({"name": "another"}, "rename the folder back"),
        ({"version": 2}, "rename the folder back"),
        ({"version": 0}, "above 0"),
        ({"files": {}}, "config.json"),
        ({"files/model.weights.h5/sha256": "00"}, "64 hexadecimal"),
        ({"files/model.weights.h5/bytes": -1}, "above 0"),
        ({"parameters": "many"}, "parameters"),
        ({"license": None}, "license"),
        ({"accuracy": "high"}, "accuracy"),
        ({"accuracy": 0.999}, "accuracy in .* to equal its evaluation.accuracy"),
        ({"accuracy": 0.999, "evaluation/accuracy": 0.999}, "to equal its correct / n"),
        ({"energy_mj": 1e-9}, "to equal its energy.energy_mj"),
        ({"input/shape": [8, 8]}, "shape"),
        ({"input/std": [0.0]}, "positive"),
        ({"input/mean": [0.5, 0.5]}, "one a channel"),
        ({"input/range": [1, 0]}, "lowest"),
        ({"class_names": [1]}, "texts"),
    ],
)
def test_metadata_that_is_wrong_says_where(entry, rewrite, change, message):
    rewrite(entry, change)
    with pytest.raises(ValueError, match=message):
        kspike.zoo.card(entry)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a": ' * 40 + b"1" + b"}" * 40,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\u001b[2J"}',
        b'{"\\u202e": 1}',
    ],
)
def test_json_that_is_no_plain_object_is_refused(content):
    with pytest.raises(ValueError, match="Expected"):
        strict_json.loads(content, "the file")


def test_metadata_of_absurd_size_is_not_read(entry):
    with open(entry / "metadata.json", "ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match="at most .* It was not read"):
        kspike.zoo.card(entry)


def test_plain_takes_numpy_and_leaves_nothing_else():
    import numpy as np

    made = strict_json.plain({"a": np.float32(0.5), "b": (1, np.int64(2)), "c": np.arange(2), "d": float("nan")}, "it")
    assert json.loads(json.dumps(made)) == {"a": 0.5, "b": [1, 2], "c": [0, 1], "d": None}
    with pytest.raises(ValueError, match=r"search\['f'\] to be JSON-able"):
        strict_json.plain({"f": print}, "search")
