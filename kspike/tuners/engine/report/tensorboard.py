"""Scalars for TensorBoard: event files written without TensorFlow or TensorBoard.

A file is a sequence of records (length, CRC of the length, data, CRC of the data), each a protocol buffer of type Event
(tensorflow/core/util/event.proto, framework/summary.proto: wall_time 1, step 2, file_version 3, summary 5; in it value
1; in that tag 1, simple_value 2). The checksum is CRC-32C, rotated by 15 bits and offset, as TFRecord has it.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = (_byte >> 1) ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (its check value, of b"123456789", is 0xE3069283)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _nested(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


class EventFile:
    """Writes scalars into a folder that TensorBoard reads; earlier files of this writer in it are removed first.

    Args:
        folder: made if it is not there.

    Example:
        >>> import tempfile
        >>> events = EventFile(tempfile.mkdtemp())
        >>> events.write(0, {"accuracy": 0.5})
    """

    #: Names of this writer's files.
    NAMES = re.compile(r"events\.out\.tfevents\.[0-9]+\.kspike")

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if self.NAMES.fullmatch(old.name):
                old.unlink()
        self.path = folder / f"events.out.tfevents.{int(time.time())}.kspike"
        self.path.write_bytes(_record(b"\x09" + struct.pack("<d", time.time()) + _nested(3, b"brain.Event:2")))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Appends scalars of one step."""
        values = b"".join(
            _nested(1, _nested(1, tag.encode()) + b"\x15" + struct.pack("<f", value)) for tag, value in scalars.items()
        )
        event = b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + _nested(5, values)
        with open(self.path, "ab") as file:
            file.write(_record(event))
