"""Lists the entries of a zoo folder as a table that is also a sequence of names."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kspike._messages import warn
from kspike._tables import NameTable
from kspike.components import elsewhere
from kspike.zoo import choosing, naming
from kspike.zoo.entry import Entry

if TYPE_CHECKING:
    from rich.table import Table


#: Metadata keys of a row, besides the entry's name, data set and time steps.
FACTS = ("accuracy", "energy_mj", "parameters", "license")
COLUMNS = ("name", "data_set", "timesteps", *FACTS)
#: States of what is listed and cannot be loaded by its name: damaged; whole, with a component that is not registered
#: here; of a name that an earlier folder has.
DAMAGED, UNAVAILABLE, HIDDEN = "damaged", "unavailable", "hidden"


class ModelTable(NameTable):
    """Published entries: prints as a table; iterates, indexes and tests as a sequence of full names (`name.vN`).

    A bare name is in it when any version is. `rows` holds one dict an entry: name, data_set, timesteps, accuracy,
    energy_mj, parameters, license; `to_pandas()` gives them as a DataFrame. Damaged entries are not in the sequence:
    the printed table shows them below the others, and `damaged` holds one dict for each: name, error, state. So it does
    for one whose component is not registered here, whose state is "unavailable", and for one whose full name an earlier
    folder has, "hidden".
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

    def _columns(self) -> list[str]:
        return list(COLUMNS)

    def records(self) -> list[dict]:
        """All entries, ready for JSON: the rows with "damaged": None, then the damaged ones with why, the rest None."""
        empty = dict.fromkeys(COLUMNS)
        sound = [{**row, "damaged": None} for row in self.rows]
        return sound + [{**empty, "name": row["name"], "damaged": row["error"]} for row in self.damaged]

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table("name", "data set", caption=None if self.rows or self.damaged else "no entries")
        for title in ("time steps", "accuracy", "energy (mJ)", "parameters"):
            table.add_column(title, justify="right")
        table.add_column("licence")
        for row in self.rows:
            # Text, not markup: what a card says must not style or link anything.
            cells = (row["name"], row["data_set"] or "-", str(row["timesteps"] or "-"))
            figures = (_percent(row["accuracy"]), _number(row["energy_mj"]), f"{row['parameters']:,}")
            table.add_row(*(Text(cell) for cell in (*cells, *figures, row["license"])))
        for row in self.damaged:
            table.add_row(*(Text(cell) for cell in (row["name"], row["state"], *"-----")))
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
    data: str | None = None,
    min_accuracy: float | None = None,
    max_energy_mj: float | None = None,
    timesteps: int | None = None,
    sort: str = "name",
    directory: str | os.PathLike | None = None,
    all_versions: bool = False,
) -> ModelTable:
    """Lists published entries, the newest version of each, as a table that iterates over names.

    An entry without a figure, published without data, is in no list that asks for one.

    Args:
        pattern: a glob over names ("*digits*"), matched with and without the version.
        data_set: only entries trained on this data set.
        max_parameters: only entries with at most this many parameters.
        data: the same as `data_set`.
        min_accuracy: only entries of at least this share of correct test images, 0.9 for 90 %.
        max_energy_mj: only entries of at most so many millijoules an image, as their cards say.
        timesteps: only entries of this T.
        sort: what they are sorted by: "name"; "accuracy", the best first; "energy_mj", "parameters" or "timesteps", the
            least first.
        directory: a zoo folder to list instead of the published one and those of KSPIKE_ZOO.
        all_versions: whether older versions are listed too.

    Returns:
        A `ModelTable`. Of a damaged entry a warning says what is wrong; it is no model of the table, which shows it as
        damaged, as unavailable where a component of its is not registered here, or as hidden where an earlier folder
        has an entry of the same full name, which the name then means.

    Raises:
        ValueError: an unknown `sort`, a limit that is no number of its kind, or a folder that is none.

    Example:
        >>> import kspike
        >>> "auto_spikformer_digits" in kspike.zoo.list_models("*digits*", min_accuracy=0.9, sort="energy_mj")
        True
    """
    if not isinstance(pattern, str):
        raise ValueError(f'pattern must be a glob over names, as "*digits*", got {pattern!r}.')
    keeps = choosing.filter_of(data_set, max_parameters, data, min_accuracy, max_energy_mj, timesteps)
    choosing.check_sort(sort)
    if directory is not None and not naming.zoo_folder(directory).is_dir():
        raise ValueError(
            f"Expected directory to be a zoo folder; received {os.fspath(directory)!r}, which is no folder."
        )
    rows: list[dict] = []
    others: list[dict] = []
    places: dict[str, Path] = {}
    for folder in [*naming.zoo_folders(directory)]:  # all of them first: one that is none is told before any work
        for full in _names(folder, pattern, all_versions):
            state = DAMAGED
            try:
                if full in places:
                    state = HIDDEN
                    raise ValueError(
                        f"{places[full]} has one of that name, and {folder} comes later. Rename one of them."
                    )
                places[full] = folder
                if problem := naming.lacks_metadata(folder / full):
                    raise ValueError(problem)
                entry = Entry.open(full, folder)
                raw = entry.raw_config()
                state = UNAVAILABLE
                elsewhere.check_known(raw, entry.name)
                rows.append(_row(full, entry, raw))
            except (ValueError, OSError) as error:  # also one that may not be read
                others.append({"name": full, "error": str(error), "state": state})
                warn(f"The entry {full} is {state}{'' if state == DAMAGED else ' here'}: {error}")
    kept = [row for row in sorted(rows, key=choosing.order("name")) if keeps(row)]
    return ModelTable(sorted(kept, key=choosing.order(sort)), sorted(others, key=choosing.order("name")))


def _names(folder: Path, pattern: str, all_versions: bool) -> Iterator[str]:
    """Full names of the entries in one folder that fit the pattern, whole or not."""
    whole, parts = naming.versions(folder), naming.incomplete(folder)
    for name in {*whole, *parts}:
        numbers = sorted([*whole.get(name, ()), *parts.get(name, ())])
        newest = whole.get(name, numbers)[-1]  # a bare name means the newest that has metadata
        for number in numbers if all_versions else [n for n in numbers if n >= newest]:
            full = naming.full_name(name, number)
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(full, pattern):
                yield full


def _row(full: str, entry: Entry, raw: dict) -> dict:
    metadata = entry.metadata
    figures = {key: metadata[key] for key in FACTS}
    steps = raw.get("timesteps")
    steps = steps if isinstance(steps, int) and not isinstance(steps, bool) else None
    return {"name": full, "data_set": (metadata["data"] or {}).get("name"), "timesteps": steps, **figures}
