"""Reads the golden neurons: one case a neuron, arrays turned to our (batch, time, features)."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from kspike import surrogate


@dataclasses.dataclass(frozen=True)
class Case:
    """One of SpikingJelly's neurons, run once forwards and once backwards."""

    name: str
    arguments: dict[str, Any]
    x: np.ndarray
    upstream: np.ndarray
    spikes: np.ndarray
    grad_x: np.ndarray


def _arguments(params: str) -> dict[str, Any]:
    given = json.loads(params)
    given["surrogate"] = surrogate.get({"name": given["surrogate"], "alpha": given.pop("alpha")})
    return given


@functools.cache
def cases() -> tuple[Case, ...]:
    """All 160 neurons."""
    with np.load(Path(__file__).parent / "lif.npz") as data:
        names, params = data["names"], data["params"]
        arrays = [np.swapaxes(data[key], 1, 2).astype("float32") for key in ("x", "upstream", "spikes", "grad_x")]
    return tuple(
        Case(str(name), _arguments(str(p)), *(np.ascontiguousarray(a[i]) for a in arrays))
        for i, (name, p) in enumerate(zip(names, params, strict=True))
    )
