"""Grows the table that searches are judged on: networks of one space, trained alone and with inherited weights.

    KERAS_BACKEND=torch python benchmarks/table.py alone --runs runs/table        # a row a finished run
    KERAS_BACKEND=torch python benchmarks/table.py inherited --runs runs/table    # a supernet, then a row a network
    KERAS_BACKEND=torch python benchmarks/table.py mixers --runs runs/table       # a row a finished run, other mixers

CIFAR-10 averaged to 16x16 (TensorFlow Datasets; TFDS_DATA_DIR says where), space `kspike_c10_16`. Test images are never
read: accuracy is that on the 5,000 validation images (`alone`), or on the half of them that scores (`inherited`).

`alone` trains 36 architectures, spread evenly over the operations of what the space holds below 25 million, and eight
more of about 60,000 parameters, among which counting parameters tells nothing; two seeds one after the other, ten
epochs of 45,000 images. `inherited` trains one supernet, or takes the trained one that lies beside this file, then
evaluates those architectures, 300 uniformly drawn networks, and the whole of a subspace small enough to be walked
through, on which searches can be replayed. `mixers` trains 150 networks of `kspike_mixers_c10_16`, three epochs each,
the first 40 with two further seeds at the end; a row says how often which neurons fire. Each may be killed at any
moment: the same command goes on after the last whole epoch, or row.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rows import append, read

import kspike
from kspike import SpikformerConfig, cost
from kspike.space import Genome, SearchSpace
from kspike.training import Recipe, read_history, train
from kspike.tuners.engine.constraints import counted
from kspike.tuners.evolution import supernet as evolution_supernet
from kspike.tuners.evolution.evaluator import Evaluator
from kspike.zoo.machine import versions

SPACE = "kspike_c10_16"
MIXERS = "kspike_mixers_c10_16"
#: Networks over the mixers, their epochs, and how many of them have two further seeds.
MIXED, MIXED_EPOCHS, MIXED_AGAIN = 150, 3, 40
#: Operations of an image, over all time steps, up to which a network trains alone at hundreds of images a second.
MOST_FLOPS = 25e6
ARCHITECTURES = 36
#: Parameters between which there are `WINDOWED` more.
WINDOW = (56_500, 62_000)
WINDOWED = 8
SEEDS = (0, 1)
#: The augmentation of every network.
RECIPE = Recipe(
    epochs=10, batch_size=128, learning_rate=3e-3, min_learning_rate=3e-5, warmup_epochs=1, weight_decay=0.02,
    augment="flip_shift",
)  # fmt: skip
SUPERNET_EPOCHS = 30
PRECISION = "mixed_bfloat16"
CALIBRATION_IMAGES = 1024
ENERGY_IMAGES = 512
RANDOM = 300
#: The supernet that the rows in docs/results are of, 40 minutes of one core. Taken away, it is trained again.
TRAINED = Path(__file__).with_name("supernet_c10_16.weights.h5")
PARTS = ("alone", "random", "walked")
#: Genes of the subspace that is walked through; every other gene keeps the base's value.
WALKED: dict[str, Any] = {
    "embed_dim": (32, 64, 96, 128),
    "depth": (1, 2),
    "timesteps": (1, 2),
    "stem_channels": (8, 16, 32),
    "num_heads": (2, 4),
    "mlp_ratio": (1, 4),
    "tau": {"stem": (1.25, 2.0)},
    "v_threshold": {"stem": (0.6, 1.0)},
}


# -- which networks ---------------------------------------------------------------------------------------------------


def architectures(space: SearchSpace) -> list[Genome]:
    """A fixed list, spread evenly over the logarithm of operations (so is any beginning of it), and the window's."""
    small = {g: sizes for g, sizes in drawn(space, 4000, 2026).items() if sizes["flops"] <= MOST_FLOPS}
    chosen = spread(small, ARCHITECTURES)
    bits = (ARCHITECTURES - 1).bit_length()
    turned = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits)]  # 0, 32, 16, 48, ...: coarse first, then between
    chosen = [chosen[i] for i in turned if i < ARCHITECTURES]
    low, high = WINDOW
    inside = {g: sizes for g, sizes in drawn(space, 20000, 2027).items() if low <= sizes["parameters"] <= high}
    known = {g.expressed for g in chosen}
    return chosen + spread({g: sizes for g, sizes in inside.items() if g.expressed not in known}, WINDOWED)


