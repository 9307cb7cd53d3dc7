"""Searches a spiking transformer on real handwritten digits, trains, publishes and loads it: the whole loop in minutes.

    python tuners/search_digits.py                    # under 10 minutes on 2 cores
    python tuners/search_digits.py --quick            # a minute: shows that everything works, finds nothing good

Ctrl-C or kill it at any time: run it again, and it goes on where it stood. Delete the directory to start anew.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

import kspike
from kspike import tuners
from kspike.training import Recipe, train

FOUND, HAND_MADE = "found_digits", "hand_made_digits"


def main(directory: Path, quick: bool, epochs: int, release: Path | None) -> None:
    """Runs every step that is not done yet, then prints the comparison."""
    console = Console()
    steps = {}
    recipe = Recipe(
        epochs=2 if quick else epochs, learning_rate=5e-3, warmup_epochs=1, weight_decay=0.01, augment="shift", seed=0
    )
    data = recipe.load_data("digits")

    with step(console, steps, "Training a supernet: one set of weights, every network of the space"):
        tuner = tuners.EvolutionSearch(
            space="digits",
            objective=tuners.AEB(beta=0.02),
            constraints={"parameters": (None, 200_000)},
            generations=1 if quick else 4,
            population_size=4 if quick else 12,
            parents=4 if quick else 10,
            seed=0,
            directory=directory,
            project_name="search",
        )
        tuner.train_supernet(data.train, validation_data=data.validation, epochs=1 if quick else 20)

    with step(console, steps, "Searching: accuracy balanced against energy, with inherited weights"):
        tuner.search(data.train, validation_data=data.validation)
        tuner.results_summary(num_trials=5)
        tuner.to_csv(directory / "candidates.csv")
        picture = plot(tuner, directory / "pareto.png")

    hand_made = kspike.SpikformerConfig(
        input_shape=data.input_shape, num_classes=data.num_classes, timesteps=4, embed_dim=64, depth=2, num_heads=4,
        mlp_ratio=2.0, stem_pool=(False, False, False, True),
    )  # fmt: skip
    zoo = directory / "my_zoo"
    entries = {}
    for name, config, search in (
        (FOUND, tuner.best_candidates(1)[0].config, tuner),
        (HAND_MADE, hand_made, None),
    ):
        with step(console, steps, f"Training {name.replace('_', ' ')}: the same recipe, from fresh weights"):
            keras.utils.set_random_seed(recipe.seed)
            model = train(kspike.Spikformer(config), data, recipe, directory=directory / name)
        if not zoo.is_dir() or name not in kspike.zoo.list_models(directory=zoo):
            # the test images are read here, once for each entry: nothing is chosen by them
            about = {"search": search, "training": {"recipe": recipe.to_dict()}, "seed": recipe.seed}
            kspike.zoo.publish(model, name, directory=zoo, data=data, license="apache-2.0", **about)
        entries[name] = kspike.zoo.card(name, directory=zoo)

    with step(console, steps, "Loading the found network back, and measuring it again"):
        console.print(kspike.zoo.verify(FOUND, data=data, directory=zoo))

    if release is not None:  # the very network whose card was just read, under the name it is published by
        model = train(kspike.Spikformer(tuner.best_candidates(1)[0].config), data, recipe, directory=directory / FOUND)
        about = {"search": tuner, "training": {"recipe": recipe.to_dict()}, "seed": recipe.seed}
        about |= {"license": "apache-2.0", "backends": ("jax", "tensorflow"), "reproduce": command()}
        console.print(
            f"released: {kspike.zoo.publish(model, 'auto_spikformer_digits', directory=release, data=data, **about)}"
        )

    console.print(comparison(entries))
    for title, seconds in steps.items():
        console.print(f"{seconds:7.1f} s  {title}", style="dim", highlight=False)
    console.print(f"\nThe zoo is in {zoo}: kspike.zoo.load('{zoo / FOUND}') gives the network found.")
    if picture:
        console.print(f"Every network of the search, and the Pareto front: {picture}")


def command() -> str:
    """The line that makes the released entry again."""
    return " ".join(["python tuners/search_digits.py", *sys.argv[1:]])


def comparison(cards: dict) -> Table:
    """The cards of the entries side by side."""
    table = Table(title="Handwritten digits, test images seen once", title_justify="left")
    for column in ("", *(name.replace("_", " ") for name in cards)):
        table.add_column(column, justify="right")
    rows = {
        "test accuracy": lambda c: f"{100 * c['accuracy']:.2f} %",
        "correct images": lambda c: f"{c['evaluation']['correct']} of {c['evaluation']['n']}",
        "95 % interval": lambda c: " to ".join(f"{100 * v:.1f}" for v in c["evaluation"]["interval"]),
        "energy, mJ an image": lambda c: f"{c['energy_mj']:.6f}",
        "parameters": lambda c: f"{c['parameters']:,}",
    }
    for title, cell in rows.items():
        table.add_row(title, *(cell(card) for card in cards.values()))
    return table


def plot(tuner: tuners.EvolutionSearch, path: Path) -> Path | None:
    """Draws the search where matplotlib is there."""
    try:
        return tuner.plot(path)
    except ImportError as error:
        print(error)
        return None


class step:
    """Announces a step and notes how long it took."""

    def __init__(self, console: Console, steps: dict, title: str) -> None:
        self.console, self.steps, self.title = console, steps, title

    def __enter__(self) -> None:
        self.console.rule(f"[bold]{self.title}", align="left")
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.steps[self.title] = time.perf_counter() - self.start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="where everything goes (default: demo, or demo/quick)")
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--epochs", type=int, default=30, help="that train each of the two networks")
    parser.add_argument("--release", type=Path, help="a zoo folder that the found network is published in as well")
    given = parser.parse_args()
    try:
        main(given.directory or Path("demo/quick" if given.quick else "demo"), given.quick, given.epochs, given.release)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where this stopped.", file=sys.stderr)
        sys.exit(130)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
