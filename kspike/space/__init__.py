"""Search spaces and genomes: which networks a search may choose from, as data. Imports no Keras."""

from kspike.space.gene import Gene, Slot
from kspike.space.genome import Genome
from kspike.space.search_space import SearchSpace

__all__ = ["Gene", "Genome", "SearchSpace", "Slot"]
