"""Draws what AEB's beta trades: `python benchmarks/beta.py`, on the candidates of a search (a CSV that `to_csv` wrote).

For every beta from 0 to 0.2 the network with the largest accuracy x energy^(-beta): its accuracy, its energy, and where
it lies among all candidates; for two betas also the line of networks that would score the same. Prints a line for each
network chosen. Seconds; no network runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from table import read

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
BETAS = np.linspace(0.0, 0.2, 2001)
#: kspike's default, and the exponent of AutoSNN's published search.
SHOWN = ((0.02, "beta 0.02 (default)", "tab:green"), (0.08, "beta 0.08 (AutoSNN's)", "tab:red"))


def chosen(accuracy: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """For each beta the index of the network that AEB puts first."""
    return np.argmax(np.log(accuracy) - BETAS[:, None] * np.log(energy), axis=1)


def draw(accuracy: np.ndarray, energy: np.ndarray, best: np.ndarray, path: Path) -> None:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(energy, 100 * accuracy, s=18, color="0.7", label="candidates")
    way = list(dict.fromkeys(best.tolist()))
    left.plot(energy[way], 100 * accuracy[way], "o-", color="tab:blue", label="chosen, as beta grows")
    span = np.geomspace(energy.min(), energy.max(), 50)
    bounds = left.get_ylim()
    for beta, name, color in SHOWN:
        at = best[np.searchsorted(BETAS, beta - 1e-9)]
        left.plot(span, 100 * accuracy[at] * (span / energy[at]) ** beta, "--", color=color, linewidth=1)
        left.scatter(
            energy[at], 100 * accuracy[at], s=130, facecolors="none", edgecolors=color, linewidths=2, label=name
        )
        right.axvline(beta, color=color, linestyle="--", linewidth=1, label=name)
    left.set(xlabel="energy of an image (mJ)", ylabel="accuracy, inherited weights (%)", xscale="log", ylim=bounds)
    ticks = [t for t in np.outer(10.0 ** np.arange(-6, 3), (1, 2, 5)).ravel() if span[0] <= t <= span[-1]]
    left.set_xticks(ticks, [f"{t:g}" for t in ticks])
    left.set_xticks([], minor=True)
    left.legend(fontsize="small", loc="lower right")
    right.plot(BETAS, 100 * accuracy[best] / accuracy[best[0]], color="tab:blue", label="accuracy")
    right.plot(BETAS, 100 * energy[best] / energy[best[0]], color="tab:orange", label="energy")
    right.set(xlabel="beta", ylabel="of the network chosen (% of that at beta 0)", ylim=(0, 105), xlim=(0, 0.2))
    right.legend(fontsize="small", loc="lower left")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=Path, default=RESULTS / "loop_c10_candidates.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "beta_c10.png")
    options = parser.parse_args()
    rows = [row for row in read(options.candidates) if row["accuracy"] and row.get("feasible", "True") == "True"]
    if len(rows) < 2:
        raise SystemExit(f"error: {options.candidates} holds {len(rows)} candidates that can be chosen; 2 are needed.")
    accuracy, energy = (np.array([float(row[name]) for row in rows]) for name in ("accuracy", "energy_mj"))
    best = chosen(accuracy, energy)
    for first in [0, *(np.flatnonzero(np.diff(best)) + 1)]:
        at = best[first]
        print(f"from beta {BETAS[first]:.4f}: accuracy {100 * accuracy[at]:.2f} %, {energy[at]:.5f} mJ")
    draw(accuracy, energy, best, options.out)


if __name__ == "__main__":
    main()
