"""Describes what a number was measured with: software versions and hardware, without the machine's name."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import sys
from pathlib import Path

from kspike._machine import processor


def versions() -> dict[str, str]:
    """Package names -> their versions."""
    import keras

    names = ["kspike", "keras", "numpy", "h5py"]
    names += {"tensorflow": ["tensorflow", "tensorflow-cpu"], "jax": ["jax"], "torch": ["torch"]}.get(
        keras.backend.backend(), []
    )
    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found.setdefault("kspike", _source_version())
    return found


def _source_version() -> str:
    import kspike

    return getattr(kspike, "__version__", "from source")


def hardware() -> dict[str, str | int | list[str]]:
    """The processor, its cores, and the graphics processors where the backend computes on them."""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "system": platform.system(),
        "accelerators": _accelerators(),
    }


def _accelerators() -> list[str]:
    import keras

    # Every backend's tensors have a device, and each backend names it differently.
    where = str(getattr(keras.ops.zeros((1,)), "device", "")).lower()
    if not any(word in where for word in ("cuda", "gpu", "tpu", "mps", "xpu")):
        return []
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)
        names += [match[1].strip()] if match else []
    return names or [where]


def command() -> str | None:
    """The command that is running, as a person would type it: a script, or `kspike`; None in a notebook or a shell.

    Absolute paths are cut to their last name: they mean nothing on another machine, and reveal this one.
    """
    import keras

    script = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    if script.stem == "kspike":
        program = ["kspike"]
    elif script.suffix == ".py" and not script.name.startswith("__"):
        program = ["python", script.name]
    else:
        return None
    return f"KERAS_BACKEND={keras.backend.backend()} {shlex.join([*program, *map(_without_place, sys.argv[1:])])}"


def _without_place(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)
