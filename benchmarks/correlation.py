"""How well inherited accuracy ranks networks: `python benchmarks/correlation.py`, on what benchmarks/table.py grew.

Joins docs/results/table_c10_16.csv (networks trained alone, two seeds) with the rows "alone" of inherited_c10_16.csv.
Prints Kendall's tau-b and Spearman's rho of inherited against stand-alone accuracy (mean of the seeds) with 95 %
intervals (bootstrap over architectures), and the ceiling: one seed of stand-alone training against the other. Beside
them what needs no supernet at all: energy, parameters and operations as if they were scores. Seconds; nothing is
trained.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from correlations import inconclusive, interval, kendall, spearman
from rows import read

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alone", type=Path, default=RESULTS / "table_c10_16.csv")
    parser.add_argument("--inherited", type=Path, default=RESULTS / "inherited_c10_16.csv")
    options = parser.parse_args()
    seeds: dict[str, dict[int, dict[str, str]]] = defaultdict(dict)
    for row in read(options.alone):
        seeds[row["genome"]][int(row["seed"])] = row
    pairs = {genome: rows for genome, rows in seeds.items() if len(rows) >= 2}
    inherited = {row["genome"]: row for row in read(options.inherited) if row["part"] == "alone"}
    if len(pairs) < 3:
        raise SystemExit(f"error: {options.alone} holds {len(pairs)} architectures with both seeds; 3 are needed.")
    first, second = (np.array([float(rows[s]["accuracy"]) for rows in pairs.values()]) for s in (0, 1))
    comparisons = [("one seed alone against the other (the ceiling)", first, second)]
    mean = (first + second) / 2
    for name in ("energy_mj", "parameters", "flops"):
        comparisons.append((f"{name} against alone", np.array([float(r[0][name]) for r in pairs.values()]), mean))
    both = [g for g in pairs if g in inherited]
    if len(both) >= 3:
        at = [list(pairs).index(g) for g in both]
        found = np.array([float(inherited[g]["accuracy"]) for g in both])
        comparisons.insert(0, ("inherited against alone", found, mean[at]))
    print(f"{len(pairs)} architectures trained alone twice, {len(both)} of them with inherited accuracy")
    apart = np.abs(first - second).mean()
    print(f"accuracy alone {mean.min():.4f} to {mean.max():.4f}; seeds apart by {apart:.4f} on average")
    for name, x, y in comparisons:
        texts = []
        for label, statistic in (("tau", kendall), ("rho", spearman)):
            value, low, high = interval(statistic, [x, y])
            nothing = inconclusive(len(x), low, high)
            texts.append(f"{label} {value:+.3f} ({low:+.3f} to {high:+.3f}{'; ' * bool(nothing)}{nothing})")
        print(f"{name}, n = {len(x)}: {', '.join(texts)}")


if __name__ == "__main__":
    main()
