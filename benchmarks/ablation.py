"""What each part of the search is worth, at equal budget: `python benchmarks/ablation.py --runs runs/ablation`.

CIFAR-10 averaged to 16x16, space `kspike_c10_16`, one supernet a variant, then one evolution of equal length over it:

- whole: as it is;
- neurons frozen: tau and thresholds are no genes, but fixed at Spikformer's;
- plif: tau is learned, and no gene (thresholds stay genes);
- NSGA-II: the whole space's supernet, parents chosen by the front instead of the score;
- uncalibrated: the whole space's supernet, random networks judged by the statistics that training left, beside the same
  networks calibrated.

A row a variant and seed goes into the CSV: finalist's accuracy on the half of validation that picks, its energy, the
best AEB, hypervolume. Projects are kept in --runs: killed, the same command goes on. AEB and hypervolume refer to the
largest network of the variant's own space, so compare accuracy and energy across supernets, and the others within.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read
from table import RECIPE, load, said_versions

from kspike.space import SearchSpace
from kspike.tuners import EvolutionSearch
from kspike.tuners.tuner_supernet import undisturbed

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def spaces() -> dict[str, SearchSpace]:
    """The space of each supernet."""
    whole = SearchSpace.load("kspike_c10_16")
    genes = whole.to_dict()["genes"]
    frozen = {name: value for name, value in genes.items() if name not in ("tau", "v_threshold")}
    learned = {name: value for name, value in genes.items() if name != "tau"}
    return {
        "whole": whole,
        "neurons frozen": SearchSpace(whole.base, name="frozen", **frozen),
        "plif": SearchSpace(whole.base.replace(neuron="plif"), name="plif", **learned),
    }


def search(space: SearchSpace, variant: str, seed: int, selection: str, data: Any, options: Any) -> dict[str, Any]:
    """One project: supernet, evolution, the finalist."""
    name = f"{variant.replace(' ', '_')}_{seed}"
    tuner = EvolutionSearch(
        space, generations=options.generations, population_size=options.population, parents=options.parents,
        selection=selection, seed=seed, directory=options.runs, project_name=name,
    )  # fmt: skip
    if selection == "nsga2":  # the whole space's supernet serves both, so both have the same budget
        share(options.runs / f"whole_{seed}", Path(tuner.project_dir), tuner)
    tuner.train_supernet(data.train, validation_data=data.validation, epochs=options.epochs)
    tuner.search(data.train, validation_data=data.validation)
    best, last = tuner.best_candidates(1)[0], tuner.history()[-1]
    row = {"variant": variant, "seed": seed, "epochs": options.epochs, "trials": len(tuner.state.archive)}
    picked = tuner._picked()[0]["accuracy"]
    row |= {"accuracy": round(picked, 5), "energy_mj": best.energy_mj, "parameters": best.parameters}
    row |= {"best_aeb": last["best"], "hypervolume": last["hypervolume"], "uncalibrated": ""}
    if variant == "whole":
        row["uncalibrated"] = uncalibrated(tuner, data, options.networks)
    return row | {"versions": said_versions()}


def share(source: Path, target: Path, tuner: EvolutionSearch) -> None:
    """Gives a project the supernet of another."""
    import os

    from kspike.tuners.engine import Journal
    from kspike.tuners.tuner_supernet import WEIGHTS

    if any(record["type"] == "supernet" for record in Journal(target / "journal.jsonl").read()):
        return
    record = next(r for r in Journal(source / "journal.jsonl").read() if r["type"] == "supernet")
    if not (target / WEIGHTS).exists():
        os.link(source / WEIGHTS, target / WEIGHTS)
    tuner.state.journal.append(record)


def uncalibrated(tuner: EvolutionSearch, data: Any, networks: int) -> str:
    """Mean accuracy of random networks calibrated, and by the statistics that training left."""
    evaluator, supernet = tuner._evaluator, tuner.supernet
    found: tuple[list[float], list[float]] = ([], [])
    for seed in range(networks):
        genome = tuner.space.sample(seed=seed)
        with undisturbed(supernet):
            supernet.activate(genome)
            found[0].append(evaluator.accuracy(evaluator.scoring)["accuracy"])
            evaluator.prepare(genome)
            found[1].append(evaluator.accuracy(evaluator.scoring)["accuracy"])
    return f"{networks} networks: {np.mean(found[0]):.4f} without, {np.mean(found[1]):.4f} with"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation_c10_16.csv")
    parser.add_argument("--epochs", type=int, default=30, help="of each supernet")
    parser.add_argument("--generations", type=int, default=9)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--parents", type=int, default=10)
    parser.add_argument("--networks", type=int, default=20, help="random ones for what calibration is worth")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = load(RECIPE)
    known = spaces()
    plan = [(name, space, "score") for name, space in known.items()] + [("NSGA-II", known["whole"], "nsga2")]
    done = {(row["variant"], int(row["seed"])) for row in read(options.out)}
    for seed in range(options.seeds):
        for variant, space, selection in plan:
            if (variant, seed) not in done:
                append(options.out, search(space, variant, seed, selection, data, options))


if __name__ == "__main__":
    main()
