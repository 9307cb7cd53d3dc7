"""Weights of other code bases, in Keras, and back: state dicts of the official Spikformer code and of SpikingJelly."""

from kspike.convert.spikformer import from_spikformer
from kspike.convert.to_file import to_safetensors

__all__ = ["from_spikformer", "to_safetensors"]
