"""Measures a published entry again and compares the result with its card."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike import _messages
from kspike._tables import as_text
from kspike.zoo import evaluating, facts
from kspike.zoo import weights as storage
from kspike.zoo.entry import Entry

if TYPE_CHECKING:
    from rich.table import Table

# Two backends may differ by one image, or by 0.05 points of accuracy where that is more.
_ACCURACY = 0.0005
# Spikes that flip by rounding change the counted operations far less than this share.
_ENERGY = 0.005
# Share of images that may get another class, for neurons within rounding of their threshold.
_DISAGREEMENTS = 0.02
_DATA_NAME = re.compile(r"[A-Za-z0-9_]{1,80}(/[A-Za-z0-9_-]{1,80})?(:[0-9]+(\.[0-9]+)*)?")


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of a report. `card`, `measured`: as text; `ok`: None where there was nothing to compare."""

    what: str
    card: str
    measured: str
    ok: bool | None


@dataclasses.dataclass(frozen=True)
class VerificationReport:
    """What `verify` found. `ok` is True when nothing disagrees with the card; prints as a table."""

    name: str
    backend: str
    checks: tuple[Check, ...]
    accuracy: float | None = None
    energy_mj: float | None = None
    disagreements: int | None = None

    @property
    def ok(self) -> bool:
        """Whether every check that could be made agrees with the card."""
        return all(check.ok is not False for check in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        verdict = "agrees with its card" if self.ok else "DOES NOT AGREE with its card"
        table = Table(
            "", "card", "measured", "", title=Text(f"{self.name} on {self.backend}: {verdict}"), title_justify="left"
        )
        for check in self.checks:
            mark = {True: "ok", False: "DIFFERS", None: "-"}[check.ok]
            table.add_row(*(Text(cell) for cell in (check.what, check.card, check.measured, mark)))
        return table

    def __str__(self) -> str:
        return as_text(self)


def verify(
    name_or_folder: str | os.PathLike,
    data: Any = None,
    *,
    directory: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
) -> VerificationReport:
    """Checks an entry's hashes, loads it, measures it on the test images again, and compares with its card.

    Nothing is changed, neither the entry nor its card. The measurement runs on the current backend in float32.

    Args:
        name_or_folder: as in `load`.
        data: what `kspike.data.load` returned; by default the data set that the card names is loaded.
        directory: as in `load`.
        data_dir: where the data set of the card lies, as `kspike.data.load` takes it.

    Returns:
        A `VerificationReport`: `.ok`, `.accuracy`, `.energy_mj`, `.disagreements` (images classed otherwise than on
        publication), `.checks`; it prints as a table.

    Raises:
        ValueError: an entry that is unknown, altered, truncated, linked or absurdly large: nothing was measured then.

    Example:
        >>> import kspike
        >>> kspike.zoo.verify("auto_spikformer_digits").ok  # doctest: +SKIP
        True
    """
    import keras

    entry = Entry.open(name_or_folder, directory)
    entry.check_card()
    model = storage.build(entry.config(), dtype="float32")
    storage.fill(model, entry.weights(), entry.name)
    hashes = [Check(f"SHA-256 of {file}", digest[:12], digest[:12], True) for file, digest in entry.hashes().items()]
    report = VerificationReport(entry.name, keras.backend.backend(), tuple(hashes))
    data = _data(entry, data, data_dir)
    if data is None:
        return report
    _check_normalisation(entry, facts.describe_data(data, model.config)["input"])
    return _compare(report, entry.metadata, model, data)


def _data(entry: Entry, data: Any, data_dir: str | os.PathLike | None) -> Any:
    stated = entry.metadata.get("data")
    if data is not None or not stated:
        return data
    from kspike import data as sets
    from kspike.data.loading import arguments_of

    if stated.get("own"):
        raise ValueError(
            f"The images that {entry.name} was published with, {_messages.shown(stated.get('name'))}, are its author's "
            "own, and nothing can be measured without them: give data=, as kspike.data.from_directory(...) opens it "
            "(kspike zoo verify NAME --data FOLDER)."
        )
    # A name from a file must not choose code: TensorFlow Datasets imports packages for names with a namespace.
    name, shown = stated.get("name"), entry.metadata["input"]
    if not isinstance(name, str) or not _DATA_NAME.fullmatch(name):
        raise ValueError(f"Expected the card of {entry.name} to name a data set; received {name!r}. Give it as data=.")
    arguments = arguments_of(shown)
    if data_dir is not None:
        arguments["data_dir"] = data_dir
    return sets.load(name, **arguments)


def _check_normalisation(entry: Entry, given: dict) -> None:
    stated = entry.metadata["input"]
    here, there = (one.get("events") or {} for one in (given, stated))
    for key in ("sensor_size", "framing", "split"):
        if there.get(key) != here.get(key):
            raise ValueError(
                f"Expected events of the {key} {there.get(key)} {entry.name} was trained with; received "
                f"{here.get(key)}. "
                "Load them with framing= and split= of the card's input."
            )
    for key in ("range", "mean", "std"):
        if stated.get(key) is not None and not np.allclose(stated[key], given[key], atol=1e-6):
            raise ValueError(
                f"Expected data of the {key} {stated[key]} {entry.name} was trained with; received {given[key]}. "
                "Load it with mean= and std= of the card's input."
            )


def _compare(report: VerificationReport, card: dict, model: Any, data: Any) -> VerificationReport:
    published = evaluating.unpack(card.get("predictions"))  # first: a damaged record is told before the work
    convention = (card.get("energy") or {}).get("convention")
    measured, charged, _ = facts.measure_both(model, data.test, convention)
    energy = float(charged.energy_mj)
    found = dataclasses.replace(report, accuracy=measured.accuracy, energy_mj=energy)
    shown = f"{100 * measured.accuracy:.2f} % ({measured.correct}/{measured.n})"
    stated = card.get("evaluation")
    if published is None or stated is None:
        checks = [Check("accuracy", "-", shown, None), Check("energy (mJ)", "-", f"{energy:.6g}", None)]
        return dataclasses.replace(found, checks=(*report.checks, *checks))
    same = card["predictions"]["labels_sha256"] == evaluating.hash_labels(measured.labels)
    said = f"{100 * stated['accuracy']:.2f} % ({stated['correct']}/{stated['n']})"
    checks = [Check("test images", f"{stated['n']:,}", f"{measured.n:,}" + ("" if same else ", others"), same)]
    # On other images the accuracy may differ: nothing to compare.
    close = abs(measured.correct - stated["correct"]) <= max(1, int(_ACCURACY * measured.n)) if same else None
    near = abs(energy - card["energy_mj"]) <= _ENERGY * abs(card["energy_mj"]) if same else None
    checks.append(Check("accuracy", said, shown, close))
    checks.append(Check(f"energy (mJ), {convention}", f"{card['energy_mj']:.6g}", f"{energy:.6g}", near))
    if same:
        count = int(np.count_nonzero(published != measured.predictions))
        found = dataclasses.replace(found, disagreements=count)
        checks.append(Check("images classed otherwise", "0", f"{count}", count <= max(1, _DISAGREEMENTS * measured.n)))
    return dataclasses.replace(found, checks=(*report.checks, *checks))
