"""The formats of exported files: what writes each, what runs it, and which packages that takes."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from kspike._registry import nearest

#: Names, without suffix, of a file as it is shipped, and of the one that gives every neuron's spikes too.
FILE, CHECKED = "file", "checked"


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: as errors and reports call it.
        suffix: of its files; "" for a folder.
        backend: the Keras backend that writes it; "" where every one does.
        needs: packages that writing takes beside that backend.
        runtime: the package that runs it.
        extra: the extra of kspike that brings them.
        times: ways of writing time that it knows: "unrolled", "scan", "step".
    """

    name: str
    suffix: str
    backend: str
    needs: tuple[str, ...]
    runtime: str
    extra: str
    times: tuple[str, ...] = ("unrolled",)

    def missing(self) -> list[str]:
        """Packages that writing takes and that are not installed."""
        return [name for name in (self.backend, *self.needs) if name and not installed(name)]


_ALL = ("unrolled", "scan", "step")
FORMATS: tuple[Format, ...] = (
    Format("ONNX", ".onnx", "torch", ("onnx",), "onnxruntime", "onnx", _ALL),
    Format("OpenVINO", ".xml", "torch", ("onnx", "openvino"), "openvino", "openvino", _ALL),
    Format("PyTorch program", ".pt2", "torch", (), "torch", "torch"),
    Format("LiteRT", ".tflite", "tensorflow", (), "ai_edge_litert", "litert"),
    Format("NIR", ".nir", "", ("nir",), "", "nir"),
    Format("SavedModel", "", "tensorflow", (), "tensorflow", "tensorflow"),
)


def installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    return importlib.util.find_spec(package) is not None


def formats() -> tuple[Format, ...]:
    """All formats that `save` knows.

    Example:
        >>> [each.suffix for each in formats()]
        ['.onnx', '.xml', '.pt2', '.tflite', '.nir', '']
    """
    return FORMATS


def format_of(path: Path) -> Format:
    """The format that a path's suffix says.

    Raises:
        ValueError: an unknown one.
    """
    known = {each.suffix: each for each in FORMATS}
    suffix = path.suffix.lower()
    if suffix not in known:
        listed = ", ".join(f"{s} ({f.name})" for s, f in known.items() if s)
        raise ValueError(
            f"Expected a path that ends in one of {listed}, or in no suffix for the folder of a SavedModel; received "
            f"{path.name!r}{nearest(suffix, [s for s in known if s])}."
        )
    return known[suffix]


def check_installed(form: Format) -> None:
    """Refuses a format whose writer is not installed, by ImportError with the extra's name."""
    if missing := form.missing():
        extras = sorted({form.extra, *({"torch", "tensorflow"} & set(missing))})
        raise ImportError(
            f"Writing {form.name} takes {' and '.join(missing)}, not installed here: pip install "
            f"'kspike[{','.join(extras)}]'.",
            name=missing[0],
        )
