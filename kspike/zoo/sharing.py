"""Writes an entry as one zip to be sent, and puts an entry that came as a zip into a zoo folder."""

from __future__ import annotations

import os
from pathlib import Path

from kspike._files import expanded, folder_aside, remove_leftovers, sync, written_aside
from kspike._messages import shown
from kspike.zoo import files, sources, zips
from kspike.zoo.entry import Entry


def export_zip(
    name_or_folder: str | os.PathLike,
    file: str | os.PathLike,
    *,
    directory: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes an entry as one zip, which `load` takes as it is, from a path or an address.

    All hashes are checked first. The zip holds the folder `<name>.v<N>`, uncompressed (weights hardly compress), and
    the same entry gives the same bytes: their SHA-256 can be given with an address, `https://...zip#sha256=...`.

    Args:
        name_or_folder: as in `load`.
        file: the zip to be written, in a folder that is there. Written aside and renamed: never half a file.
        directory: as in `load`.
        overwrite: whether a file that is there is replaced.

    Returns:
        The path of the zip.

    Raises:
        ValueError: an unknown or damaged entry, a name that does not end in .zip, or a file that exists.
        OSError: the file cannot be written; nothing is left behind.

    Example:
        >>> import kspike, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = kspike.zoo.export_zip("auto_spikformer_digits.v1", folder + "/digits.zip")
        ...     kspike.zoo.card(path)["name"]
        'auto_spikformer_digits'
    """
    path = expanded(file)
    if path.suffix.lower() != sources.SUFFIX:
        raise ValueError(
            f"Expected the name of a zip to write, as 'my_entry.v1.zip'; received {shown(os.fspath(file))}."
        )
    if os.path.lexists(path) and not (overwrite and path.is_file()):
        why = "is no file" if overwrite else "overwrite=False"
        raise ValueError(f"Expected a free place; {path} exists, and {why}.")
    entry = Entry.open(name_or_folder, directory)
    contents = entry.contents()
    if sum(map(len, contents.values())) > zips.MAX_BYTES - (1 << 16):
        raise ValueError(f"Expected an entry of less than {zips.MAX_BYTES:,} bytes to write as a zip; received more.")
    with written_aside(path, durable=True) as aside:
        zips.write(aside, entry.name, contents)
    return path


def import_zip(
    source: str | os.PathLike, *, directory: str | os.PathLike = "my_zoo", offline: bool | None = None, verbose: int = 1
) -> Path:
    """Puts the entry of a zip, a file or an address, into a zoo folder, as `<directory>/<name>.v<N>`.

    Everything that `load` and `verify` check is checked before anything is written. The folder is built under a hidden
    name and renamed when it is on the disk. An existing entry is never touched.

    Args:
        source: the path of a zip, `https://...` or `file:///...`; `#sha256=...` behind an address where only that file
            will do.
        directory: the zoo folder, made if absent.
        offline, verbose: as in `load`.

    Returns:
        The path of the entry, which `load` takes.

    Raises:
        ValueError: no zip of one entry: damaged, altered, of other members, with components that are not registered
            here; or the entry is there already.
        OSError: a download broke off (what came is kept, and the same call goes on), or the folder cannot be written.

    Example:
        >>> kspike.zoo.import_zip("my_entry.v1.zip", directory="my_zoo")  # doctest: +SKIP
        PosixPath('my_zoo/my_entry.v1')
    """
    if not sources.is_source(source):
        raise ValueError(
            f"Expected the path of a zip, or an address (https://, file://); received {shown(source)}. A folder is "
            "copied as it is."
        )
    parent = expanded(directory)
    if parent.exists() and not parent.is_dir():
        raise ValueError(f"Expected directory to be a zoo folder, made if absent; received {parent}, which is a file.")
    entry = Entry.open(source, offline=offline, verbose=verbose)
    target = parent / entry.name
    if os.path.lexists(target):
        raise ValueError(f"Expected a free place for the entry; received {target}, which exists. Entries never change.")
    entry.config()
    contents = entry.contents()
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent, files.ASIDE)
    with folder_aside(parent, f"{entry.metadata['name']}.importing") as aside:
        for file, content in contents.items():
            files.write_synced(aside / file, content)
        sync(aside)
        return files.rename_into_place(aside, lambda: target)
