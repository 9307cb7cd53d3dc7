"""Searches a spiking transformer on CIFAR-10, trains it and a hand-made one alike, publishes both: a budget you choose.

    python tuners/search_c10.py --supernet-epochs 50 --epochs 100
    python tuners/search_c10.py --space kspike_c10 --batch-size 128 --data-dir ~/tensorflow_datasets

Ctrl-C or kill it at any time: the same command goes on where it stood. The found network and the hand-made one are
trained by one recipe, both from fresh weights, or, with --inherit, the found one from the supernet's weights and the
hand-made one for --supernet-epochs more. Test images are read once for each entry, when it is published.
"""

import argparse
import sys
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

import kspike
from kspike import tuners
from kspike.training import Recipe, read_history, train


def main(given: argparse.Namespace) -> None:
    """Runs every step that is not done yet, then prints the cards side by side."""
    console = Console()
    directory, zoo = given.directory, given.directory / "my_zoo"
    recipe = Recipe(
        epochs=given.epochs,
        batch_size=given.batch_size,
        learning_rate=given.learning_rate,
        warmup_epochs=min(given.warmup_epochs, given.epochs / 2),
        weight_decay=given.weight_decay,
        label_smoothing=given.label_smoothing,
        augment=given.augment,
        seed=given.seed,
    )
    data = recipe.load_data("cifar10", data_dir=given.data_dir)

    console.rule("[bold]Supernet", align="left")
    tuner = tuners.EvolutionSearch(
        space=given.space,
        objective=tuners.AEB(beta=given.beta),
        constraints={} if given.max_parameters is None else {"parameters": (None, given.max_parameters)},
        generations=given.generations,
        population_size=given.population,
        parents=min(given.parents, given.population),
        finalists=given.finalists,
        seed=given.seed,
        directory=directory,
        project_name="search",
    )
    tuner.train_supernet(data.train, validation_data=data.validation, epochs=given.supernet_epochs)

    console.rule("[bold]Search", align="left")
    tuner.search(data.train, validation_data=data.validation)
    tuner.results_summary()
    tuner.to_csv(directory / "candidates.csv")
    try:
        console.print(f"drawn: {tuner.plot(directory / 'pareto.png')}")
    except ImportError as error:
        console.print(str(error))

    found = tuner.best_candidates(1)[0].config
    base = tuner.space.base
    hand_made = base if given.hand_made is None else base.replace(**given.hand_made)
    longer = recipe.replace(epochs=recipe.epochs + given.supernet_epochs) if given.inherit else recipe
    entries = (
        (f"auto_spikformer_c10{given.suffix}", found, recipe),
        (f"spikformer_c10{given.suffix}", hand_made, longer),
    )
    for name, config, plan in entries:
        console.rule(f"[bold]Training {name}: {plan.epochs} epochs", align="left")
        keras.utils.set_random_seed(plan.seed)
        inherit = given.inherit and config is found
        model = tuner.get_best_models()[0] if inherit else kspike.Spikformer(config)
        train(model, data, plan, directory=directory / name, verbose=2 if given.bar else 1)
        if zoo.is_dir() and name in kspike.zoo.list_models(directory=zoo):
            continue
        seconds = sum(row["seconds"] for row in read_history(directory / name))
        training = {"recipe": plan.to_dict(), "seconds": round(seconds), "weights": "supernet" if inherit else "fresh"}
        about = {"training": training, "seed": plan.seed, "search": tuner if config is found else None}
        about |= {"license": "apache-2.0", "backends": given.backends}
        kspike.zoo.publish(model, name, directory=zoo, data=data, **about)
    console.print(comparison({name: kspike.zoo.card(name, directory=zoo) for name, *_ in entries}))
    console.print(f"The zoo is in {zoo}.")


def comparison(cards: dict) -> Table:
    """The cards of the entries side by side."""
    table = Table("", *cards, title="CIFAR-10, test images", title_justify="left")
    rows = {
        "test accuracy": lambda c: f"{100 * c['accuracy']:.2f} %",
        "energy, mJ an image": lambda c: f"{c['energy_mj']:.6f}",
        "parameters": lambda c: f"{c['parameters']:,}",
        "training epochs": lambda c: str(c["training"]["recipe"]["epochs"]),
        "training seconds": lambda c: f"{c['training']['seconds']:,}",
    }
    for title, cell in rows.items():
        table.add_row(title, *(cell(card) for card in cards.values()))
    return table


def changes(text: str) -> dict:
    """Reads "embed_dim=64,depth=2" as changes of the space's base network."""
    try:
        return {key.strip(): float(value) if "." in value else int(value) for key, value in _pairs(text)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected name=number,name=number, received {text!r}") from None


def _pairs(text: str) -> list:
    return [part.split("=") for part in text.split(",")]


def arguments() -> argparse.Namespace:
    """What the user typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--space", default="kspike_c10_small", help="a published space for 32x32 images, or a JSON file")
    add("--directory", type=Path, default=Path("runs/c10"), help="where everything goes")
    add("--data-dir", default=None, help="where TensorFlow Datasets prepared CIFAR-10")
    add("--supernet-epochs", type=int, default=50)
    add("--generations", type=int, default=5)
    add("--population", type=int, default=20)
    add("--parents", type=int, default=10)
    add("--finalists", type=int, default=10, help="networks among which the second half of the validation data picks")
    add("--beta", type=float, default=0.02, help="weight of energy against accuracy")
    add("--max-parameters", type=int, default=None)
    add("--epochs", type=int, default=100, help="that train each of the two networks")
    add("--batch-size", type=int, default=128)
    add("--learning-rate", type=float, default=3e-3)
    add("--warmup-epochs", type=float, default=5)
    add("--weight-decay", type=float, default=0.02)
    add("--label-smoothing", type=float, default=0.0)
    add("--augment", default="flip_shift")
    add("--hand-made", type=changes, default=None, help="changes of the space's base: embed_dim=64,depth=2")
    add("--inherit", action="store_true", help="train the found network further, from the supernet's weights")
    add("--suffix", default="", help="of the entries' names")
    add("--backends", nargs="*", default=[], help="on which the entries are loaded and measured as well")
    add("--bar", action="store_true", help="a progress bar in each epoch of training")
    add("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(arguments())
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on where this stopped.", file=sys.stderr)
        sys.exit(130)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
