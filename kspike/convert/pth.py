"""Reads a PyTorch checkpoint (written by `torch.save`) as plain values and tensors, with NumPy alone.

Two forms (torch/serialization.py): a zip archive of a pickle, data.pkl, and one stored member a storage, data/KEY; and
the older one, five pickles (a magic number, a version, the system, the object, the keys of its storages), then each
storage's length and bytes. Tensors stay in the file until they are used; nothing is allocated by a size that the file
claims.
"""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from typing import Any, Literal

from kspike._files import opened_plain
from kspike.convert import pickles
from kspike.convert.pth_tensors import Storage, TorchResolver, itemsize
from kspike.convert.stored import cut, first_line

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_pth(path: str | os.PathLike) -> Any:
    """Returns what `torch.save` wrote; tensors as `Stored`. The only class accepted is timm's `argparse.Namespace`.

    Raises:
        ValueError: the file is cut short, or would need other classes.
    """
    name = os.fspath(path)
    with opened_plain(path) as file:
        empty = os.fstat(file.fileno()).st_size == 0
        content = None if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        if content is None:
            raise ValueError("it is empty")
        return _from_zip(content, name) if content[:2] == b"PK" else _from_stream(content, name)
    except pickles.Unknown as error:
        raise ValueError(
            f"{name} needs {error} to be read, which is more than tensors and plain values and could run "
            "code; it was refused, nothing was run. Save only the state dict: torch.save(model.state_dict(), path)."
        ) from None
    except (ValueError, zipfile.BadZipFile, NotImplementedError, struct.error, OSError) as error:
        raise ValueError(f"{name} is not a whole PyTorch file ({first_line(error)}). Copy or save it again.") from None


# -- the archive ------------------------------------------------------------------------------------------------------


def _from_zip(content: mmap.mmap, path: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        claimed = sum(member.file_size for member in archive.infolist())
    if claimed > len(content):
        raise ValueError(f"its members claim {claimed:,} bytes, the file has {len(content):,}")
    found = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(found) != 1:
        raise ValueError(f"expected one data.pkl in the archive, found {len(found)}")
    root = found[0].removesuffix("data.pkl")

    def member(name: str) -> Storage | None:
        return _member(content, members[root + name], path) if root + name in members else None

    order, pickled = member("byteorder"), _member(content, members[found[0]], path)
    big = order is not None and order.view == b"big"
    return pickles.load(bytes(pickled.view), TorchResolver(lambda key: member(f"data/{key}"), ">" if big else "<"))


def _member(content: mmap.mmap, member: zipfile.ZipInfo, path: str) -> Storage:
    """Position of an uncompressed member; `zipfile` would copy it again for each tensor in it."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise ValueError(f"{cut(member.filename)!r} is compressed or encrypted, which PyTorch's files never are")
    head = content[member.header_offset : member.header_offset + 30]
    if len(head) < 30 or head[:4] != b"PK\3\4":
        raise ValueError(f"{cut(member.filename)!r} is not where the archive says")
    lengths = struct.unpack("<HH", head[26:30])
    # torch.serialization.set_crc32_options(False) writes 0
    return Storage(content, member.header_offset + 30 + sum(lengths), member.file_size, path, member.CRC or None)


# -- the older form ---------------------------------------------------------------------------------------------------


class _Kinds(TorchResolver):
    """Records the number type of each storage, and makes no tensor: the storages follow the pickle."""

    def __init__(self) -> None:
        super().__init__(lambda key: None, "<")
        self.codes: dict[str, str] = {}

    def stored(self, key: str, code: str, count: int) -> Any:
        self.codes.setdefault(key, code)

    def tensor(self, *arguments: Any) -> None:
        """Nothing."""


def _from_stream(content: mmap.mmap, path: str) -> Any:
    kinds = _Kinds()
    if pickles.load(content, kinds) != _MAGIC or pickles.load(content, kinds) != _VERSION:
        raise ValueError("it does not begin as PyTorch's files do")
    system = pickles.load(content, kinds)
    order: Literal["<", ">"] = ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
    start = content.tell()
    pickles.load(content, kinds)
    keys = pickles.load(content, kinds)
    if not isinstance(keys, list):
        raise ValueError("the list of its storages is missing")
    storages: dict[str, Storage] = {}
    place = content.tell()
    for key in keys:
        if not isinstance(key, str) or key not in kinds.codes or key in storages:
            raise ValueError("a storage is listed that belongs to no tensor, or twice")
        (count,) = struct.unpack(f"{order}q", content[place : place + 8])
        storages[key] = Storage(content, place + 8, count * itemsize(kinds.codes[key]), path)
        place += 8 + storages[key].nbytes
    content.seek(start)
    return pickles.load(content, TorchResolver(storages.get, order))
