"""Spiking layers over `(batch, time, ..., channels)`: nothing to reset, time is an axis of the input."""

from kspike.layers.block import SpikformerBlock
from kspike.layers.coding import DirectEncoding, RateDecoding
from kspike.layers.component import Component
from kspike.layers.lif import LIF, PLIF
from kspike.layers.mlp import SpikingMLP
from kspike.layers.neuron import Neuron
from kspike.layers.norm import BatchNorm
from kspike.layers.sps import SPS
from kspike.layers.ssa import SSA

__all__ = [
    "LIF",
    "PLIF",
    "SPS",
    "SSA",
    "BatchNorm",
    "Component",
    "DirectEncoding",
    "RateDecoding",
    "Neuron",
    "SpikformerBlock",
    "SpikingMLP",
]
