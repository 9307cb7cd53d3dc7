"""What `benchmarks/proxies.py` publishes: a table in Markdown and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from correlations import LEAST, inconclusive


def verdict(row: dict, ceiling: dict | None) -> str:
    """What the interval, and the number of networks, allow to say."""
    nothing = inconclusive(row["networks"], row["spearman_low"], row["spearman_high"])
    if nothing or row["kind"] not in ("score", "baseline") or ceiling is None:
        return nothing
    if inconclusive(ceiling["networks"], ceiling["spearman_low"], ceiling["spearman_high"]):
        return "inconclusive: the seeds do not agree with each other"
    return "at the ceiling" if row["spearman_high"] >= ceiling["spearman_low"] else "below the ceiling"


def markdown(rows: list[dict], title: str) -> str:
    """Rows as a table in Markdown."""
    ceiling = next((row for row in rows if row["kind"] == "ceiling"), None)
    shown = lambda row, k: f"{row[k]:.2f} ({row[f'{k}_low']:.2f} to {row[f'{k}_high']:.2f})" if k in row else ""
    lines = [f"## {title}", "", "| | n | Kendall's tau-b (95 %) | Spearman's rho (95 %) | |"]
    lines.append("|---|---|---|---|---|")
    order = {"ceiling": 0, "baseline": 1, "score": 2, "partial": 3, "energy": 4}
    for row in sorted(rows, key=lambda row: order[row["kind"]]):
        name = f"**{row['what']}**" if row["kind"] == "ceiling" else row["what"]
        n = row["networks"]
        lines.append(f"| {name} | {n} | {shown(row, 'kendall')} | {shown(row, 'spearman')} | {verdict(row, ceiling)} |")
    return "\n".join(lines) + "\n"


def plot(
    table: dict[str, dict], scores: dict[str, dict], rows: list[dict], inside: list[str], weights: str, path: Path
) -> None:
    """Accuracy against the main scores, and every correlation with its interval beside the ceiling.

    `weights` says with which the accuracy is: "trained alone", or inherited.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 8), layout="constrained")
    found = figure.subplot_mosaic([["flops", "params", "energy"], ["all", "all", "all"]], height_ratios=(1, 1.2))
    axes = [found[name] for name in ("flops", "params", "energy", "all")]
    window = set(inside) if len(inside) < len(table) else set()
    keys = list(table)
    for axis, name in zip(axes[:3], ("flops", "params", "energy"), strict=True):
        for group, colour, label in (
            ([k for k in keys if k not in window], "0.6", "others"),
            ([k for k in keys if k in window], "crimson", "inside the window"),
        ):
            if not group:
                continue
            seeds = [list(table[k]["accuracy"].values()) for k in group]
            x = [scores[k][name] for k in group]
            means = np.array([np.mean(s) for s in seeds])
            spread = np.array([[m - min(s), max(s) - m] for m, s in zip(means, seeds, strict=True)]).reshape(-1, 2).T
            axis.errorbar(x, means, yerr=spread, fmt="o", ms=4, color=colour, label=label)
        axis.set(xlabel=name + (" (mJ, untrained)" if name == "energy" else ""), ylabel=f"accuracy, {weights}")
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())  # within one decade they would run into each other
    if window:
        axes[0].legend(fontsize=8)
    bars = [row for row in rows if row["kind"] in ("ceiling", "baseline", "score") and row["where"] == rows[0]["where"]]
    for i, row in enumerate(bars):
        value = row["spearman"]
        limits = [[max(0.0, value - row["spearman_low"])], [max(0.0, row["spearman_high"] - value)]]
        axes[3].errorbar(
            [value], [i], xerr=limits, fmt="o", color={"ceiling": "k", "baseline": "0.5"}.get(row["kind"], "C0")
        )
        if row["kind"] == "ceiling":
            axes[3].axvspan(row["spearman_low"], row["spearman_high"], color="0.9", zorder=0)
    axes[3].set_yticks(
        range(len(bars)), [row["what"].replace(" against the mean", "\nagainst the mean") for row in bars]
    )
    axes[3].axvline(0, color="k", lw=0.8)
    band = "; grey band: the ceiling" if any(row["kind"] == "ceiling" for row in bars) else ""
    axes[3].set(xlabel=f"Spearman's rho with accuracy, 95 % interval{band}")
    if rows[0]["networks"] < LEAST:
        axes[3].set_title(f"{rows[0]['networks']} networks, {LEAST} are needed: no finding", fontsize=10)
    axes[3].invert_yaxis()
    figure.savefig(path, dpi=120)
