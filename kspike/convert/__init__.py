"""Weights of other code bases, in Keras: state dicts of the published spiking transformers and of SpikingJelly."""

from kspike.convert.published import Conversion, from_checkpoint
from kspike.convert.spikformer import from_spikformer

__all__ = ["Conversion", "from_checkpoint", "from_spikformer"]
