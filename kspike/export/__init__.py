"""Files for other runtimes, their spikes compared with the network's before they are called done."""

from typing import TYPE_CHECKING

from kspike._lazy import attributes

if TYPE_CHECKING:
    from kspike.export.quantization import Quantization
    from kspike.export.report import Comparison, NeuronDifference, Report
    from kspike.export.saving import save
    from kspike.export.table import formats

#: Imported on first use: a report needs no backend, and writing one needs it.
_LAZY = {
    "Comparison": "report",
    "NeuronDifference": "report",
    "Quantization": "quantization",
    "Report": "report",
    "formats": "table",
    "save": "saving",
}

__all__ = ["Comparison", "NeuronDifference", "Quantization", "Report", "formats", "save"]

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__)
