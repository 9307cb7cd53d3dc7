"""Settles the backend before Keras is imported: the one asked for, else the first that is installed."""

import hashlib
import importlib.util
import os
import pathlib
import platform
from collections import Counter
from typing import Any

import pytest

if "KERAS_BACKEND" not in os.environ:
    for _name in ("torch", "jax", "tensorflow"):
        if importlib.util.find_spec(_name):
            os.environ["KERAS_BACKEND"] = _name
            break
# A GPU's kernels are tested by Triton's interpreter, which is asked for before Triton is imported, by whomever.
os.environ.setdefault("TRITON_INTERPRET", "1")
# TensorFlow's start-up notes would drown a failing test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What one test process has compiled, no other need compile, nor the next run: most of the time on jax is compilation.
# By processor, for a program is made for the one it is compiled on.
_cpuinfo = pathlib.Path("/proc/cpuinfo")
_lines = _cpuinfo.read_text().splitlines() if _cpuinfo.exists() else []
_features = [line for line in _lines if line.startswith("flags")]
_processor = hashlib.sha256("".join(_features[:1]).encode() + platform.processor().encode()).hexdigest()[:12]
_kept = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "xla" / _processor
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_kept))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_report_header() -> str:
    return f"keras backend: {os.environ.get('KERAS_BACKEND')}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: Any, items: list) -> None:
    """Comparisons with packages that only `make outside` installs: deselected unless asked for by name.

    In the processes of `-n`, which take file after file, heavy files stand first: begun last, one leaves the others
    idle.
    """
    if hasattr(config, "workerinput"):
        weight: Counter = Counter()
        for item in items:
            weight[item.path] += 1 if item.get_closest_marker("slow") is None else 40
        items.sort(key=lambda item: -weight[item.path])
    if "outside" in config.option.markexpr:
        return
    kept = [item for item in items if item.get_closest_marker("outside") is None]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
