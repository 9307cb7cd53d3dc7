"""Shortlist: measures training-free scores of a few networks, each recorded in the journal, and orders them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np

from kspike import training
from kspike.config import SpikformerConfig
from kspike.models import Spikformer
from kspike.models.image_model import Shaped
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import Constraints
from kspike.tuners.engine.constraints import COMPARED
from kspike.tuners.engine.of_network import NoNumber, same_as_before
from kspike.tuners.engine.ranking.scalarization import Scalarization
from kspike.tuners.evolution.supernet import seeded
from kspike.tuners.latency import Latency
from kspike.tuners.project import data as project_data
from kspike.tuners.project.project import MISTAKES
from kspike.tuners.project.text import genes
from kspike.tuners.scores import Score, Value, evaluate
from kspike.tuners.scores.evaluating import batch_of
from kspike.tuners.scores.functions import FunctionScore


class Shortlist:
    """Measures scores of genomes over initialisations, on one batch of images; without images, those of the config.

    Args:
        scores: what to measure.
        size: how many networks.
        seeds: how many initialisations.
        images: how many images, one batch.
        seed: the first initialisation's.

    Attributes:
        latency: measures how long an image takes, where that is asked for; None where not.
    """

    def __init__(self, scores: list[Score], size: int, seeds: int, images: int, seed: int) -> None:
        self._all, self.size, self.seeds, self.images, self.seed = scores, size, seeds, images, seed
        self.latency: Latency | None = None
        self._batch: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def scores(self) -> list[Score]:
        """What is measured: without images, what follows from the config."""
        return self._all if self._batch is not None else [score for score in self._all if score.counted]

    def describe(self) -> dict[str, Any]:
        """Settings as plain JSON values."""
        return {"shortlist": self.size, "seeds": self.seeds, "images": self.images}

    def open(self, data: Any, config: Shaped) -> dict[str, Any]:
        """Reads the batch; returns the number of images (fewer where the data has no more) and a hash of them.

        Raises:
            ValueError: the data cannot be used.
        """
        self._batch = batch_of(data, config, self.images)
        return {"images": len(self._batch[1]), "data": project_data.describe([self._batch])}

    def check_functions(self, records: Sequence[Mapping[str, Any]], space: SearchSpace, where: Any) -> None:
        """Compares what plain functions say with what a journal has of them, of the first `COMPARED` networks.

        Raises:
            ValueError: a function gives another number than before.
        """
        known = (record for record in records if record["type"] == "measured")
        functions = [score for score in self._all if isinstance(score, FunctionScore)]
        for record in itertools.islice(known if functions else (), COMPARED):
            for score in functions:
                if score.name in record["row"]:
                    config = space.decode(record["indices"]).to_config()
                    same_as_before(score.function, config, record["row"][score.name], where)

    def measure(
        self,
        genomes: Sequence[Genome],
        records: Sequence[Mapping[str, Any]],
        write: Callable[[dict[str, Any]], None],
        say: Callable[[str], None],
    ) -> tuple[list[dict[str, Any]], float]:
        """Measures the networks that the journal does not hold yet, one after another.

        A network that cannot be measured (it raises, memory runs out) is rejected, as a trial of an evolution fails.

        Args:
            genomes: what to measure.
            records: the journal: what was measured before is taken from it.
            write: takes a record.
            say: takes a line of progress.

        Returns:
            One row a genome (means over the seeds, `_std` beside them, "rejected" with the reason), and the seconds
            that all of them took, in earlier processes too.

        Raises:
            keras_tuner.errors.FatalError: a mistake in code, ours or a score's, not a bad network.
            kspike.tuners.engine.of_network.NoNumber: a mistake in a plain function.
        """
        known = {tuple(r["indices"]): r for r in records if r["type"] == "measured"}
        rows, spent = [], 0.0
        for number, genome in enumerate(genomes, start=1):
            record = known.get(genome.indices)
            if record is None:
                start = time.perf_counter()
                row = self._row(genome)
                seconds = round(time.perf_counter() - start, 3)
                record = {"type": "measured", "indices": list(genome.indices), "row": row, "seconds": seconds}
                write(record)
                shown = row.get("rejected") or ", ".join(f"{s.name} {row[s.name]:.4g}" for s in self.scores)
                left = seconds * (len(genomes) - number)
                say(
                    f"shortlist {number}/{len(genomes)}: {shown} ({seconds:.1f} s, about {left:.0f} s left); "
                    f"{genes(genome)}"
                )
            rows.append(dict(record["row"]))
            spent += record["seconds"]
        return rows, spent

    def _row(self, genome: Genome) -> dict[str, Any]:
        try:
            values = evaluate(
                genome, self._batch, self.scores, seeds=self.seeds, images=self.images, first_seed=self.seed
            )
            timed = self._timed(genome.to_config())
        except (keras_tuner.errors.FatalError, NoNumber):
            raise
        except MISTAKES as error:
            raise keras_tuner.errors.FatalError(
                f"The shortlist met a mistake in code, not a bad network: {type(error).__name__}: {error} ({genome})"
            ) from error
        except Exception as error:
            lines = str(error).strip().splitlines() or ["no message"]
            return {"rejected": f"failed: {type(error).__name__}: {lines[0]}"}
        row = as_row(values, self.seed, [score.name for score in self.scores if score.counted])
        missing = [score.name for score in self.scores if score.name not in values]
        if missing:
            raise keras_tuner.errors.FatalError(f"Scores gave no value under their own names: {', '.join(missing)}.")
        return row | timed

    def _timed(self, config: SpikformerConfig) -> dict[str, float]:
        """The latency of an untrained network, with the statistics of the batch: with its first ones it is silent."""
        if self.latency is None or self._batch is None:
            return {}

        def make() -> Spikformer:
            with seeded(self.seed):
                return training.calibrate(Spikformer(config), [self._batch], batches=1)

        return {"latency_ms": self.latency(config, make, self._batch[0][:1])}


def as_row(values: Mapping[str, Value], first_seed: int, counted: Sequence[str] = ()) -> dict[str, Any]:
    """Means and spreads as plain JSON values; "rejected" where the network is silent, or a score is not finite.

    `counted` are scores that follow from the config, whatever the initialisation.
    """
    row: dict[str, Any] = {}
    silent = values.get("silent")
    for name, value in values.items():
        if name == "silent":
            continue
        odd = [number for number in value.values if not math.isfinite(number)]
        if odd:
            row["rejected"] = f"{name} is not finite" if name in counted else f"{name} is {odd[0]:g} at initialisation"
            continue
        row[name] = value.mean
        if name != "silent_layers":
            row[f"{name}_std"] = value.std
    if silent is not None and any(silent.values):
        seeds = [str(first_seed + i) for i, found in enumerate(silent.values) if found]
        row["rejected"] = (
            f"silent at initialisation (seed {', '.join(seeds)}): a stage of the stem, or a whole block, never fires"
        )
    return row


def order_rows(
    rows: Sequence[dict[str, Any]],
    score: Score,
    second: Score | None,
    scalarization: Scalarization,
    constraints: Constraints,
) -> list[int]:
    """Indices of the rows that are not rejected, best first; writes fitness, place and "rejected" into the rows.

    Args:
        rows: as `Shortlist.measure` gives them, the counted score added; in the order of the exact ranking.
        score: what ranks.
        second: a measured score that ranks rows of equal fitness, or None.
        scalarization: of score and energy.
        constraints: only the bounds on energy and latency are used.

    Raises:
        ValueError: no row is left.
    """
    for row in rows:
        if "energy" in row:
            row["energy_mj"], row["energy_mj_std"] = row.pop("energy"), row.pop("energy_std")
        for name in ("energy_mj", "latency_ms"):
            if name in row and "rejected" not in row and constraints.violation({name: row[name]}) > 0:
                row["rejected"] = f"{name} is {row[name]:.4g}, outside {list(dict(constraints.bounds)[name])}"
    kept = [i for i, row in enumerate(rows) if "rejected" not in row]
    if not kept:
        raise ValueError(
            f"No network of the shortlist of {len(rows)} is left; the first: {rows[0]['rejected']}. Give a longer "
            "shortlist, other constraints, or a space with lower v_threshold and tau."
        )
    turned = lambda s, i: (1 if s.direction == "max" else -1) * rows[i][s.metric]
    energies = [rows[i]["energy_mj"] for i in kept] if "energy_mj" in rows[kept[0]] else None
    fitness = dict(zip(kept, scalarization([turned(score, i) for i in kept], energies).tolist(), strict=True))
    order = sorted(kept, key=lambda i: (-fitness[i], -turned(second, i) if second else 0.0, i))
    for place, i in enumerate(order):
        rows[i] |= {"fitness": float(fitness[i]), "place": float(place)}
    return order
