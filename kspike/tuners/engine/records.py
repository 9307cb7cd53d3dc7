"""Validates the records of a journal: their fields, and the order in which a search writes them."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

#: Kinds of records, and what each has to hold beside its kind.
FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "project": {"fingerprint": dict},
    "supernet": {"sha256": str, "settings": dict},
    "used": {},
    "reference": {"metrics": dict},
    "measured": {"indices": list, "row": dict, "seconds": (int, float)},
    "ranking": {"networks": int, "seconds": (int, float), "order": list, "rows": list},
    "generation": {"generation": int, "proposals": list},
    "result": {"number": int, "metrics": dict, "message": (str, type(None)), "seconds": (int, float)},
    "final": {"candidates": int, "ranked": list},
}
#: Kinds that a search writes once.
ONCE = ("project", "supernet", "used", "reference", "ranking")
PROPOSAL: dict[str, type | tuple[type, ...]] = {
    "number": int, "generation": int, "indices": list, "operator": str, "parents": list,
}  # fmt: skip


def check(record: Mapping[str, Any]) -> None:
    """Checks that a record has the fields of its kind.

    Raises:
        ValueError: says what is wrong with it.
    """
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ValueError(f"a record is one of {', '.join(FIELDS)}; this one is {kind!r}")
    _fields(record, FIELDS[kind], f"a {kind}")


def check_generation(record: Mapping[str, Any], last: int, proposed: int, left: Sequence[int]) -> None:
    """Checks that a generation may follow: it is one after the last, whose results are all there.

    Args:
        record: of the generation.
        last: number of the last one, -1 where there is none.
        proposed: candidates proposed so far.
        left: numbers of proposals without a result.

    Raises:
        ValueError: it stands already, one is missing before it, or results are.
    """
    number = record["generation"]
    if number <= last:
        raise ValueError(f"generation {number} stands already; two searches have written into this journal")
    if number != last + 1:
        raise ValueError(f"generation {number} comes after {last}; what is between them is missing")
    if left:
        raise ValueError(f"generation {number} begins, but trial {left[0]} before it has no result")
    for place, proposal in enumerate(record["proposals"], start=proposed):
        if not isinstance(proposal, dict):
            raise ValueError(f"a proposal is {proposal!r}, expected an object")
        _fields(proposal, PROPOSAL, "a proposal")
        if (proposal["number"], proposal["generation"]) != (place, number):
            raise ValueError(
                f"trial {proposal['number']} of generation {proposal['generation']} is proposed where trial {place} of "
                f"generation {number} belongs"
            )
        _whole(proposal["indices"], "indices")
        if any(parent >= proposed for parent in _whole(proposal["parents"], "parents")):
            raise ValueError(f"trial {place} has parents {proposal['parents']}, which come after it")


def check_result(record: Mapping[str, Any], proposed: int, told: Container[int], objective: str) -> None:
    """Checks that a result may follow: of a candidate that was proposed and has none.

    Raises:
        ValueError: it was never proposed, has a result already, or the score is missing.
    """
    number = record["number"]
    if not 0 <= number < proposed:
        raise ValueError(f"a result of trial {number}, which was never proposed; there are {proposed} proposals")
    if number in told:
        raise ValueError(f"a result of trial {number} stands already; two searches have written into this journal")
    for name, value in record["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, expected a finite number")
    if record["message"] is None and objective not in record["metrics"]:
        raise ValueError(f"the result of trial {number} has no {objective}")


def _fields(record: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]], what: str) -> None:
    for name, kind in fields.items():
        if name not in record:
            raise ValueError(f"{what} has no {name}")
        value = record[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{what} has {name}={value!r}")


def _whole(values: list[Any], name: str) -> list[int]:
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        raise ValueError(f"{name} are {values!r}, expected whole numbers from 0")
    return values
