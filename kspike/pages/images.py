"""An image as a PNG in a data URL."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(image: np.ndarray) -> str:
    """An image (height, width, channels), or frames, as a PNG in a data URL, scaled to its own range."""
    if image.ndim == 4:
        image = image.mean(axis=0)
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3):
        image = image.reshape(1, -1, 1)
    if image.shape[2] == 2:  # event polarities: red and blue
        image = np.stack([image[..., 0], np.zeros_like(image[..., 0]), image[..., 1]], axis=-1)
    span = float(image.max() - image.min()) or 1.0
    pixels = np.round((image - image.min()) / span * 255).astype(np.uint8)
    height, width, channels = pixels.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: no filter

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()
