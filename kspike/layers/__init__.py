"""Spiking layers over `(batch, time, ..., channels)`: nothing to reset, time is an axis of the input."""

from kspike.layers.block import SpikformerBlock
from kspike.layers.coding import DirectEncoding, RateDecoding
from kspike.layers.component import Component
from kspike.layers.lif import LIF, PLIF
from kspike.layers.mlp import SpikingMLP
from kspike.layers.neuron import Neuron
from kspike.layers.norm import BatchNorm
from kspike.layers.pools import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from kspike.layers.products import Conv2D, Dense, DepthwiseConv2D
from kspike.layers.sps import SPS
from kspike.layers.ssa import SSA

__all__ = [
    "LIF",
    "PLIF",
    "SPS",
    "SSA",
    "AveragePool2D",
    "BatchNorm",
    "Component",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "DirectEncoding",
    "GlobalAveragePool2D",
    "MaxPool2D",
    "RateDecoding",
    "Neuron",
    "SpikformerBlock",
    "SpikingMLP",
]
