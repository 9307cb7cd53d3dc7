"""Components of spiking transformers: stems, mixers, MLPs and neurons, each one class that every part of kspike reads.

`register` makes a class known; then configs, search spaces, costs, zoo entries and the command line take its name.
`kspike.components.check` compares what a supernet makes of it with the plain network.
"""

from kspike.components import parts
from kspike.components.base import BLOCK_KINDS, KINDS, MLP, ROLES, Component, Mixer, Neuron, Stem
from kspike.components.registry import describe, get, names, register

__all__ = [
    "BLOCK_KINDS",
    "KINDS",
    "MLP",
    "ROLES",
    "Component",
    "Mixer",
    "Neuron",
    "Stem",
    "describe",
    "get",
    "names",
    "parts",
    "register",
]
