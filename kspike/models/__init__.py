"""Models: a config becomes a keras.Model."""

from kspike.models.ann_twin import ann_twin
from kspike.models.anytime import anytime
from kspike.models.early_exit import EarlyExit, early_exit
from kspike.models.exit_curve import Exit, ExitCurve, exit_curve
from kspike.models.spikformer import Spikformer

__all__ = ["EarlyExit", "Exit", "ExitCurve", "Spikformer", "ann_twin", "anytime", "early_exit", "exit_curve"]
