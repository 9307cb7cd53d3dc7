"""The scripts of benchmarks/ as modules: they import each other from their own folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = str(Path(__file__).resolve().parents[1] / "benchmarks")


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/, imported; what it imports beside it stays importable by the same name."""
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(FOLDER)
