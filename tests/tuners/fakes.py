"""Searches whose evaluation is arithmetic: everything of the tuners but what is built or trained, in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

import kspike
from kspike import cost
from kspike.models import Spikformer
from kspike.tuners import EvolutionSearch, ZeroCostSearch
from kspike.tuners.engine.constraints import counted
from kspike.tuners.scores import Value

SPACE = kspike.space.SearchSpace(
    kspike.SpikformerConfig(input_shape=(8, 8, 1), num_classes=4, stem_pool=(False, False, True, True), num_heads=2),
    name="tiny",
    embed_dim=(8, 16),
    depth=(1, 2),
    timesteps=(1, 2),
    num_heads=(1, 2),
    mlp_ratio=(1, 2),
    v_threshold=(0.6, 1.0),
)


def arrays(n: int = 48, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images that a network can tell apart: a bright row a class, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.normal(size=(n, 8, 8, 1)).astype("float32") * 0.3
    images[np.arange(n), labels * 2] += 2.0
    return images, labels.astype("int32")


def measure(genome: Any) -> dict[str, float]:
    """A deterministic stand-in for accuracy and energy."""
    config = genome.to_config()
    noise = np.random.default_rng(list(np.array(genome.expressed) + 1)).random()
    accuracy = 0.3 + config.embed_dim / 40 + 0.1 * noise
    return {
        "accuracy": accuracy,
        "loss": 1.0 - accuracy,
        "energy_mj": config.embed_dim * config.timesteps * config.depth / 1e4,
        "silent_layers": 0.0,
        **counted(config),
    }


class Evaluator:
    """Takes the place of kspike.tuners.evolution.evaluator.Evaluator."""

    def __call__(self, genome: Any) -> dict[str, float]:
        return measure(genome)

    def extract(self, genome: Any, data: Any) -> tuple[Spikformer, dict[str, float]]:
        return Spikformer(genome.to_config()), {"accuracy": measure(genome)["accuracy"] - 0.01, "loss": 1.0}


class FakeSearch(EvolutionSearch):
    """An EvolutionSearch with nothing to train."""

    def __init__(self, folder: Any, evaluator: Any = None, **options: Any) -> None:
        settings = {"space": SPACE, "generations": 2, "population_size": 5, "parents": 3, "finalists": 1, "verbose": 0}
        super().__init__(directory=folder, project_name="fake", **(settings | options))
        self.fake = evaluator or Evaluator()

    def _make_evaluator(self, train: Any, scoring: Any) -> Any:
        return self.fake

    def run(self) -> FakeSearch:
        """Searches on made-up data, as if a supernet had been trained."""
        if self._record("supernet") is None:
            if self._is_worker():
                self._wait_for("supernet")
            else:
                with self._held():
                    self._write({"type": "supernet", "sha256": "0" * 64, "settings": {"epochs": 0}, "history": []})
        self.search(arrays(), arrays(24, seed=1))
        return self


def essence(tuner: Any) -> list:
    """What a search found, without what time it took."""
    return [(c.number, c.genome.indices, c.score, dict(c.metrics)) for c in tuner.state.archive]


def energy_of(genome: Any) -> float:
    """Widths cost more than they bring; thresholds of 0.6 fire more."""
    config = genome.to_config()
    return cost.flops(config) ** 1.5 / 1e9 * (2.0 - config.v_threshold["fc1"][0])


class Untrained:
    """Takes the place of kspike.tuners.scores.evaluate: counts, and may be interrupted, raise, or find silence."""

    def __init__(self, stop=None, silent=lambda genome: False, raises=None, infinite=()):
        self.calls, self.stop, self.silent = [], stop, silent
        self.raises, self.infinite = raises or {}, infinite

    def __call__(self, genome, data, scores, seeds, images, first_seed):
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        self.calls.append(genome)
        if len(self.calls) in self.raises:
            raise self.raises[len(self.calls)]
        energy = float("nan") if len(self.calls) in self.infinite else energy_of(genome)
        out = {
            "energy": Value("energy", tuple(energy * (1 + 0.01 * s) for s in range(seeds))),
            "silent": Value("silent", (0.0, *[float(self.silent(genome))] * (seeds - 1))),
            "silent_layers": Value("silent_layers", (1.0,) * seeds),
        }
        for score in scores:
            if score.name == "naswot":
                out["naswot"] = Value("naswot", (100.0 - config_sum(genome),) * seeds)
        return out


def config_sum(genome: Any) -> float:
    """A number that no cost decides."""
    return float(sum(genome.expressed))


def zero_cost_search(folder: Any, **options: Any) -> ZeroCostSearch:
    """A ZeroCostSearch of the small space; put an `Untrained` in place of `shortlist.evaluate`."""
    settings = {"space": SPACE, "max_trials": 6, "shortlist": 20, "seeds": 2, "verbose": 0, "project_name": "free"}
    return ZeroCostSearch(directory=folder, **(settings | options))
