"""One set of weights for every architecture of a space: the weight-entangled supernet."""

from kspike.supernet.supernet import Supernet

__all__ = ["Supernet"]
