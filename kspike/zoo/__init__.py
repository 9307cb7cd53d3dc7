"""Published models: by name or folder, checked by hash, the same on every backend.

Names are resolved when first used: listing and showing entries needs no Keras.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kspike.zoo.cards import card
    from kspike.zoo.listing import ModelTable, list_models
    from kspike.zoo.loading import load
    from kspike.zoo.preprocessing import decode_predictions, preprocess
    from kspike.zoo.publishing import publish
    from kspike.zoo.verifying import VerificationReport, verify

__all__ = [
    "ModelTable",
    "VerificationReport",
    "card",
    "decode_predictions",
    "list_models",
    "load",
    "preprocess",
    "publish",
    "verify",
]

#: Public names and the module that holds each.
_HOMES = {
    "ModelTable": "listing",
    "VerificationReport": "verifying",
    "card": "cards",
    "decode_predictions": "preprocessing",
    "list_models": "listing",
    "load": "loading",
    "preprocess": "preprocessing",
    "publish": "publishing",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    home = f"{__name__}.{_HOMES.get(name, name)}"
    if name not in _HOMES and (name.startswith("_") or importlib.util.find_spec(home) is None):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(__all__)}")
    module = importlib.import_module(home)
    value = getattr(module, name) if name in _HOMES else module  # the modules, too, are there as if all were imported
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