def drawn(space: SearchSpace, count: int, seed: int) -> dict[Genome, dict[str, int]]:
    """Random networks of the space, each once, with their sizes."""
    rng = np.random.default_rng(seed)
    found = {genome.expressed: genome for genome in (space.sample(rng=rng) for _ in range(count))}
    return {g: counted(g.to_config()) for g in found.values()}


def spread(sizes: dict[Genome, dict[str, int]], count: int) -> list[Genome]:
    """So many of these networks, evenly over the logarithm of operations, fewest first."""
    left = sorted(sizes, key=lambda g: sizes[g]["flops"])
    ends = [np.log(sizes[g]["flops"]) for g in (left[0], left[-1])]
    chosen: list[Genome] = []
    for target in np.exp(np.linspace(*ends, count)):
        chosen.append(min(left, key=lambda g: abs(np.log(sizes[g]["flops"] / target))))
        left.remove(chosen[-1])
    return chosen


def mixed(space: SearchSpace) -> list[Genome]:
    """A fixed list over the mixers, spread evenly over the logarithm of operations; so is its beginning."""
    small = {g: sizes for g, sizes in drawn(space, 4000, 2029).items() if sizes["flops"] <= MOST_FLOPS}
    chosen = spread(small, MIXED)
    return [chosen[i] for i in np.random.default_rng(2030).permutation(MIXED)]


def subspace(space: SearchSpace) -> SearchSpace:
    """The part of the space that is small enough to be evaluated whole."""
    return SearchSpace(space.base, name="kspike_c10_16_walked", **WALKED)


def embedded(genome: Genome, space: SearchSpace) -> Genome:
    """A genome of the subspace as one of the space: the same network."""
    config = genome.to_config()
    values: dict[str, Any] = {}
    for gene in space.genes:
        found = getattr(config, gene.field)
        if gene.stage is not None and gene.scope == "block":
            found = found[config.starts[gene.stage] :][: config.depths[gene.stage]]
        elif gene.stage is not None:  # of a downsampling the stage that begins
            found = found[gene.stage - (gene.field == "downsample")]
        elif gene.kind is not None:
            found = found[gene.kind]
        elif gene.field == "depth":
            found = config.depth
        values[gene.name] = list(found) if isinstance(found, (tuple, list)) else found
    there = Genome.from_dict(values, space)
    if there.to_config() != config:
        raise ValueError(f"{genome} is another network in {space.name}: {there}")
    return there


def key_of(genome: Genome) -> str:
    """The genome as JSON on one line, without what is not expressed."""
    return json.dumps(genome.to_dict(expressed=True))


def said_versions() -> str:
    return " ".join(f"{name}={version}" for name, version in versions().items())


# -- trained alone ---------------------------------------------------------------------------------------------------


def alone(options: argparse.Namespace) -> None:
    space, recipe = SearchSpace.load(SPACE), RECIPE.replace(epochs=options.epochs)
    plan = [(i, genome, seed) for i, genome in enumerate(architectures(space)) for seed in SEEDS]
    if options.shortest_first:
        plan.sort(key=lambda run: counted(run[1].to_config())["flops"])
    plan = plan[options.share[0] :: options.share[1]]
    done = {(row["genome"], int(row["seed"]), int(row["epochs"])) for row in read(options.out)}
    for i, genome, seed in plan[: options.most]:
        if (key_of(genome), seed, recipe.epochs) in done:
            continue
        folder = options.runs / f"alone_{i:02d}_{seed}"
        print(f"architecture {i}, seed {seed}: {genome}", flush=True)
        row = one(genome.to_config(), recipe.replace(seed=seed), folder, options.images)
        append(options.out, {"genome": key_of(genome), **row})
        shutil.rmtree(folder, ignore_errors=True)
        print(f"  accuracy {row['accuracy']:.4f}, {row['energy_mj']:.6f} mJ, {row['seconds']} s", flush=True)


