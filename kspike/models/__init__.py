"""Models: a config becomes a keras.Model."""

from kspike.models.ann_twin import ann_twin
from kspike.models.anytime import anytime
from kspike.models.early_exit import EarlyExit, early_exit
from kspike.models.exit_curve import Exit, ExitCurve, exit_curve
from kspike.models.named import ArchitectureTable, architectures, create
from kspike.models.spikformer import Spikformer
from kspike.models.streaming import Stream, StreamState, stream
from kspike.models.unrolled import unroll

__all__ = [
    "ArchitectureTable",
    "EarlyExit",
    "Exit",
    "ExitCurve",
    "Spikformer",
    "Stream",
    "StreamState",
    "ann_twin",
    "anytime",
    "architectures",
    "create",
    "early_exit",
    "exit_curve",
    "stream",
    "unroll",
]
