"""Does a searched network beat the hand-made ones? Steps, each of which goes on where it stood:

    KERAS_BACKEND=torch python benchmarks/dominance.py search --runs runs/table   # NSGA-II on table.py's supernet
    KERAS_BACKEND=torch python benchmarks/dominance.py train --runs runs/table    # a row a finished run
    python benchmarks/dominance.py page                                           # table and plot of what there is
    python benchmarks/dominance.py larger --name middle --runs runs/larger        # a searched one, for 32x32 images

CIFAR-10 averaged to 16x16, space `kspike_c10_16`, as in table.py. Every network sees the same images: ten epochs of
45,000 from fresh weights, by one recipe, three seeds. Contestants: Spikformers scaled uniformly by hand (widths of 32
to 128, T of 1, 2, 4), two of them with a firing-rate penalty, searched networks, and random networks of the space
with the searched ones' energy. The search scores on half of the validation images; of each third of its front (by the
logarithm of energy) the network is taken that does best on the other half. Test accuracy is written beside validation
accuracy when a run ends, and nothing is chosen by it. About 60 runs of 3 to 20 minutes of one core each.

`larger` trains nothing: it writes a searched network for images of 32x32, pooled once more in the stem, as config.json,
and its search as search.json, which `kspike train` and `kspike zoo publish --search` read.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read, write
from table import RECIPE, SPACE, SUPERNET_EPOCHS, judge_of, key_of, one, said_versions, trained_supernet

from kspike import SpikformerConfig
from kspike._files import write_text
from kspike.regularizers import FiringRate
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, Evolution, Proposal, SearchState
from kspike.tuners.engine.constraints import counted

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
WIDTHS, TIMESTEPS = (32, 64, 96, 128), (1, 2, 4)
PENALTIES = (0.03, 0.1)
SEEDS = (0, 1, 2)
#: Generations after the first, genomes a generation, parents.
GENERATIONS, POPULATION, PARENTS = 9, 30, 10
GROUPS = ("hand-made", "firing penalty", "searched", "random")
MARKERS = dict(zip(GROUPS, "os^x", strict=True))


# -- the search --------------------------------------------------------------------------------------------------------


def search(options: argparse.Namespace) -> None:
    """Evolves on the supernet; every evaluation is a row, and rows that are there are not evaluated again."""
    space, recipe = SearchSpace.load(options.space), RECIPE.replace(epochs=options.supernet_epochs)
    supernet, digest = trained_supernet(space, recipe, options)
    evaluate, picking = judge_of(supernet, recipe)
    known = {row["genome"]: row for row in read(options.candidates) if row["supernet"] == digest}
    nsga2 = NSGA2((("accuracy", "max"), ("energy_mj", "min")))
    evolution = Evolution(
        space, generations=options.generations, population_size=options.population, parents=PARENTS, selection=nsga2
    )
    state = SearchState(evolution, "accuracy", "max")
    while isinstance(proposal := state.ask(), Proposal):
        key, start = key_of(proposal.genome), time.perf_counter()
        if key not in known:
            metrics = evaluate(proposal.genome)
            row = {"genome": key, "supernet": digest, "generation": proposal.generation}
            row |= {name: float(np.float32(metrics[name])) for name in ("accuracy", "energy_mj")}
            row |= {"parameters": metrics["parameters"], "picking_accuracy": "", "chosen": ""}
            row |= {"seconds": round(time.perf_counter() - start, 2), "versions": said_versions()}
            append(options.candidates, row)
            known[key] = row
            if len(known) % 10 == 0:
                print(f"{len(known)} evaluated, generation {proposal.generation}", flush=True)
        state.tell(proposal.number, {name: float(known[key][name]) for name in ("accuracy", "energy_mj")})
    pick(options, space, evaluate, picking, digest)


def pick(options: argparse.Namespace, space: SearchSpace, evaluate: Any, picking: Any, digest: str) -> None:
    """Marks the best of each third of the front, by images that scored no candidate."""
    rows = read(options.candidates)
    front = front_of([row for row in rows if row["supernet"] == digest], "accuracy")
    for row in front:
        _, metrics = evaluate.extract(Genome.from_dict(json.loads(row["genome"]), space), picking)
        row["picking_accuracy"] = round(metrics["accuracy"], 6)
    logs = [math.log(float(row["energy_mj"])) for row in front]
    edges = np.linspace(min(logs), max(logs), 4)
    for third in range(3):
        inside = [r for r, e in zip(front, logs, strict=True) if edges[third] - 1e-9 <= e <= edges[third + 1] + 1e-9]
        if inside:
            max(inside, key=lambda row: row["picking_accuracy"])["chosen"] = ("small", "middle", "large")[third]
    write(options.candidates, rows)
    print("\n".join(f"{r['chosen']}: {r['genome']}" for r in front if r["chosen"]))


def front_of(rows: list[dict[str, Any]], accuracy: str) -> list[dict[str, Any]]:
    """Rows that no other dominates in accuracy and energy, by rising energy."""
    found: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (float(r["energy_mj"]), -float(r[accuracy]))):
        if not found or float(row[accuracy]) > float(found[-1][accuracy]):
            found.append(row)
    return found


# -- training ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A network to train: which group it stands for, its name there, and the weight of a firing-rate penalty."""

    group: str
    name: str
    config: SpikformerConfig
    penalty: float = 0.0