def mixers(options: argparse.Namespace) -> None:
    space, recipe = SearchSpace.load(MIXERS), RECIPE.replace(epochs=options.epochs)
    genomes = mixed(space)
    plan = [(i, genome, 0) for i, genome in enumerate(genomes)]
    plan += [(i, genome, seed) for seed in (1, 2) for i, genome in enumerate(genomes[:MIXED_AGAIN])]
    plan = plan[options.share[0] :: options.share[1]]
    done = {(row["genome"], int(row["seed"]), int(row["epochs"])) for row in read(options.out)}
    for i, genome, seed in plan[: options.most]:
        if (key_of(genome), seed, recipe.epochs) in done:
            continue
        folder = options.runs / f"mixers_{i:03d}_{seed}"
        row = one(genome.to_config(), recipe.replace(seed=seed), folder, options.images, rates=True)
        append(options.out, {"genome": key_of(genome), **row})
        shutil.rmtree(folder, ignore_errors=True)
        print(
            f"{i}, seed {seed}: {genome}: {row['accuracy']:.4f}, {row['energy_mj']:.6f} mJ, {row['seconds']} s",
            flush=True,
        )


def one(
    config: SpikformerConfig, recipe: Recipe, folder: Path, images: int | None = None,
    spike_regularizer: Any = None, test: bool = False, rates: bool = False, data: Any = None, teacher: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains a network from fresh weights, goes on if it had begun, and looks at it in float32."""
    data = load(recipe) if data is None else data
    training = data.train if images is None else data.train.subset(images)
    validation = data.validation.rebatch(500)
    keras.utils.set_random_seed(recipe.seed)
    model = kspike.Spikformer(config, dtype=PRECISION, spike_regularizer=spike_regularizer)
    train(model, training, recipe, directory=folder, teacher=teacher)
    judged = kspike.Spikformer(config)
    judged.set_weights(model.get_weights())
    evolution_supernet.compile_for(judged)
    accuracy = judged.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
    report = cost.measure(judged, validation, batches=max(1, ENERGY_IMAGES // 500), progress=False)
    sizes = counted(config)
    tested = judged.evaluate(data.test.rebatch(500), verbose=0, return_dict=True)["accuracy"] if test else None
    return {
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "accuracy": round(float(accuracy), 6),
        **({} if tested is None else {"test_accuracy": round(float(tested), 6)}),
        "parameters": sizes["parameters"],
        "flops": sizes["flops"],
        "energy_mj": float(np.float32(report.energy_mj)),
        **({} if not rates else {"rates": json.dumps({n.name: round(float(n.rate), 5) for n in report.neurons})}),
        "images": len(training) * recipe.batch_size * recipe.epochs,
        "seconds": round(sum(row["seconds"] for row in read_history(folder))),
        "versions": said_versions(),
    }


def load(recipe: Recipe) -> Any:
    return recipe.load_data("cifar10", image_size=16)


# -- with inherited weights ------------------------------------------------------------------------------------------


def inherited(options: argparse.Namespace) -> None:
    space, recipe = SearchSpace.load(SPACE), RECIPE.replace(epochs=options.epochs)
    supernet, digest = trained_supernet(space, recipe, options)
    evaluate, _ = judge_of(supernet, recipe)
    rng = np.random.default_rng(7)
    plan = [("alone", genome) for genome in architectures(space)]
    plan += [("random", space.sample(rng=rng)) for _ in range(RANDOM)]
    plan += [("walked", embedded(genome, space)) for genome in subspace(space).genomes()]
    plan = [(part, genome) for part, genome in plan if part in options.parts]
    plan = plan[options.share[0] :: options.share[1]]
    done = {(row["part"], row["genome"]) for row in read(options.out) if row["supernet"] == digest}
    for count, (part, genome) in enumerate(plan[: options.most]):
        if (part, key_of(genome)) in done:
            continue
        start = time.perf_counter()
        metrics = evaluate(genome)
        names = ("accuracy", "loss", "energy_mj", "silent_layers", "parameters", "flops")
        append(
            options.out,
            {
                "part": part,
                "genome": key_of(genome),
                **{name: float(np.float32(metrics[name])) if name in names[:4] else metrics[name] for name in names},
                "supernet_epochs": recipe.epochs,
                "supernet": digest,
                "seconds": round(time.perf_counter() - start, 2),
                "versions": said_versions(),
            },
        )
        if count % 20 == 0:
            print(f"{count + 1} of {len(plan)}: {part}, accuracy {metrics['accuracy']:.4f}", flush=True)


def judge_of(supernet: Any, recipe: Recipe) -> tuple[Evaluator, Any]:
    """What scores networks of the supernet on half of the validation images, and the other half, which picks."""
    data = load(recipe)
    scoring, picking = data.validation.rebatch(500).halves()
    batches = max(1, CALIBRATION_IMAGES // recipe.batch_size), max(1, ENERGY_IMAGES // 500)
    return Evaluator(supernet, data.train.without_augmentation(), scoring, "spikformer", *batches), picking


def trained_supernet(space: SearchSpace, recipe: Recipe, options: argparse.Namespace) -> tuple[Any, str]:
    """The supernet in float32, trained, or loaded if it had been; and a name for its weights."""
    label = "supernet" if space.name == SPACE else f"supernet_{space.name}"
    weights, folder = options.runs / f"{label}.weights.h5", options.runs / label
    supernet = evolution_supernet.create(space, recipe.seed)
    whole = space.name == SPACE and recipe.epochs == SUPERNET_EPOCHS and options.images is None
    if not weights.exists() and TRAINED.exists() and whole:
        weights = TRAINED
    if weights.exists():
        supernet.load_weights(weights)
    else:
        data = load(recipe)
        training = data.train if options.images is None else data.train.subset(options.images)
        rows = evolution_supernet.train(supernet, training, data.validation.rebatch(500), recipe, folder, print, 1)
        print(f"supernet: {sum(row['seconds'] for row in rows):.0f} s", flush=True)
        evolution_supernet.save_weights(supernet, weights)
        shutil.rmtree(folder)
    evolution_supernet.compile_for(supernet)
    return supernet, evolution_supernet.sha256(weights)[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("alone", "inherited", "mixers"))
    parser.add_argument("--runs", type=Path, required=True, help="where checkpoints and the supernet are kept")
    parser.add_argument("--out", type=Path, help="CSV file that grows")
    epochs = f"{RECIPE.epochs} alone, {SUPERNET_EPOCHS} of the supernet, {MIXED_EPOCHS} over the mixers"
    parser.add_argument("--epochs", type=int, help=epochs)
    parser.add_argument("--images", type=int, help="train on this many images only, to try the script")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="of `inherited`: only these")
    parser.add_argument(
        "--share", type=int, nargs=2, default=(0, 1), metavar=("I", "N"),
        help="every N-th run, or network, from the I-th on, for N processes with a --runs and an --out each",
    )  # fmt: skip
    parser.add_argument("--shortest-first", action="store_true", help="of `alone`: the cheapest networks first")
    parser.add_argument("--most", type=int, help="stop after this many rows, to try the script")
    options = parser.parse_args()
    results = Path(__file__).resolve().parent.parent / "docs" / "results"
    defaults = {
        "alone": ("table_c10_16.csv", RECIPE.epochs),
        "inherited": ("inherited_c10_16.csv", SUPERNET_EPOCHS),
        "mixers": ("table_mixers_c10_16.csv", MIXED_EPOCHS),
    }
    options.out = options.out or results / defaults[options.what][0]
    options.epochs = options.epochs or defaults[options.what][1]
    options.runs.mkdir(parents=True, exist_ok=True)
    with open(options.runs / f".{options.what}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"error: another process grows this table from {options.runs}; let it.") from None
        {"alone": alone, "inherited": inherited, "mixers": mixers}[options.what](options)


if __name__ == "__main__":
    main()
