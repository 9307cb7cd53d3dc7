"""Weights of other code bases, in Keras: state dicts of the official Spikformer code and of SpikingJelly."""

from kspike.convert.spikformer import from_spikformer

__all__ = ["from_spikformer"]
