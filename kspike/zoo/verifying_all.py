"""Verifies every entry of a zoo on several backends, each in a process of its own, and shows it as one table."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kspike._tables import as_text
from kspike.zoo.cross_backend import check_backends
from kspike.zoo.listing import list_models
from kspike.zoo.verifying import Check, VerificationReport, verify

if TYPE_CHECKING:
    from rich.table import Table

#: Columns, which are the beginnings of what a report checks.
_FIGURES = ("accuracy", "energy (mJ)", "images classed otherwise")


@dataclasses.dataclass(frozen=True)
class Verified:
    """One entry on one backend: its report, or why nothing was measured."""

    name: str
    backend: str
    report: VerificationReport | None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was measured and nothing disagrees with its card."""
        return self.report is not None and self.report.accuracy is not None and self.report.ok

    def cells(self) -> list[str]:
        """A line of the table: entry, backend, each figure as measured beside the card's where they differ, verdict."""
        if self.report is None:
            return [self.name, self.backend, *["-"] * len(_FIGURES), self.error or ""]
        found = [next((c for c in self.report.checks if c.what.startswith(what)), None) for what in _FIGURES]
        shown = [_shown(check) for check in found]
        verdict = "ok" if self.ok else "DIFFERS" if not self.report.ok else "no figures on its card"
        return [self.name, self.backend, *shown, verdict]


def _shown(check: Check | None) -> str:
    if check is None:
        return "-"
    same = check.measured == check.card or check.card in ("-", "0")
    return check.measured if same else f"{check.measured} ({check.card})"


@dataclasses.dataclass(frozen=True)
class VerifiedZoo:
    """What `verify_all` found, an entry and backend a row; prints as a table."""

    rows: tuple[Verified, ...]

    @property
    def ok(self) -> bool:
        """Whether every entry was measured on every backend, and agrees with its card."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table("entry", "backend", *_FIGURES, "", title="As measured (on the card, where it differs)")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row.cells()))
        return table

    def __str__(self) -> str:
        return as_text(self, width=140)


def verify_all(
    pattern: str = "*",
    *,
    backends: Sequence[str] = (),
    directory: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    progress: Callable[[Verified], None] | None = None,
) -> VerifiedZoo:
    """Measures every entry of a zoo again, as `verify` does, on each backend: all versions.

    What cannot be measured, an entry that is damaged or whose data set is not here, is a row that says so; the others
    are measured all the same.

    Args:
        pattern: a glob over names, as of `list_models`.
        backends: by name, each in a process of its own but this process's; none for that one alone.
        directory: a zoo folder instead of the published one and those of KSPIKE_ZOO.
        data_dir: where the data sets of the cards lie, as `kspike.data.load` takes it.
        progress: called with each row when it is there.

    Raises:
        ValueError: a backend that is unknown or not installed, or no entry of such a name.
    """
    import keras

    here = keras.backend.backend()
    wanted = check_backends(backends) or (here,)
    table = list_models(pattern, directory=directory, all_versions=True)
    if not (table.rows or table.damaged):
        raise ValueError(f"Expected a pattern of entries; {pattern!r} matches none.")
    rows: list[Verified] = []
    for backend in wanted:
        run = _here if backend == here else _elsewhere
        for row in run(backend, pattern, directory, data_dir):
            rows.append(row)
            if progress is not None:
                progress(row)
    return VerifiedZoo(tuple(rows))


def _here(backend: str, pattern: str, directory: Any, data_dir: Any) -> Iterator[Verified]:
    """Every entry on this process's backend, as each is measured."""
    table = list_models(pattern, directory=directory, all_versions=True)
    for damaged in table.damaged:
        yield Verified(damaged["name"], backend, None, f"{damaged['state']}: {damaged['error']}")
    for name in table:
        try:
            yield Verified(name, backend, verify(name, directory=directory, data_dir=data_dir))
        except (ValueError, OSError, ImportError) as error:
            yield Verified(name, backend, None, f"not measured: {' '.join(str(error).split())}")


def _elsewhere(backend: str, pattern: str, directory: Any, data_dir: Any) -> Iterator[Verified]:
    """The same in a process on another backend, which prints a line an entry."""
    paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    given = [None if path is None else os.fspath(path) for path in (directory, data_dir)]
    with subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps([pattern, *given])],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield _read(json.loads(line))
    if process.returncode:
        raise RuntimeError(f"The entries could not be measured on {backend}: exit code {process.returncode}.")


def _read(row: dict[str, Any]) -> Verified:
    report = row["report"]
    if report is not None:
        report = VerificationReport(**{**report, "checks": tuple(Check(**check) for check in report["checks"])})
    return Verified(**{**row, "report": report})


def main(given: str) -> None:
    """Prints each entry's row as one line of JSON."""
    import keras

    for row in _here(keras.backend.backend(), *json.loads(given)):
        print(json.dumps(dataclasses.asdict(row)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
