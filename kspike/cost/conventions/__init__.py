"""How a measured product is charged: each published way of counting by its name."""

from kspike.cost.conventions import published as published  # whose conventions register themselves
