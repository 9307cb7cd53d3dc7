"""The scripts of benchmarks/ and tuners/ as modules: they import each other from their own folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/, imported; what it imports beside it stays importable by the same name."""
    return _script("benchmarks", name)


def tuner(name: str) -> ModuleType:
    """A script of tuners/, likewise."""
    return _script("tuners", name)


def _script(folder: str, name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / folder))
