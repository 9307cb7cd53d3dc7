"""Published models: by name or folder, checked by hash, the same on every backend."""

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
