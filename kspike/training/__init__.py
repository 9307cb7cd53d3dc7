"""Trains a model by a recipe (a JSON file), with a checkpoint every epoch, so that a killed run resumes."""

from kspike.training.calibrating import calibrate
from kspike.training.firing import FiringRates
from kspike.training.loading import load
from kspike.training.loop import train
from kspike.training.optimizer import make_optimizer
from kspike.training.recipe import Recipe
from kspike.training.records import read_data, read_history
from kspike.training.teaching import teacher_logits

__all__ = [
    "FiringRates",
    "Recipe",
    "calibrate",
    "load",
    "make_optimizer",
    "read_data",
    "read_history",
    "teacher_logits",
    "train",
]
