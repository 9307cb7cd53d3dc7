"""JSON that cannot be read is a ValueError that names the file and the place, whoever reads it."""

import json

import pytest

from kspike import _json
from kspike.cli import options
from kspike.space import SearchSpace
from kspike.training import Recipe
from kspike.zoo import strict_json

pytestmark = pytest.mark.once

READERS = {
    "recipe": Recipe.load,
    "space": SearchSpace.load,
    "option": options.read_json,
    "object": _json.read_object,
    "entry": lambda path: strict_json.loads(path.read_bytes(), str(path)),
}
WRONG = {
    "empty": b"",
    "cut": b'{"a": [1, 2',
    "no UTF-8": b'{"a": "\xff"}',
    "no object": b"[1]",
    "null": b"null",
    "brackets": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "deep": b'{"a":' * 100 + b"1" + b"}" * 100,
    "deep list": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("wrong", WRONG)
def test_the_file_is_named_and_the_message_is_short(tmp_path, reader, wrong):
    path = tmp_path / "mine.json"
    path.write_bytes(WRONG[wrong])
    with pytest.raises(ValueError, match=r"mine\.json") as caught:
        READERS[reader](path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("reader", [name for name in READERS if name not in ("space", "entry")])
def test_a_file_that_is_absent_or_a_folder_is_named(tmp_path, reader):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ValueError, match="cannot be read"):
            READERS[reader](path)


def test_the_place_is_told():
    with pytest.raises(ValueError, match=r"the file to be JSON in UTF-8.*line 3 column 6"):
        _json.loads('{\n "a": 1,\n "b" 2}', "the file")


def test_what_nests_as_deep_as_is_allowed_is_read():
    value = 1
    for _ in range(_json.DEEPEST):
        value = {"a": value}
    assert _json.loads(json.dumps(value), "it") == value
    with pytest.raises(ValueError, match="nest at most 32 deep"):
        _json.loads(json.dumps([value]), "it")


def test_a_search_record_that_holds_itself_is_refused():
    record = {"space": []}
    record["space"].append(record)
    with pytest.raises(ValueError, match="nest at most 32 deep"):
        strict_json.plain(record, "search")
