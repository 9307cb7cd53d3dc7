"""Models: a config becomes a keras.Model."""

from kspike.models.anytime import anytime
from kspike.models.spikformer import Spikformer

__all__ = ["Spikformer", "anytime"]
