"""Does a search over all mixers beat the hand-made networks of each family? Steps, each goes on where it stood:

    KERAS_BACKEND=torch python benchmarks/families.py search --runs runs/families  # a supernet, then NSGA-II on it
    KERAS_BACKEND=torch python benchmarks/families.py train --runs runs/families   # a row a finished run
    python benchmarks/families.py left                                             # planned, done, left, in core-hours
    python benchmarks/families.py page                                             # tables and plot of what there is

CIFAR-10 averaged to 16x16; every network sees the same images, ten epochs of 45,000 from fresh weights by one recipe,
three seeds: all as in dominance.py, whose search, training and rows these are. Hand-made networks are those of four
families, scaled uniformly by width (32 to 128 in the last stage) and T (1, 2, 4): Spikformer, whose rows are
dominance.py's own, and the published architectures of QKFormer, Max-Former and the Spike-driven Transformer, for images
of 16x16. Found networks are from the front of NSGA-II over space `kspike_mixers_c10_16`, which mixes the families'
mixers, downsamplings and widths. Nothing is chosen by test images.

A row is one network with one seed, and is there when its training ends: the same command goes on after a kill. `train`
has the hand-made networks without a search, and the found ones as soon as `search` has chosen them.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dominance import (
    GENERATIONS,
    POPULATION,
    RESULTS,
    SEEDS,
    TIMESTEPS,
    WIDTHS,
    Contestant,
    above,
    arguments,
    config_of,
    done_of,
    front_of,
    key_of_run,
    line_of,
    means_of,
    planned,
    plot,
    scaled,
    search,
    train,
)
from rows import read
from scipy import stats
from table import MIXERS, SPACE

from kspike import SpikformerConfig
from kspike.space import SearchSpace
from kspike.tuners.engine.constraints import counted

SPIKFORMER, FOUND = "Spikformer", "found over all mixers"
#: Family -> the published architecture that is scaled; Spikformer is dominance.py's.
PUBLISHED = {
    "QKFormer-like": "qkformer_c10",
    "Max-Former-like": "max_former_c10",
    "SDT-like": "sdt_2_512_c10",
}
MARKERS = dict(zip((SPIKFORMER, *PUBLISHED, FOUND), "os^D*", strict=True))
#: The group of Spikformer's rows in dominance.py's table.
HAND = "hand-made"


def of_family(family: str, width: int, timesteps: int) -> SpikformerConfig:
    """A family's network of one size, for images of 16x16; `width` is the last stage's."""
    if family == SPIKFORMER:
        return scaled(SearchSpace.load(SPACE).base, width, timesteps)
    base = SpikformerConfig.named(PUBLISHED[family])
    widths = tuple(width * each // base.widths[-1] for each in base.widths)
    size = widths if base.stages > 1 else width
    return base.replace(input_shape=(16, 16, 3), embed_dim=size, timesteps=timesteps)


def networks(options: argparse.Namespace) -> Iterator[Contestant]:
    """Everything to train here: three families, and what the search has chosen so far."""
    for family in PUBLISHED:
        yield from of_sizes(family, family)
    space = SearchSpace.load(options.space)
    for row in read(options.candidates):
        if row["chosen"]:
            yield Contestant(FOUND, row["chosen"], config_of(row, space))


def of_sizes(family: str, group: str) -> Iterator[Contestant]:
    """A family's networks of every size, for a group of rows."""
    for timesteps in TIMESTEPS:
        for width in WIDTHS:
            yield Contestant(group, f"width {width}, T {timesteps}", of_family(family, width, timesteps))


# -- what is left ------------------------------------------------------------------------------------------------------


def left(options: argparse.Namespace) -> None:
    """Prints runs and core-hours by group; hours to come follow from the rows that are there, by their operations."""
    own, spikformer = done_of(options, options.out), done_of(options, options.spikformer)
    plan = [(run, spikformer) for run in planned(options, of_sizes(SPIKFORMER, HAND))]
    plan += [(run, own) for run in planned(options, networks(options))]
    known = [*own.values(), *spikformer.values()]
    candidates = read(options.candidates)
    print(f"{'':24}{'planned':>8}{'done':>6}{'hours':>8}{'left':>6}{'hours':>8}")
    sums = np.zeros(5)
    for group in dict.fromkeys(run[1].group for run, _ in plan):
        runs = [(run, rows) for run, rows in plan if run[1].group == group]
        there = [rows[key_of_run(run)] for run, rows in runs if key_of_run(run) in rows]
        missing = [run for run, rows in runs if key_of_run(run) not in rows]
        hours = sum(float(row["seconds"]) for row in there) / 3600
        ahead = sum(expected(run[1], there if len(there) > 2 else known) for run in missing) / 3600
        line = np.array([len(runs), len(there), hours, len(missing), ahead])
        sums += line
        print(said(SPIKFORMER if group == HAND else group, line))
    print(said("all", sums))
    chosen = sum(bool(row["chosen"]) for row in candidates)
    print(
        f"search: {len(candidates)} of {GENERATIONS * POPULATION + POPULATION} candidates, "
        f"{sum(float(row['seconds']) for row in candidates) / 3600:.2f} core-hours; {chosen} networks chosen"
        f"{'' if chosen else f', of up to 3, with {len(SEEDS)} seeds each: not in the sums above'}"
    )


