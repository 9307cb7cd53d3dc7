"""Lists the entries of a zoo folder as a table that is also a sequence of names."""

from __future__ import annotations

import fnmatch
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kspike._tables import NameTable
from kspike.zoo import naming
from kspike.zoo.entry import Entry

if TYPE_CHECKING:
    from rich.table import Table


#: Metadata keys of a row, besides the entry's name and data set.
FACTS = ("accuracy", "energy_mj", "parameters", "license")
COLUMNS = ("name", "data_set", *FACTS)
#: State of an entry that is whole, and needs a component that is not registered here.
UNAVAILABLE = "unavailable"


class ModelTable(NameTable):
    """Published entries: prints as a table; iterates, indexes and tests as a sequence of full names (`name.vN`).

    A bare name is in it when any version is. `rows` holds one dict an entry: name, data_set, accuracy, energy_mj,
    parameters, license. Damaged entries are not in the sequence: the printed table shows them below the others, and
    `damaged` holds one dict for each: name, error. So does one whose component is not registered here: it is whole, and
    its state is "unavailable".
    """

    def __init__(self, rows: Sequence[dict], damaged: Sequence[dict] = ()) -> None:
        super().__init__(rows)
        self.damaged = tuple(damaged)

    def __contains__(self, name: object) -> bool:
        return any(name in (row["name"], row["name"].rpartition(".v")[0]) for row in self.rows)

    def __eq__(self, other: object) -> bool:
        return (
            list(self) == list(other) if isinstance(other, Sequence) and not isinstance(other, str) else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]

    def records(self) -> list[dict]:
        """All entries, ready for JSON: the rows with "damaged": None, then the damaged ones with why, the rest None."""
        empty = dict.fromkeys(COLUMNS)
        sound = [{**row, "damaged": None} for row in self.rows]
        return sound + [{**empty, "name": row["name"], "damaged": row["error"]} for row in self.damaged]

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table("name", "data set", caption=None if self.rows or self.damaged else "no entries")
        for title in ("accuracy", "energy (mJ)", "parameters"):
            table.add_column(title, justify="right")
        table.add_column("licence")
        for row in self.rows:
            # Text, not markup: what a card says must not style or link anything.
            cells = (row["name"], row["data_set"] or "-", _percent(row["accuracy"]), _number(row["energy_mj"]))
            table.add_row(*(Text(cell) for cell in (*cells, f"{row['parameters']:,}", row["license"])))
        for row in self.damaged:
            table.add_row(*(Text(cell) for cell in (row["name"], row.get("state", "damaged"), "-", "-", "-", "-")))
        return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def list_models(
    pattern: str = "*",
    data_set: str | None = None,
    max_parameters: int | None = None,
    *,
    directory: str | os.PathLike | None = None,
    all_versions: bool = False,
) -> ModelTable:
    """Lists published entries, the newest version of each, as a table that iterates over names.

    Args:
        pattern: a glob over names ("*digits*"), matched with and without the version.
        data_set: only entries trained on this data set.
        max_parameters: only entries with at most this many parameters.
        directory: a zoo folder to list instead of the published one.
        all_versions: whether older versions are listed too.

    Returns:
        A `ModelTable`. Of a damaged entry a warning says what is wrong; it is no model of the table, which shows it as
        damaged, or as unavailable where a component of its is not registered here.

    Example:
        >>> import kspike
        >>> "auto_spikformer_digits" in kspike.zoo.list_models("*digits*")
        True
    """
    if not isinstance(pattern, str):
        raise ValueError(f'pattern must be a glob over names, as "*digits*", got {pattern!r}.')
    folder = naming.zoo_folder(directory)
    if directory is not None and not folder.is_dir():
        raise ValueError(
            f"Expected directory to be a zoo folder; received {os.fspath(directory)!r}, which is no folder."
        )
    rows: list[dict] = []
    damaged: list[dict] = []
    whole, parts = naming.versions(folder), naming.incomplete(folder)
    for name in sorted({*whole, *parts}):
        numbers = sorted([*whole.get(name, ()), *parts.get(name, ())])
        newest = whole.get(name, numbers)[-1]  # a bare name means the newest that has metadata
        for number in numbers if all_versions else [n for n in numbers if n >= newest]:
            full = naming.full_name(name, number)
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(full, pattern):
                try:
                    if problem := naming.lacks_metadata(folder / full):
                        raise ValueError(problem)
                    entry = Entry.open(full, folder)
                except (ValueError, OSError) as error:  # also one that may not be read
                    damaged.append({"name": full, "error": str(error)})
                    warnings.warn(f"The entry {full} is damaged: {error}", stacklevel=2)
                    continue
                try:
                    entry.check_components()
                    rows.append(_row(full, entry))
                except ValueError as error:
                    damaged.append({"name": full, "error": str(error), "state": UNAVAILABLE})
                    warnings.warn(f"The entry {full} is {UNAVAILABLE} here: {error}", stacklevel=2)
    return ModelTable(
        [
            row
            for row in rows
            if (data_set is None or row["data_set"] == data_set)
            and (max_parameters is None or row["parameters"] <= max_parameters)
        ],
        damaged,
    )


def _row(full: str, entry: Entry) -> dict:
    metadata = entry.metadata
    row = {key: metadata[key] for key in FACTS}
    return {"name": full, "data_set": (metadata["data"] or {}).get("name"), **row}
