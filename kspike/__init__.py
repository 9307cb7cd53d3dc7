"""Spiking transformers for Keras 3: layers, architecture search, energy, and a zoo of found models.

Importing kspike makes its layers and models known to Keras, so that a `.keras` file which holds them loads; everything
else is imported when first used. Nothing of Keras' settings is changed, and only the backend Keras runs on is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kspike import _start

if TYPE_CHECKING:
    from kspike import (
        convert,
        cost,
        data,
        layers,
        metrics,
        models,
        ops,
        regularizers,
        space,
        supernet,
        surrogate,
        training,
        tuners,
        zoo,
    )
    from kspike.config import SpikformerConfig
    from kspike.models import Spikformer
    from kspike.supernet import Supernet

__version__ = "0.1.0"

__all__ = [
    "Spikformer",
    "SpikformerConfig",
    "Supernet",
    "__version__",
    "convert",
    "cost",
    "data",
    "layers",
    "metrics",
    "models",
    "ops",
    "regularizers",
    "space",
    "supernet",
    "surrogate",
    "training",
    "tuners",
    "zoo",
]

#: Public classes and the module that holds each; every other public name is a module of its own.
_CLASSES = {"Spikformer": "models", "SpikformerConfig": "config", "Supernet": "supernet"}
#: Why there is no backend. The command loads one where it needs it, and no file before that.
_problem = None if _start.is_command() else _start.register()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kspike' has no attribute {name!r}; public names: {', '.join(__all__)}")
    try:
        module = importlib.import_module(f"kspike.{_CLASSES.get(name, name)}")
    except (ImportError, ValueError) as error:
        said = _problem or _start.explained(error)
        if said is error:
            raise
        raise said from None  # it says what to do; Keras' traceback in front of it would not
    value = getattr(module, name) if name in _CLASSES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
