"""Weights of other code bases, in Keras, and back: published spiking transformers, SpikingJelly, and NIR."""

from kspike.convert.nir import from_nir
from kspike.convert.published import Conversion, from_checkpoint
from kspike.convert.spikformer import from_spikformer
from kspike.convert.to_file import to_safetensors

__all__ = ["Conversion", "from_checkpoint", "from_nir", "from_spikformer", "to_safetensors"]
