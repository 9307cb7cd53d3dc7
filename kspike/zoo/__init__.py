"""Published models: by name, folder, zip or address, checked by hash, the same on every backend.

Names are resolved when first used: listing and showing entries needs no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike._lazy import attributes

if TYPE_CHECKING:
    from kspike.zoo.cards import card
    from kspike.zoo.listing import ModelTable, list_models
    from kspike.zoo.loading import load
    from kspike.zoo.predicting import Predictor
    from kspike.zoo.preprocessing import decode_predictions, preprocess
    from kspike.zoo.publishing import publish
    from kspike.zoo.sharing import export_zip, import_zip
    from kspike.zoo.verifying import VerificationReport, verify
    from kspike.zoo.verifying_all import VerifiedZoo, verify_all

__all__ = [
    "ModelTable",
    "Predictor",
    "VerificationReport",
    "VerifiedZoo",
    "card",
    "decode_predictions",
    "export_zip",
    "import_zip",
    "list_models",
    "load",
    "preprocess",
    "publish",
    "verify",
    "verify_all",
]

#: Public names and the module that holds each.
_LAZY = {
    "ModelTable": "listing",
    "Predictor": "predicting",
    "VerificationReport": "verifying",
    "VerifiedZoo": "verifying_all",
    "card": "cards",
    "decode_predictions": "preprocessing",
    "export_zip": "sharing",
    "import_zip": "sharing",
    "list_models": "listing",
    "load": "loading",
    "preprocess": "preprocessing",
    "publish": "publishing",
    "verify": "verifying",
    "verify_all": "verifying_all",
}

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__, modules=True)