def contestants(options: argparse.Namespace) -> Iterator[Contestant]:
    """Everything that can be trained so far: searched and random networks follow from the search."""
    space = SearchSpace.load(SPACE)
    for timesteps in TIMESTEPS:
        for width in WIDTHS:
            yield Contestant("hand-made", f"width {width}, T {timesteps}", scaled(space.base, width, timesteps))
    for penalty in PENALTIES:
        for width in (64, 128):
            name = f"width {width}, T 2, penalty {penalty:g}"
            yield Contestant("firing penalty", name, scaled(space.base, width, 2), penalty)
    drawn = [row for row in read(options.inherited) if row["part"] == "random"]
    for row in read(options.candidates):
        if not row["chosen"]:
            continue
        yield Contestant("searched", row["chosen"], config_of(row, space))
        if drawn:
            energy = float(row["energy_mj"])
            near = min(drawn, key=lambda r: abs(math.log(float(r["energy_mj"]) / energy)))
            drawn.remove(near)
            yield Contestant("random", row["chosen"], config_of(near, space))


def scaled(base: SpikformerConfig, width: int, timesteps: int) -> SpikformerConfig:
    """The space's base at another width and T, its stem's channels in proportion."""
    stem = tuple(width * channels // base.embed_dim for channels in base.stem_channels)
    return base.replace(embed_dim=width, stem_channels=stem, timesteps=timesteps)


def config_of(row: dict[str, str], space: SearchSpace) -> SpikformerConfig:
    return Genome.from_dict(json.loads(row["genome"]), space).to_config()


Run = tuple[int, Contestant]


def planned(options: argparse.Namespace, networks: Iterable[Contestant]) -> list[Run]:
    """Every run, seed by seed: all networks have one before any has two."""
    networks = list(networks)
    plan = [(seed, contestant) for seed in SEEDS for contestant in networks]
    if options.shortest_first:
        plan.sort(key=lambda p: (p[0], counted(p[1].config)["flops"]))
    return plan[options.share[0] :: options.share[1]]


def done_of(options: argparse.Namespace, path: Path) -> dict[tuple[Any, ...], dict[str, str]]:
    """The rows of a table of trained networks that are of these epochs, by what was trained."""
    return {
        (r["group"], r["config"], float(r["penalty"]), int(r["seed"])): r
        for r in read(path)
        if int(r["epochs"]) == options.epochs
    }


def key_of_run(run: Run) -> tuple[Any, ...]:
    """What `done_of` knows a run by."""
    seed, c = run
    return c.group, json.dumps(c.config.to_dict()), c.penalty, seed


def train(options: argparse.Namespace, networks: Iterable[Contestant]) -> None:
    """Trains what has no row yet; a row is one network with one seed."""
    recipe = RECIPE.replace(epochs=options.epochs)
    done = done_of(options, options.out)
    for run in planned(options, networks)[: options.most]:
        if key_of_run(run) in done:
            continue
        seed, c = run
        print(f"{c.group}, {c.name}, seed {seed}", flush=True)
        folder = options.runs / f"dominance_{c.group}_{c.name}_{seed}".replace(" ", "_").replace(",", "")
        penalty = FiringRate(c.penalty) if c.penalty else None
        row = one(c.config, recipe.replace(seed=seed), folder, options.images, penalty, test=True)
        append(
            options.out, {"group": c.group, "name": c.name, "penalty": c.penalty, **row, "config": key_of_run(run)[1]}
        )
        shutil.rmtree(folder, ignore_errors=True)
        print(f"  accuracy {row['accuracy']:.4f}, {row['energy_mj']:.6f} mJ, {row['seconds']} s", flush=True)


# -- at the images' own size ------------------------------------------------------------------------------------------


def larger(options: argparse.Namespace) -> None:
    """Writes what `kspike train` and `kspike zoo publish` need of a searched network, for images of 32x32."""
    space, rows = SearchSpace.load(SPACE), read(options.candidates)
    base = space.base.replace(input_shape=(32, 32, 3), stem_pool=(False, True, True, True))
    space = SearchSpace.from_dict({**space.to_dict(), "base": base.to_dict()})
    genomes = [Genome.from_dict(json.loads(row["genome"]), space) for row in rows]
    chosen = next(g for g, row in zip(genomes, rows, strict=True) if row["chosen"] == options.name)
    record = {
        "space": space.to_dict(), "objective": "nsga2(accuracy, energy_mj), on images of 16x16", "constraints": {},
        "seed": 0, "generations": GENERATIONS, "population_size": POPULATION, "genome": chosen.to_dict(),
        "supernet": {**RECIPE.replace(epochs=SUPERNET_EPOCHS).to_dict(), "weights": rows[0]["supernet"]},
        "budget": {
            "supernet_epochs": SUPERNET_EPOCHS, "trials": len(rows),
            "search_seconds": round(sum(float(row["seconds"]) for row in rows)),
        },
        "trials": [
            {
                "number": number, "generation": int(row["generation"]), "indices": list(genome.indices),
                "metrics": {name: float(row[name]) for name in ("accuracy", "energy_mj", "parameters")},
            }
            for number, (genome, row) in enumerate(zip(genomes, rows, strict=True))
        ],
    }  # fmt: skip
    options.runs.mkdir(parents=True, exist_ok=True)
    for name, content in (("config", chosen.to_config().to_dict()), ("search", record)):
        write_text(options.runs / f"{name}.json", json.dumps(content, indent=1))
    print(f"{options.runs / 'config.json'}: {options.name}, {chosen}")


# -- the page ----------------------------------------------------------------------------------------------------------


def page(options: argparse.Namespace) -> None:
    """Means over seeds; each network against the hand-made front at its own energy; a plot."""
    rows = read(options.out)
    if not rows:
        raise SystemExit(f"error: {options.out} has no rows; run the step `train` first.")
    means = means_of(rows)
    hand = [m for m in means if m["group"] == "hand-made"]
    fronts = {key: front_of(hand, key) for key in ("accuracy", "test_accuracy")}
    lines = [
        "# Searched, random and hand-made networks",
        "",
        about(options, means),
        "",
        "| network | seeds | parameters | energy, mJ | validation | test | above the hand-made: validation; test |",
        "|---|---|---|---|---|---|---|",
    ]
    for mean in sorted(means, key=lambda m: (GROUPS.index(m["group"]), m["energy_mj"])):
        points = "; ".join(gap(mean, front, key) for key, front in fronts.items())
        lines.append(f"{line_of(mean)} {points if mean['group'] != 'hand-made' else ''} |")
    picture = options.out.with_suffix(".png")
    lines += ["", f"![Test accuracy against energy of an image]({picture.name})"]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    plot(means, {"": fronts["test_accuracy"]}, MARKERS, picture)


def means_of(rows: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    """Networks with the means and standard deviations over their seeds."""
    networks: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        networks.setdefault((row["group"], row["name"]), []).append(row)
    means = []
    for (group, name), rows in networks.items():
        mean: dict[str, Any] = {
            "group": group,
            "name": name,
            "seeds": len(rows),
            "parameters": int(rows[0]["parameters"]),
        }
        for key in ("accuracy", "test_accuracy", "energy_mj"):
            values = [float(row[key]) for row in rows]
            mean[key] = float(np.mean(values))
            mean[f"{key}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        means.append(mean)
    return means


def line_of(mean: dict[str, Any]) -> str:
    """A network as the beginning of a line of a table in Markdown."""
    scores = " | ".join(percent(mean, key) for key in ("accuracy", "test_accuracy"))
    sizes = f"{mean['parameters']:,} | {mean['energy_mj']:.5f}"
    return f"| {mean['group']}, {mean['name']} | {mean['seeds']} | {sizes} | {scores} |"


def about(options: argparse.Namespace, means: list[dict[str, Any]]) -> str:
    """What was done, and what it cost."""
    searched = read(options.candidates)
    minutes = sum(float(row["seconds"]) for row in searched) / 60
    runs = sum(mean["seeds"] for mean in means)
    return (
        f"CIFAR-10 averaged to 16x16; ten epochs of 45,000 images from fresh weights by one recipe: {runs} runs of "
        f"{len(means)} networks. Validation is 5,000 images, test 10,000; nothing was chosen by test images. "
        f"The searched networks come from {len(searched)} candidates that were judged by one supernet's weights in "
        f"{minutes:.0f} minutes of one core; training that supernet took about 40. Energy is measured after training. "
        "The last column is in points: how far a network is above the front of the hand-made ones at its own energy, "
        "drawn straight between them over the logarithm of energy, and level beyond the last."
    )


def percent(mean: dict[str, Any], key: str) -> str:
    spread = f" ± {100 * mean[f'{key}_sd']:.2f}" if mean["seeds"] > 1 else ""
    return f"{100 * mean[key]:.2f}{spread}"


def gap(mean: dict[str, Any], front: list[dict[str, Any]], key: str) -> str:
    """Points above a front at the same energy, as text."""
    points = above(mean, front, key)
    return "cheaper than all" if points is None else f"{points:+.2f}"


def above(network: dict[str, Any], front: list[dict[str, Any]], key: str) -> float | None:
    """Points above a front at the same energy, drawn straight between its networks over log energy; level beyond the
    last, None before the first."""
    at = math.log(float(network["energy_mj"]))
    energies = [math.log(float(m["energy_mj"])) for m in front]
    if not front or at < energies[0]:
        return None
    return 100 * (float(network[key]) - float(np.interp(at, energies, [float(m[key]) for m in front])))


def plot(
    means: list[dict[str, Any]], fronts: dict[str, list[dict[str, Any]]], markers: dict[str, str], path: Path
) -> None:
    """Test accuracy against energy, a marker a group; the fronts as lines, in the colour of the group of their name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    colours = {}
    for group, marker in markers.items():
        inside = [m for m in means if m["group"] == group]
        if not inside:
            continue
        error = [0 if math.isnan(m["test_accuracy_sd"]) else 100 * m["test_accuracy_sd"] for m in inside]
        x, y = [m["energy_mj"] for m in inside], [100 * m["test_accuracy"] for m in inside]
        drawn = axes.errorbar(x, y, error, fmt=marker, label=group, capsize=2)
        colours[group] = drawn.lines[0].get_color()
    for group, front in fronts.items():
        x, y = [m["energy_mj"] for m in front], [100 * m["test_accuracy"] for m in front]
        axes.plot(x, y, color=colours.get(group, "0.7"), zorder=1)
    axes.set(
        xscale="log", xlabel="energy, mJ an image", ylabel="test accuracy, %", title="CIFAR-10 at 16x16, ten epochs"
    )
    axes.legend()
    figure.savefig(path, dpi=150)


def arguments(doc: str, steps: tuple[str, ...], name: str, space: str) -> argparse.ArgumentParser:
    """What the command line takes.

    Args:
        doc: of the script.
        steps: what it does.
        name: of the files in docs/results: `NAME_c10_16.csv` and `NAME_search_c10_16.csv`.
        space: that is searched.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=steps)
    parser.add_argument("--runs", type=Path, help="where the supernet is kept, and files go")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}_c10_16.csv", help="trained networks")
    parser.add_argument("--candidates", type=Path, default=RESULTS / f"{name}_search_c10_16.csv")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--supernet-epochs", type=int, default=SUPERNET_EPOCHS)
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--population", type=int, default=POPULATION)
    parser.add_argument("--images", type=int, help="train on this many images only, to try the script")
    parser.add_argument("--most", type=int, help="stop after this many runs")
    parser.add_argument("--shortest-first", action="store_true", help="within a seed, small networks first")
    parser.add_argument(
        "--share", type=int, nargs=2, default=(0, 1), metavar=("I", "N"),
        help="every N-th run from the I-th on, for N processes with a --runs and an --out each",
    )  # fmt: skip
    parser.set_defaults(space=space)
    return parser


def main() -> None:
    parser = arguments(__doc__, ("search", "train", "page", "larger"), "dominance", SPACE)
    parser.add_argument("--inherited", type=Path, default=RESULTS / "inherited_c10_16.csv")
    parser.add_argument("--name", choices=("small", "middle", "large"), help="of `larger`: the network")
    options = parser.parse_args()
    if options.what != "page" and options.runs is None:
        parser.error("--runs is needed: where table.py keeps its supernet, and files go")
    if options.what == "larger" and options.name is None:
        parser.error("--name is needed: which searched network")
    if options.what == "train":
        return train(options, contestants(options))
    {"search": search, "page": page, "larger": larger}[options.what](options)


if __name__ == "__main__":
    main()
