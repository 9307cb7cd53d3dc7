"""Writes a trained model as a new entry: checked first, measured once, put into place atomically."""

from __future__ import annotations

import datetime
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kspike._files import folder_aside, remove_leftovers, sync
from kspike.zoo import cards, facts, files, naming, schema, sealing, strict_json
from kspike.zoo import weights as storage
from kspike.zoo.cross_backend import check_backends, modules_for
from kspike.zoo.entry import CARD, CONFIG, MAX_METADATA_BYTES, METADATA, WEIGHTS, Entry

# The card, the search record and what HDF5 adds to the weights.
_SPARE_BYTES = 12 << 20


def publish(
    model: Any,
    name: str,
    *,
    license: str,
    directory: str | os.PathLike | None = None,
    data: Any = None,
    search: Any = None,
    training: Any = None,
    citation: str | None = None,
    source: str | None = None,
    notes: str | None = None,
    intended_use: str | None = None,
    budget: Any = None,
    seed: int | None = None,
    runs: dict | None = None,
    reproduce: str | None = None,
    backends: Sequence[str] = (),
    convention: str | None = None,
    half: bool = False,
) -> Path:
    """Writes a Spikformer and all that its card says into a new folder `<directory>/<name>.v<N>`.

    The weights are written, read back as a user would, and measured on `data.test`: the card describes the file. The
    folder is built under a hidden name and renamed when it is on the disk, so that a full disk, Ctrl-C or a crash
    leaves no half entry; what a killed process left under such a name, the next publication removes. An existing
    entry is never touched: publishing the same name again makes the next version.

    Args:
        model: a `kspike.Spikformer` with its head. It is not changed.
        name: lower-case letters, digits, underscores. With a version ("my_net.v3") that version, which must be free.
        license: of the weights, as an SPDX name ("apache-2.0") or an expression of them ("MIT OR Apache-2.0").
        directory: the zoo folder, made if absent; None is the zoo of the kspike checkout.
        data: what `kspike.data.load` returned. Its test images are read once, for accuracy and energy; its range, mean,
            std and class names go on the card. None publishes without figures.
        search: a tuner with `search_record()`, or such a record: space, objective, constraints, seed, trials, budget.
        training: how it was trained: a recipe or a dict.
        citation, source, notes, intended_use: texts for the card; notes are for limits that a user should know.
        budget: the cost of search and training, as text or numbers (time, machine).
        seed: the seed of the training run; taken from the search where not given.
        runs: accuracy over seeds, `{"n": ..., "mean": ..., "std": ...}` in shares, where several runs were made.
        reproduce: the command that makes this model again; by default the script that is running.
        backends: other backends on which the entry is loaded and measured, image by image, in subprocesses, before it
            is published. The modules of your own components are imported there, so they must be modules: of a class in
            the script that runs nobody else can import anything.
        convention: of energy, a name out of `kspike.cost.conventions()`; None is `kspike.cost.measure`'s default.
        half: store the kernels of the products in float16: half the bytes. They are rounded before anything is
            measured; the loaded model is float32.

    Returns:
        The path of the new entry, which `load` takes.

    Raises:
        ValueError: something about the arguments, before anything is written.
        OSError: the folder cannot be written or the disk is full; nothing is left behind.

    Example:
        >>> kspike.zoo.publish(model, "my_net", directory="my_zoo", data=data, license="apache-2.0")  # doctest: +SKIP
        PosixPath('my_zoo/my_net.v1')
    """
    bare, version = naming.split_name(name)
    config = facts.check_model(model)
    backends = check_backends(backends)
    if backends and data is None:
        raise ValueError(f"Expected data= to measure on {', '.join(backends)}; received none.")
    modules = modules_for(backends, config)
    facts.check_convention(convention)
    if convention is not None and data is None:
        raise ValueError(f"Expected data= to measure energy by convention={convention!r}; received none.")
    about = {"license": license, "citation": citation, "source": source, "notes": notes, "intended_use": intended_use}
    given = facts.author_facts(
        config,
        about,
        search=search,
        training=facts.with_origin(model, training),
        budget=budget,
        seed=seed,
        runs=runs,
        reproduce=reproduce,
    )
    described = facts.describe_data(data, config)
    fresh = storage.copy_of(model, half)
    parent = _folder(directory, bare, version, needed=4 * fresh.count_params())
    with folder_aside(parent, f"{bare}.publishing") as aside:
        metadata = {"format_version": schema.FORMAT_VERSION, "name": bare, "version": version or 1}
        metadata |= {"files": _write_model(fresh, config, aside, half), "parameters": facts.parameters(config)}
        metadata |= {**described, **given, **facts.environment()}
        if half:
            metadata["weights_dtype"] = "float16"
        metadata["created"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        _write_metadata(aside, metadata, config)
        read = _read_back(aside, metadata, fresh)
        metadata |= facts.measure(read, data, aside, metadata, backends, convention, modules)

        def place() -> Path:
            number = version or naming.next_version(parent, bare)
            metadata["version"] = number
            _write_metadata(aside, metadata, config)
            sync(aside)
            return parent / naming.full_name(bare, number)

        return files.rename_into_place(aside, place)


def _folder(directory: str | os.PathLike | None, bare: str, version: int | None, needed: int) -> Path:
    """The zoo folder, after checking that the entry can be written there."""
    parent = naming.zoo_folder(directory)
    if directory is None and "_data" in parent.parts:
        raise ValueError(
            "Expected directory= for a kspike that is installed: its own zoo is part of the package. "
            "Give a folder of your own, as directory='my_zoo'."
        )
    if version is not None and os.path.lexists(parent / naming.full_name(bare, version)):
        raise ValueError(
            f"Expected a version that is free; received {naming.full_name(bare, version)!r}, which exists in "
            f"{parent}. Entries "
            f"never change: publish {bare!r} to make version {naming.next_version(parent, bare)}."
        )
    if version is None and parent.is_dir():
        naming.next_version(parent, bare)  # refused now if no number is left, not after the work
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(parent, files.ASIDE)
        with folder_aside(parent, f"{bare}.trying") as trial:
            files.reserve(trial / "space", needed + _SPARE_BYTES)
    except OSError as error:
        reason = f"{error.strerror or error}; {needed + _SPARE_BYTES:,} bytes are needed"
        raise OSError(
            error.errno, f"The entry cannot be written into {parent}: {reason}. Make room, or give another directory="
        ) from None
    return parent


def _write_model(fresh: Any, config: Any, aside: Path, half: bool) -> dict:
    """Config and weights -> their files; returns hash and size of each for the metadata."""
    content = {CONFIG: strict_json.dumps(config.to_dict(), CONFIG), WEIGHTS: storage.write(fresh, aside, half)}
    files.write_synced(aside / CONFIG, content[CONFIG])
    return {file: _record(value) for file, value in content.items()}


def _record(content: bytes) -> dict:
    return {"sha256": files.sha256(content), "bytes": len(content)}


def _write_metadata(aside: Path, metadata: dict, config: Any) -> None:
    card = cards.render(metadata, config.to_dict()).encode("utf-8")
    metadata = sealing.seal({**metadata, "files": {**metadata["files"], CARD: _record(card)}})
    content = strict_json.dumps(metadata, METADATA)
    if len(content) > MAX_METADATA_BYTES:
        raise ValueError(
            f"Expected metadata of at most {MAX_METADATA_BYTES:,} bytes; received {len(content):,}. Shorten the "
            "search record."
        )
    schema.check(metadata, naming.full_name(metadata["name"], metadata["version"]), METADATA)
    for file, text in ((METADATA, content), (CARD, card)):
        (aside / file).unlink(missing_ok=True)
        files.write_synced(aside / file, text)


def _read_back(aside: Path, metadata: dict, fresh: Any) -> Any:
    """The entry as a user would load it; ValueError unless every weight is the published one, bit for bit."""
    entry = Entry.read(aside, name=naming.full_name(metadata["name"], metadata["version"]))
    model = storage.build(entry.config(), dtype="float32")
    storage.fill(model, entry.weights(), entry.name)
    for written, read in zip(fresh.get_weights(), model.get_weights(), strict=True):
        if written.tobytes() != read.tobytes():
            raise OSError(
                errno.EIO, "The weights read back from the disk are not those that were written; nothing was published"
            )
    return model
