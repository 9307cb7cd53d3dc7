"""Turns the folder of a training run back into its model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kspike._files import expanded
from kspike.config import SpikformerConfig
from kspike.training import records

if TYPE_CHECKING:
    from kspike.models import Spikformer


def load(directory: str | os.PathLike[str]) -> Spikformer:
    """Gives the Spikformer of a run in `directory`, with the weights of its newest complete epoch; not compiled.

    Raises:
        ValueError: no run, one that has kept no epoch yet, one of another kind of model, or a damaged file.
    """
    from kspike.layers._state import restore
    from kspike.layers.initializers import undrawn
    from kspike.models import Spikformer

    folder = expanded(directory)
    settings = records.read_settings(folder)
    if not isinstance(settings.get("model"), dict):
        raise ValueError(f"The run in {folder} trained a {settings.get('model')}; only a Spikformer can be made of it.")
    with undrawn():
        model = Spikformer(SpikformerConfig.from_dict(settings["model"]))
    restore(model, records.read_layers(folder))
    records.restore_weights(folder, model)
    return model
