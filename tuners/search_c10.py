"""Finds spiking transformers for CIFAR-10 in two ways, trains them and a hand-made one alike, publishes all three.

    python tuners/search_c10.py --supernet-epochs 50
    python tuners/search_c10.py --space kspike_c10 --recipe mine.json --data-dir ~/tensorflow_datasets

Evolution over a supernet gives `auto_spikformer_c10`. Ranking by operations, without training, among networks of no
more parameters than that one gives `autost_c10`. The space's base is `spikformer_c10`, the hand-made one. All are
trained by one recipe (tuners/recipes/c10.json) from fresh weights; or, with --inherit, the first from the supernet's
weights and the others for --supernet-epochs more. Test images are read once for each entry, when it is published.
Ctrl-C or kill it at any time: the same command goes on where it stood. On a machine with cores to spare, train the
networks at once: the same command with --only NAME in a process for each trains that one alone and publishes nothing
(spikformer_c10 needs no search, and can begin before it); then the command itself finds them trained.
"""

import argparse
import shlex
import sys
from pathlib import Path

import keras
import side_by_side
from rich.console import Console

import kspike
from kspike import cost, tuners
from kspike.training import Recipe, read_history, train

RECIPE = Path(__file__).with_name("recipes") / "c10.json"
#: What of a recipe can be given by itself.
CHANGEABLE = {
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "warmup_epochs": float,
    "weight_decay": float,
    "label_smoothing": float,
    "augment": str,
    "seed": int,
}


SEARCHED, RANKED, HAND_MADE = "auto_spikformer_c10", "autost_c10", "spikformer_c10"


def main(given: argparse.Namespace) -> None:
    """Runs every step that is not done yet, then prints the cards side by side."""
    console = Console()
    directory = given.directory
    recipe = changed(Recipe.load(given.recipe), given)
    data = recipe.load_data("cifar10", data_dir=given.data_dir)
    searches = {HAND_MADE: None} if given.only == HAND_MADE else searched(given, recipe, data, console)
    configs = {HAND_MADE: tuners.SearchSpace.load(given.space).base.replace(**given.hand_made)}
    if searches.keys() - {HAND_MADE}:
        configs[SEARCHED] = searches[SEARCHED].best_candidates(1)[0].config
        configs[RANKED] = searches[RANKED].get_best_configs()[0]
    longer = recipe.replace(epochs=recipe.epochs + given.supernet_epochs) if given.inherit else recipe
    cards = {}
    for name, search in searches.items():
        if given.only not in (None, name):
            continue
        plan = recipe if name == SEARCHED else longer
        console.rule(f"[bold]Training {name}: {plan.epochs} epochs", align="left")
        keras.utils.set_random_seed(plan.seed)
        model = kspike.Spikformer(configs[name], dtype=given.precision)
        inherit = given.inherit and name == SEARCHED
        if inherit:
            model.set_weights(search.get_best_models()[0].get_weights())
        train(model, data, plan, directory=directory / f"{name}{given.suffix}", verbose=2 if given.bar else 1)
        if given.only is None:
            about = {"search": search, "weights": "supernet" if inherit else "fresh"}
            cards[name + given.suffix] = published(model, name + given.suffix, plan, about, given, data)
    if given.only is None:
        console.print(side_by_side.table(cards))
        side_by_side.write(cards, side_by_side.labels_of(data.test), directory)
        console.print(f"Paired tests and plot are in {directory / 'side_by_side.md'}.")


def searched(given: argparse.Namespace, recipe: Recipe, data: kspike.data.Dataset, console: Console) -> dict:
    """Runs both searches; gives what found each entry, None for the hand-made one."""
    directory = given.directory
    bounds = {"parameters": (None, given.max_parameters), "energy_mj": (None, given.max_energy_mj)}
    console.rule("[bold]Supernet", align="left")
    tuner = tuners.EvolutionSearch(
        space=given.space,
        objective=tuners.AEB(beta=given.beta),
        constraints={name: pair for name, pair in bounds.items() if pair[1] is not None},
        generations=given.generations,
        population_size=given.population,
        parents=min(given.parents, given.population),
        finalists=given.finalists,
        seed=recipe.seed,
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
    console.rule("[bold]Ranking without training", align="left")
    ranking = tuners.ZeroCostSearch(
        given.space,
        score="flops",
        constraints={"parameters": (None, int(cost.parameters(found)))},
        seed=recipe.seed,
        directory=directory,
        project_name="ranking",
    )
    ranking.search()
    ranking.results_summary(3)

    return {SEARCHED: tuner, RANKED: ranking, HAND_MADE: None}


def published(
    model: keras.Model, name: str, plan: Recipe, about: dict, given: argparse.Namespace, data: kspike.data.Dataset
) -> dict:
    """The card of an entry, which is published as the zoo's next version, unless this directory's has been."""
    zoo = given.directory / "my_zoo" if given.release is None else given.release
    record = given.directory / f"{name}.published"
    entry = Path(record.read_text()) if record.exists() else None
    if entry is None or entry.parent != zoo.resolve() or not entry.is_dir():
        seconds = sum(row["seconds"] for row in read_history(given.directory / name))
        training = {"recipe": plan.to_dict(), "precision": given.precision, "seconds": round(seconds)}
        training["weights"] = about["weights"]
        more = {"license": "apache-2.0", "backends": given.backends, "search": about["search"], "seed": plan.seed}
        more["reproduce"] = command(sys.argv[1:])
        entry = kspike.zoo.publish(model, name, directory=zoo, data=data, training=training, **more)
        record.write_text(str(entry.resolve()))
    return kspike.zoo.card(entry)


def command(words: list[str]) -> str:
    """The line that makes the entries again, without where things lie on this machine."""
    places = ("--directory", "--data-dir", "--release")
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in places and word.partition("=")[0] not in places
    ]
    return f"KERAS_BACKEND={keras.backend.backend()} {shlex.join(['python', 'tuners/search_c10.py', *kept])}"


def changed(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """The recipe with what the user gave in place of its own; a warm-up is at most half of the epochs."""
    values = recipe.to_dict() | {name: getattr(given, name) for name in CHANGEABLE if getattr(given, name) is not None}
    return Recipe.from_dict({**values, "warmup_epochs": min(values["warmup_epochs"], values["epochs"] / 2)})


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
    add("--max-parameters", type=int, default=None, help="of the network that evolution finds")
    add("--max-energy-mj", type=float, default=None, help="of it too, an image, with the supernet's weights")
    add("--recipe", type=Path, default=RECIPE, help="a JSON file: how each network, and the supernet, is trained")
    for name, kind in CHANGEABLE.items():
        add(f"--{name.replace('_', '-')}", type=kind, default=None, help="in place of the recipe's")
    add("--precision", default="float32", help="of training: float32, or mixed_bfloat16; entries are float32")
    add("--hand-made", type=changes, default={}, help="changes of the space's base: embed_dim=64,depth=2")
    add("--inherit", action="store_true", help="train the found network further, from the supernet's weights")
    add("--only", choices=(SEARCHED, RANKED, HAND_MADE), help="train this one alone, publish nothing")
    add("--suffix", default="", help="of the entries' names")
    add("--release", type=Path, help="the zoo folder to publish in, in place of my_zoo in the directory")
    add("--backends", nargs="*", default=[], help="on which the entries are loaded and measured as well")
    add("--bar", action="store_true", help="a progress bar in each epoch of training")
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
