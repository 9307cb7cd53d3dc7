"""What a network costs: parameters and operations in closed form, synaptic operations and energy as measured."""

from typing import TYPE_CHECKING, Any

from kspike.cost.analytic.ann import AnnTwin, ann_twin
from kspike.cost.analytic.counting import COUNTINGS, flops, parameters
from kspike.cost.analytic.rows import Row
from kspike.cost.analytic.sizes import Sizes
from kspike.cost.analytic.table import table
from kspike.cost.conventions import published  # whose conventions register themselves
from kspike.cost.conventions.activity import Activity, Around, Attention, Geometry
from kspike.cost.conventions.base import Convention, conventions, register

if TYPE_CHECKING:
    from kspike.cost.measured.measure import measure
    from kspike.cost.neurobench import neurobench
    from kspike.cost.report.report import EnergyReport
    from kspike.cost.report.rows import EnergyRow, NeuronRow

#: These need Keras or its models; the closed forms above do not, and come without.
_LATE = {
    "measure": "measuring",
    "neurobench": "neurobench",
    "EnergyReport": "report",
    "EnergyRow": "rows",
    "NeuronRow": "rows",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


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
    "neurobench",
    "parameters",
    "register",
    "table",
]
