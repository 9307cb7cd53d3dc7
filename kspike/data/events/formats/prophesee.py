"""The header of Prophesee's files: lines of text that begin with %, which may say version and geometry."""

from __future__ import annotations

import re


def header(content: bytes) -> tuple[int, str]:
    """A file's content -> where its header ends, and its text in small letters.

    A line that holds other bytes than text is data that happens to begin with %.
    """
    end = 0
    while content[end : end + 2] in (b"% ", b"%\n", b"%\r"):
        stop = content.find(b"\n", end, end + 4096)
        if stop < 0 or re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]", content[end:stop]):
            break
        line, end = content[end:stop], stop + 1
        if line.strip() == b"% end":
            break
    return end, content[:end].decode("ascii").lower()


def sensor_size(text: str) -> tuple[int, int] | None:
    """A header's text -> (height, width), by any of the ways in which these files say it."""
    if found := re.search(r"geometry[: ]\s*(\d+)x(\d+)", text):
        return int(found[2]), int(found[1])
    height, width = re.search(r"\bheight[= ]\s*(\d+)", text), re.search(r"\bwidth[= ]\s*(\d+)", text)
    return (int(height[1]), int(width[1])) if height and width else None
