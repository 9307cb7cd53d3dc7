"""What this machine is called where a measured time is told."""

from __future__ import annotations

import platform
import re
from pathlib import Path


def processor() -> str:
    """The processor's name, as the system has it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        match = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
        if match:
            return match[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
