"""Weights of other code bases, in Keras, and back: the official Spikformer code, SpikingJelly, and NIR."""

from kspike.convert.nir import from_nir
from kspike.convert.spikformer import from_spikformer
from kspike.convert.to_file import to_safetensors

__all__ = ["from_nir", "from_spikformer", "to_safetensors"]
