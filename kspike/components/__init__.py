"""Components of spiking transformers: one class each, which every part of kspike reads.

`register` makes a class known; then configs, search spaces, costs, zoo entries and the command line take its name.
`kspike.components.check` compares what a supernet makes of it with the plain network.
"""

import importlib
from typing import Any

from kspike.components import parts
from kspike.components.base import (
    BLOCK_KINDS,
    BRANCHES,
    KINDS,
    MLP,
    PATHS,
    ROLES,
    SINGLE_KINDS,
    Component,
    Downsample,
    Head,
    Mixer,
    Neuron,
    Stem,
)
from kspike.components.registry import describe, get, names, register

__all__ = [
    "BLOCK_KINDS",
    "BRANCHES",
    "KINDS",
    "MLP",
    "PATHS",
    "ROLES",
    "SINGLE_KINDS",
    "Component",
    "Downsample",
    "Head",
    "Mixer",
    "Neuron",
    "Stem",
    "check",
    "describe",
    "get",
    "names",
    "parts",
    "register",
]


def check(component: Any, role: str = "mixer", seed: int = 0) -> float:
    """Compares a component under masks, on slices and in the plain network: `kspike.supernet.checking.check`.

    Raises:
        ValueError: what differs, and what to do.
    """
    return importlib.import_module("kspike.supernet.checking").check(component, role, seed)
