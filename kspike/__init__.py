"""Spiking transformers for Keras 3: layers, architecture search, energy, and a zoo of found models.

Importing kspike makes its layers and models known to Keras, so that a `.keras` file which holds them loads; everything
else is imported when first used. Nothing of Keras' settings is changed, and only the backend Keras runs on is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

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
#: What a saved model may name. About 0.03 s once Keras is loaded, measured on all three backends.
_SERIALISABLE = ("kspike.layers", "kspike.models", "kspike.supernet", "kspike.regularizers", "kspike.metrics")
_BACKENDS = ("torch", "jax", "tensorflow")

_problem: ImportError | None = None


def _explain(error: ImportError) -> ImportError:
    """Turns Keras' bare "No module named 'tensorflow'" into what the user has to do."""
    missing = (getattr(error, "name", None) or "").split(".")[0]
    if missing not in _BACKENDS:
        return error
    found = [name for name in _BACKENDS if importlib.util.find_spec(name)]
    todo = "install one, as by pip install 'kspike[torch]', and set the environment variable KERAS_BACKEND to its name"
    if found:
        todo = f"set the environment variable KERAS_BACKEND={found[0]} (installed here: {', '.join(found)})"
    return ImportError(f"Keras is set to the backend {missing!r}, which is not installed; {todo}.", name=missing)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kspike' has no attribute {name!r}; public names: {', '.join(__all__)}")
    try:
        module = importlib.import_module(f"kspike.{_CLASSES.get(name, name)}")
    except ImportError as error:
        raise _explain(_problem or error) from error
    value = getattr(module, name) if name in _CLASSES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


# Keras looks a class of a saved model up by its registered name, and imports no module on a file's word: the classes
# must be there already. Without a usable backend the import still succeeds (a config needs none) and the reason is
# given when a model is first asked for.
try:
    for _module in _SERIALISABLE:
        importlib.import_module(_module)
except ImportError as _error:
    _problem = _error
