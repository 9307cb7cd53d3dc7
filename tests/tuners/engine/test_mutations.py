"""Journals that were altered: refused by file and line, or replayed to what was there; never to another search."""

import json
import re

import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Evolution, Journal, Proposal, SearchState

pytestmark = pytest.mark.once
SPACE = SearchSpace.load("digits")


def state_of(path):
    return SearchState(Evolution(SPACE, generations=2, population_size=4, parents=3), "accuracy", "max", Journal(path))


def essence(state):
    proposals = [(p.number, p.generation, p.genome.indices, p.operator, p.parents) for p in state.proposals]
    return proposals, [(c.number, c.score, dict(c.metrics), c.message, c.seconds) for c in state.archive]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A whole search's journal, line by line; one candidate failed."""
    path = tmp_path_factory.mktemp("journal") / "j"
    state = state_of(path)
    while isinstance(proposal := state.ask(), Proposal):
        measured = {"accuracy": 0.5 + proposal.number / 100, "energy_mj": 0.1}
        state.tell(
            proposal.number, None if proposal.number == 2 else measured, "no memory" if proposal.number == 2 else None
        )
    return path.read_bytes().splitlines(keepends=True)


def without_sums(lines):
    """As lines were before they had sums."""
    return [re.sub(rb',"sum":"[0-9a-f]{32}"}', b"}", line) for line in lines]


def mutated(lines, rng):
    """A journal altered once, and whether its end was cut off."""
    whole = b"".join(lines)
    at, line = int(rng.integers(len(whole))), int(rng.integers(len(lines)))
    other = int(rng.integers(len(lines)))
    kind = int(rng.integers(9))
    if kind == 0:
        return whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :], False
    if kind == 1:
        return whole[:at] + whole[at + 1 :], False
    if kind == 2:
        return whole[:at] + bytes([int(rng.integers(256))]) + whole[at:], False
    if kind == 3:
        return whole[:at], True
    if kind == 4:
        return b"".join(lines[:line] + lines[line + 1 :]), line == len(lines) - 1
    if kind == 5:
        return b"".join(lines[: line + 1] + lines[line:]), False
    if kind == 6:
        swapped = list(lines)
        swapped[line], swapped[other] = swapped[other], swapped[line]
        return b"".join(swapped), False
    if kind == 7:
        digits = [m.start() for m in re.finditer(rb"[0-9]", whole)]
        at = digits[int(rng.integers(len(digits)))]
        return whole[:at] + str(int(rng.integers(10))).encode() + whole[at + 1 :], False
    nonsense = [
        b"[]",
        b"5",
        b"null",
        b"",
        b"[" * 100_000,
        b'{"type":"result"}',
        b'{"a":NaN}',
        b"\xff",
        b'{"a":' * 99_999,
    ]
    return b"".join([*lines[:line], nonsense[int(rng.integers(len(nonsense)))] + b"\n", *lines[line:]]), False


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.proof)])
def test_an_altered_journal_is_refused_or_replays_to_what_was_there(count, lines, tmp_path):
    path = tmp_path / "j"
    prefixes = []
    for end in range(len(lines) + 1):
        path.write_bytes(b"".join(lines[:end]))
        prefixes.append(essence(state_of(path)))
    rng = np.random.default_rng(20)
    refused = 0
    for _ in range(count):
        content, cut = mutated(lines, rng)
        path.write_bytes(content)
        try:
            found = essence(state_of(path))
        except ValueError as error:
            assert re.search(rf"{re.escape(str(path))}, line [0-9]+ is damaged \(", str(error)), error
            refused += 1
        else:
            # the newline at the end may have been what was altered: the last line is then one that was cut off
            assert found in (prefixes if cut else prefixes[-2:]), content
    assert refused > count / 2


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.proof)])
def test_one_of_before_lines_had_sums_is_refused_by_line_or_read(count, lines, tmp_path):
    """What a digit was nobody can tell there; but no altered line ends in anything else than a plain refusal."""
    path, old = tmp_path / "j", without_sums(lines)
    path.write_bytes(b"".join(old))
    assert len(state_of(path).archive) == 12
    rng = np.random.default_rng(21)
    for _ in range(count):
        path.write_bytes(mutated(old, rng)[0])
        try:
            state_of(path)
        except ValueError as error:
            assert re.search(rf"{re.escape(str(path))}, line [0-9]+ is damaged \(", str(error)), error


@pytest.mark.parametrize("line", [b"[]", b"5", b"null", b"", b"[" * 100_000, b'{"a": 1}', b'{"type": "generatoin"}'])
def test_a_line_that_is_no_record_is_refused(line, lines, tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"".join(without_sums(lines)[:3]) + line + b"\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 4 is damaged (")):
        state_of(path)


def results(number):
    return {"type": "result", "number": number, "metrics": {"accuracy": 0.5}, "message": None, "seconds": 0.0}


@pytest.mark.parametrize(
    "change, line, message",
    [
        (lambda r: [*r[:5], r[0]], 6, "generation 0 stands already; two searches"),
        (lambda r: [*r[:5], r[10]], 6, "generation 2 comes after 0; what is between"),
        (lambda r: [*r[:4], r[5]], 5, "generation 1 begins, but trial 3 before it has no result"),
        (lambda r: [r[0], results(4)], 2, "trial 4, which was never proposed"),
        (lambda r: [r[1], *r], 1, "trial 0, which was never proposed; there are 0"),
        (lambda r: [r[0], r[1], r[1]], 3, "a result of trial 0 stands already"),
        (lambda r: [r[0], results(True)], 2, "number=True"),
        (lambda r: [r[0], {**results(0), "metrics": {}}], 2, "trial 0 has no accuracy"),
        (lambda r: [r[0], {**results(0), "metrics": {"accuracy": 10**400}}], 2, "too large"),
        (
            lambda r: [r[0] | {"proposals": r[0]["proposals"][1:]}],
            1,
            "trial 1 of generation 0 is proposed where trial 0",
        ),
        (lambda r: [r[0] | {"proposals": [r[0]["proposals"][0] | {"indices": [99]}]}], 1, "slots"),
        (lambda r: [{"type": "used"}, {"type": "used"}], 2, "a second used"),
    ],
)
def test_what_no_search_writes_is_refused_by_file_and_line(change, line, message, lines, tmp_path):
    path = tmp_path / "j"
    records = [json.loads(text) for text in without_sums(lines)]
    path.write_text("".join(json.dumps(record) + "\n" for record in change(records)))
    with pytest.raises(ValueError, match=re.escape(f"{path}, line {line} is damaged (") + f".*{message}"):
        state_of(path)


def test_a_carriage_return_inside_cuts_nothing_off(lines, tmp_path):
    """It was once taken for the end of a torn last line, and all behind it cut off with the next record."""
    path = tmp_path / "j"
    for old in (lines, without_sums(lines)):
        content = b"".join(old[:2]) + old[2].replace(b":", b":\r", 1)[:-2] + b"\r" + b"".join(old[3:])
        path.write_bytes(content)
        with pytest.raises(ValueError, match="line 3 is damaged"):
            Journal(path).append({"type": "used"})
        assert path.read_bytes() == content


def test_records_of_two_writers_never_mix(tmp_path):
    first, second = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    assert first.read() == second.read() == []
    first.append({"i": 0})
    with pytest.raises(ValueError, match="was changed by another process, or another object"):
        second.append({"i": 1})
    assert second.changed() and second.read() == [{"i": 0}]
    second.append({"i": 1})
    assert first.changed() and not second.changed()
