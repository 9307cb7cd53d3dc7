"""The journal survives what a process dying in mid-write leaves, and refuses what it cannot explain."""

import pytest

from kspike.tuners.engine import Journal

pytestmark = pytest.mark.once


def test_records_come_back_in_order(tmp_path):
    journal = Journal(tmp_path / "j")
    assert journal.read() == []
    for i in range(3):
        journal.append({"type": "x", "i": i})
    assert [r["i"] for r in Journal(tmp_path / "j").read()] == [0, 1, 2]


def test_a_torn_last_line_is_dropped_and_cut_off_before_the_next(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append({"i": 0})
    first = path.read_bytes()
    journal.append({"i": 2})
    both = path.read_bytes()
    for torn in (b"{", b'{"i": 1', b'{"i": 1}', both[len(first) : -1]):
        path.write_bytes(first + torn)
        assert journal.read() == [{"i": 0}]
        journal.append({"i": 2})
        assert journal.read() == [{"i": 0}, {"i": 2}]
        assert path.read_bytes() == both


def test_a_damaged_line_inside_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"i": 0}\n{"i": \n{"i": 2}\n')
    with pytest.raises(ValueError, match="line 2 is damaged.*overwrite=True"):
        Journal(path).read()


def test_what_is_no_json_is_refused_before_it_is_written(tmp_path):
    journal = Journal(tmp_path / "j")
    with pytest.raises(ValueError):
        journal.append({"score": float("nan")})
    assert journal.read() == []
