"""Chooses rows of a list of entries by what their cards say, and sorts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kspike._messages import shown
from kspike._registry import unknown

#: What rows are sorted by -> whether the largest stands first; entries without the figure stand last.
SORTS = {"name": False, "accuracy": True, "energy_mj": False, "parameters": False, "timesteps": False}


def check_sort(sort: Any) -> None:
    """Refuses an unknown key to sort by, by ValueError."""
    if not isinstance(sort, str) or sort not in SORTS:
        raise unknown("key to sort by", sort, SORTS)


def filter_of(
    data_set: Any, max_parameters: Any, data: Any, min_accuracy: Any, max_energy_mj: Any, timesteps: Any
) -> Callable[[dict], bool]:
    """What was asked of a list, checked -> whether a row is so; arguments of `kspike.zoo.list_models`.

    Raises:
        ValueError: a limit that is no number of its kind, or two different data sets.
    """
    if data is not None and data_set not in (None, data):
        raise ValueError(f"Expected data= or data_set=, which mean the same; received {data!r} and {data_set!r}.")
    for name, value in (("data", data), ("data_set", data_set)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"Expected {name} to be the name of a data set, or None; received {shown(value)}.")
    limits = {"max_parameters": max_parameters, "timesteps": timesteps}
    for name, value in {**limits, "min_accuracy": min_accuracy, "max_energy_mj": max_energy_mj}.items():
        kinds = int if name in limits else (int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not value >= 0):
            expected = "a whole number" if name in limits else "a number"
            raise ValueError(f"Expected {name} to be {expected} of 0 or more, or None; received {shown(value)}.")
    if min_accuracy is not None and min_accuracy > 1:
        raise ValueError(f"Expected min_accuracy as a share, 0.9 for 90 %; received {min_accuracy!r}.")
    wanted = data_set if data is None else data

    def keeps(row: dict) -> bool:
        return (
            (wanted is None or row["data_set"] == wanted)
            and (timesteps is None or row["timesteps"] == timesteps)
            and (max_parameters is None or row["parameters"] <= max_parameters)
            and (min_accuracy is None or (row["accuracy"] is not None and row["accuracy"] >= min_accuracy))
            and (max_energy_mj is None or (row["energy_mj"] is not None and row["energy_mj"] <= max_energy_mj))
        )

    return keeps


def order(key: str) -> Callable[[dict], tuple]:
    """By what `sorted` compares rows; a name's versions stand in the order of their numbers."""

    def of(row: dict) -> tuple:
        value = row[key]
        if key == "name":
            name, _, number = value.rpartition(".v")
            return name, int(number)
        return value is None, -value if value is not None and SORTS[key] else value or 0

    return of
