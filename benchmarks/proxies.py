"""How well training-free scores order networks that were trained: correlations with intervals, and the ceiling.

    KERAS_BACKEND=torch python benchmarks/proxies.py

By default on docs/results/table_c10_16.csv, which benchmarks/table.py grows: when it has grown, run this again. On
networks with inherited weights, which are many (and judged by one supernet, so that there is no ceiling):

    KERAS_BACKEND=torch python benchmarks/proxies.py docs/results/inherited_c10_16.csv --part random --seeds 1 \
        --out docs/results/proxies_inherited

Scores are taken once for each network and appended to OUT_scores.csv. Then, over networks (accuracy is the mean over
seeds):

- Kendall's tau-b and Spearman's rho of every score with accuracy, 95 % intervals by resampling networks.
- The ceiling: the same between the accuracies of two seeds of the same networks. A perfect score reaches about that;
  with a mean over two seeds, by Spearman and Brown, up to sqrt(2 r / (1 + r)), which is shown besides.
- What energy at initialisation adds: Spearman's partial correlation with accuracy given FLOPs, and with the energy
  after training.
- All of it again inside a window of parameters, where counting them cannot help (--window, else the narrowest that
  holds a third of the networks).

A score is called inconclusive where its interval holds 0 or networks are too few, and at the ceiling where the two
intervals overlap.
Leaves OUT.md, OUT.png, OUT_scores.csv, OUT_correlations.csv.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from correlations import LEAST, RESAMPLED, brown, interval, kendall, partial, spearman
from proxies_page import markdown, plot
from proxies_table import read_table, score_networks

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
#: Below this not even an inconclusive figure is worth a row.
ROWS_FROM = 4


def correlate(table: dict[str, dict], scores: dict[str, dict[str, float]], keys: list[str], where: str) -> list[dict]:
    """One row a score (and the ceiling, and the partial correlations), over these networks."""
    accuracy = np.array([np.mean(list(table[k]["accuracy"].values())) for k in keys])
    rows = []

    def add(name: str, kind: str, columns: list[np.ndarray], one: Callable, two: Callable | None) -> None:
        row = {"where": where, "what": name, "kind": kind, "networks": len(columns[0])}
        for label, statistic in (("kendall", two), ("spearman", one)):
            if statistic is not None:
                value, low, high = interval(statistic, columns)
                row |= {label: value, f"{label}_low": low, f"{label}_high": high}
        rows.append(row)

    seeds = sorted({seed for k in keys for seed in table[k]["accuracy"]})
    pairs = [k for k in keys if len(table[k]["accuracy"]) >= 2]
    if len(seeds) >= 2 and len(pairs) >= ROWS_FROM:
        both = [sorted(table[k]["accuracy"].items())[:2] for k in pairs]
        columns = [np.array([b[i][1] for b in both]) for i in range(2)]
        add("seed against seed", "ceiling", columns, spearman, kendall)
        add("a perfect score against the mean of two seeds", "ceiling", columns, brown, None)
    names = [n for n in scores[keys[0]] if not n.endswith("_std") and n not in ("silent", "silent_layers")]
    values = {n: np.array([scores[k].get(n, np.nan) for k in keys]) for n in names}
    for name in names:
        x = values[name]
        kept = np.isfinite(x)
        if kept.sum() < ROWS_FROM or len(set(x[kept])) < 2:
            continue  # a score that is the same for all, inside a window, orders nothing
        kind = "baseline" if name in ("params", "width", "depth", "timesteps") else "score"
        add(name, kind, [x[kept], accuracy[kept]], spearman, kendall)
    if "energy" in values and "flops" in values and len(keys) >= ROWS_FROM:
        flops = values["flops"]
        add("energy given flops", "partial", [values["energy"], accuracy, flops], partial, None)
        trained = np.array([np.mean(table[k]["energy_mj"]) if table[k]["energy_mj"] else np.nan for k in keys])
        known = np.isfinite(trained)
        if known.sum() >= ROWS_FROM:
            columns = [values["energy"][known], trained[known], flops[known]]
            add("energy, with energy after training", "energy", columns[:2], spearman, kendall)
            add("flops, with energy after training", "energy", [columns[2], columns[1]], spearman, kendall)
            add("energy, with energy after training, given flops", "partial", columns, partial, None)
    return rows


def narrow(table: dict[str, dict], scores: dict[str, dict[str, float]], window: tuple[float, float] | None) -> tuple:
    """(networks inside the window of parameters, its bounds); by default the narrowest that holds a third of them.

    A third, but as many as a correlation needs; where there are no more than that, the window holds all.
    """
    sizes = sorted(scores[k]["params"] for k in table)
    if window is None:
        n = min(len(sizes), max(LEAST, len(sizes) // 3))
        start = min(range(len(sizes) - n + 1), key=lambda i: sizes[i + n - 1] / sizes[i])
        window = (sizes[start], sizes[start + n - 1])
    return [k for k in table if window[0] <= scores[k]["params"] <= window[1]], window


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=RESULTS / "table_c10_16.csv")
    parser.add_argument("--part", help="of a table of inherited accuracies: only these rows")
    parser.add_argument("--space", default="kspike_c10_16", help="that genomes belong to")
    parser.add_argument("--data", default="cifar10", help="training images that scores are measured on")
    parser.add_argument("--data-dir", help="where TensorFlow Datasets prepared them; TFDS_DATA_DIR by default")
    parser.add_argument("--image-size", type=int, nargs="+", default=[16], help="pixels, one number or two")
    parser.add_argument("--seeds", type=int, default=3, help="initialisations a score")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--scores", type=Path, help="the file of scores; OUT_scores.csv by default")
    parser.add_argument("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of parameters")
    parser.add_argument("--out", type=Path, default=RESULTS / "proxies")
    options = parser.parse_args(arguments)
    options.image_size = (options.image_size[0], options.image_size[-1])
    table = read_table(options.table, options.part)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    beside = lambda end: options.out.with_name(options.out.name + end)
    scores = score_networks(table, options.scores or beside("_scores.csv"), options)
    if len(table) < ROWS_FROM:
        raise SystemExit(
            f"error: {options.table} holds {len(table)} networks; the scores are kept, run this again later."
        )
    inside, window = narrow(table, scores, tuple(options.window) if options.window else None)
    parts = {f"All {len(table)} networks": list(table)}
    if ROWS_FROM <= len(inside) < len(table):
        parts[f"{len(inside)} networks of {window[0]:,.0f} to {window[1]:,.0f} parameters"] = inside
    rows, text = [], ""
    for title, keys in parts.items():
        found = correlate(table, scores, keys, title)
        rows += found
        text += markdown(found, title) + "\n"
    seeds = defaultdict(int)
    for entry in table.values():
        seeds[len(entry["accuracy"])] += 1
    runs = ", ".join(f"{n} with {k} seed{'s' * (k > 1)}" for k, n in sorted(seeds.items()))
    judged = runs if options.part is None else "accuracy with a supernet's weights, not their own"
    about = f"{len(table)} networks ({judged}); intervals from {RESAMPLED:,} resamplings of networks. "
    about += "Energy is the untrained network's; above 0, what takes more of it is more accurate once trained."
    if len(table) < LEAST:
        about += f" Fewer than {LEAST} networks: none of this is a finding."
    against = "trained networks" if options.part is None else "inherited accuracy"
    text = f"# Training-free scores against {against}\n\n{about}\n\n{text}"
    beside(".md").write_text(text, encoding="utf-8")
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(beside("_correlations.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    weights = "trained alone" if options.part is None else "inherited weights"
    plot(table, scores, rows, inside, weights, beside(".png"))
    print(text)


if __name__ == "__main__":
    main()
