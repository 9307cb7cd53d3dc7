"""Models: a config becomes a keras.Model."""

from kspike.models.spikformer import Spikformer

__all__ = ["Spikformer"]
