"""What a network costs: parameters and operations in closed form, synaptic operations and energy as measured."""

from typing import TYPE_CHECKING

from kspike._lazy import attributes
from kspike.cost.analytic.ann import AnnTwin, ann_twin
from kspike.cost.analytic.counting import COUNTINGS, flops, parameters
from kspike.cost.analytic.memory import memory_mb
from kspike.cost.analytic.rows import Row
from kspike.cost.analytic.sizes import Sizes
from kspike.cost.analytic.table import table
from kspike.cost.conventions.activity import Activity, Around, Attention, Geometry
from kspike.cost.conventions.base import Convention, conventions, register

if TYPE_CHECKING:
    from kspike.cost.measured.measure import measure
    from kspike.cost.neurobench import neurobench
    from kspike.cost.report.report import EnergyReport
    from kspike.cost.report.rows import EnergyRow, NeuronRow

#: These need Keras or its models, so they are imported on first use; the closed forms above need neither.
_LAZY = {
    "EnergyReport": "report.report",
    "EnergyRow": "report.rows",
    "NeuronRow": "report.rows",
    "measure": "measured.measure",
    "neurobench": "neurobench",
}

__all__ = [
    "COUNTINGS",
    "Activity",
    "AnnTwin",
    "Around",
    "Attention",
    "Convention",
    "EnergyReport",
    "EnergyRow",
    "Geometry",
    "NeuronRow",
    "Row",
    "Sizes",
    "ann_twin",
    "conventions",
    "flops",
    "measure",
    "memory_mb",
    "neurobench",
    "parameters",
    "register",
    "table",
]

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__)