def said(name: str, line: np.ndarray) -> str:
    planned_, done, hours, missing, ahead = line
    return f"{name:24}{planned_:8.0f}{done:6.0f}{hours:8.2f}{missing:6.0f}{ahead:8.2f}"


def expected(network: Contestant, rows: list[dict[str, str]]) -> float:
    """Seconds that a run should take: a straight line through the rows' seconds over their operations."""
    if not rows:
        return 0.0
    flops, seconds = (np.array([float(row[name]) for row in rows]) for name in ("flops", "seconds"))
    slope = stats.linregress(flops, seconds).slope if np.ptp(flops) else 0.0
    return max(float(seconds.min()) / 2, float(seconds.mean() + slope * (flops_of(network.config) - flops.mean())))


@functools.cache
def flops_of(config: SpikformerConfig) -> int:
    """Operations of a network, the same for all its seeds."""
    return counted(config)["flops"]


# -- the page ----------------------------------------------------------------------------------------------------------


def page(options: argparse.Namespace) -> None:
    """Means over seeds; each found network against each family's front at its own energy, seed by seed; a plot."""
    rows = [{**row, "group": SPIKFORMER} for row in read(options.spikformer) if row["group"] == HAND]
    rows += read(options.out)
    images = {row["images"] for row in rows}
    if len(images) != 1:
        raise SystemExit(f"error: networks must have seen equally many images, and at least one; got {sorted(images)}.")
    means = means_of(rows)
    groups = [group for group in MARKERS if any(mean["group"] == group for mean in means)]
    families = [group for group in groups if group != FOUND]
    lines = [
        "# Found over all mixers, and hand-made by family",
        "",
        f"CIFAR-10 averaged to 16x16, {int(images.pop()):,} images seen by each from fresh weights, one recipe: "
        f"{len(rows)} runs of {len(means)} networks. Validation is 5,000 images, test 10,000; nothing was chosen by "
        "test images. Energy is measured after training.",
        "",
        "| network | seeds | parameters | energy, mJ | validation | test |",
        "|---|---|---|---|---|---|",
        *(line_of(m) for m in sorted(means, key=lambda m: (groups.index(m["group"]), m["energy_mj"]))),
        "",
        "How far a found network is above a family's front, in points of test accuracy at its own energy: mean over "
        "seeds, each against the family's networks of that seed, and in brackets the 95 % interval (Student's t).",
        "",
        "| found | " + " | ".join(families) + " |",
        "|---|" + "---|" * len(families),
    ]
    for mean in (m for m in means if m["group"] == FOUND):
        cells = " | ".join(ahead_of(mean["name"], family, rows) for family in families)
        lines.append(f"| {mean['name']} | {cells} |")
    picture = options.out.with_suffix(".png")
    lines += ["", f"![Test accuracy against energy of an image, by family]({picture.name})"]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    fronts = {group: front_of([m for m in means if m["group"] == group], "test_accuracy") for group in families}
    plot(means, fronts, MARKERS, picture)


def ahead_of(name: str, family: str, rows: list[dict[str, Any]]) -> str:
    """Points of test accuracy that a found network is above a family's front, with their interval."""
    points = []
    for row in rows:
        if (row["group"], row["name"]) == (FOUND, name):
            hand = [other for other in rows if other["group"] == family and other["seed"] == row["seed"]]
            points.append(above(row, front_of(hand, "test_accuracy"), "test_accuracy") if hand else np.nan)
    if None in points:
        return "cheaper than all"
    found = np.array([point for point in points if not np.isnan(point)])
    if len(found) < 2:
        return f"{found[0]:+.2f} (one seed)" if len(found) else ""
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return f"{found.mean():+.2f} ({found.mean() - half:+.2f} to {found.mean() + half:+.2f})"


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__, ("search", "train", "left", "page"), "families", MIXERS)
    parser.add_argument("--spikformer", type=Path, default=RESULTS / "dominance_c10_16.csv", help="Spikformer's rows")
    options = parser.parse_args(given)
    if options.what in ("search", "train") and options.runs is None:
        parser.error("--runs is needed: where the supernet is kept, and files go")
    if options.what == "train":
        return train(options, networks(options))
    {"search": search, "left": left, "page": page}[options.what](options)


if __name__ == "__main__":
    main()
