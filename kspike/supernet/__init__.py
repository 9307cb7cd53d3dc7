"""One set of weights for every architecture of a space: the weight-entangled supernet."""

from kspike.supernet.sampling import Sandwich, SinglePath
from kspike.supernet.supernet import Supernet
from kspike.supernet.validation import SubnetValidation

__all__ = ["Sandwich", "SinglePath", "SubnetValidation", "Supernet"]
