"""Spiking transformers for Keras 3: layers, architecture search, energy, and a zoo of found models.

Importing kspike makes its layers and models known to Keras, so that a `.keras` file which holds them loads; everything
else is imported when first used. Nothing of Keras' settings is changed, and only the backend Keras runs on is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike import _lazy, _start

if TYPE_CHECKING:
    from kspike import (
        components,
        convert,
        cost,
        data,
        events,
        export,
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
    from kspike.export.quantizing import quantize
    from kspike.models import Spikformer
    from kspike.supernet import Supernet

__version__ = "0.1.0"

__all__ = [
    "Spikformer",
    "SpikformerConfig",
    "Supernet",
    "__version__",
    "components",
    "convert",
    "cost",
    "data",
    "events",
    "export",
    "layers",
    "metrics",
    "models",
    "ops",
    "quantize",
    "regularizers",
    "space",
    "supernet",
    "surrogate",
    "training",
    "tuners",
    "zoo",
]

#: Public names and the module that holds each; "" where the name is a module's own.
_LAZY = {"Spikformer": "models", "SpikformerConfig": "config", "Supernet": "supernet", "quantize": "export.quantizing"}
#: Why there is no backend, or None. The command line imports one only when a command needs it.
_problem = None if _start.is_command() else _start.register()

__getattr__, __dir__ = _lazy.attributes(
    __name__,
    {name: _LAZY.get(name, "") for name in __all__ if name != "__version__"},
    __all__,
    explain=lambda error: _problem or _start.explained(error),
)
