"""Settles the backend before Keras is imported: the one asked for, else the first that is installed."""

import importlib.util
import os
import pathlib
from typing import Any

if "KERAS_BACKEND" not in os.environ:
    for _name in ("torch", "jax", "tensorflow"):
        if importlib.util.find_spec(_name):
            os.environ["KERAS_BACKEND"] = _name
            break
# A GPU's kernels are tested by Triton's interpreter, which is asked for before Triton is imported, by whomever.
os.environ.setdefault("TRITON_INTERPRET", "1")
# TensorFlow's start-up notes would drown a failing test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What one test process has compiled, another of the same run need not: most of the time on jax is compilation.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_COMPILATION_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_report_header() -> str:
    return f"keras backend: {os.environ.get('KERAS_BACKEND')}"


def pytest_collection_modifyitems(config: Any, items: list) -> None:
    """Comparisons with packages that only `make outside` installs: deselected unless asked for by name."""
    if "outside" in config.option.markexpr:
        return
    kept = [item for item in items if item.get_closest_marker("outside") is None]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
