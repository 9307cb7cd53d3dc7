"""kspike train: trains an architecture by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kspike import _names
from kspike._stages import in_words
from kspike.cli.importing import Modules
from kspike.cli.options import Data, DataDir, Download, card_of, existing, read_json

if TYPE_CHECKING:
    from kspike.data import Dataset
    from kspike.models import Spikformer


def train(
    config: Annotated[str, typer.Argument(help="A SpikformerConfig as a JSON file, or an entry of the zoo.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    directory: Annotated[Path | None, typer.Option(help="Where the run is kept; runs/NAME by default.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe as a JSON file; the options below change it.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images (100).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step (64).")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest (1e-3).")] = None,
    min_learning_rate: Annotated[float | None, typer.Option(help="The last (1e-5).")] = None,
    warmup_epochs: Annotated[float | None, typer.Option(help="While the rate rises (0).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW (0.01).")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of a label spread over all (0).")] = None,
    augment: Annotated[str | None, typer.Option(help="none, shift, flip_shift, standard or spikformer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of first weights, order and augmentation (0).")] = None,
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        typer.Option(help="Of the products; membranes, normalisations and weights stay in float32."),
    ] = "float32",
    weights: Annotated[bool, typer.Option("--weights", help="Start from the entry's weights, not from fresh.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, removing the run that is there.")] = False,
    bar: Annotated[bool, typer.Option("--bar", help="Show a progress bar in each epoch.")] = False,
    modules: Modules = None,
) -> None:
    """Train an architecture on a data set by a recipe.

    Every epoch is kept: run the same command after Ctrl-C or kill -9, and it goes on, to the weights that it would have
    ended with. Validation images are looked at; nothing is chosen by them, and the test images are not read.

    The number of classes and the size of the images are the data set's, whatever the file says.

    [bold]Examples[/bold]

        kspike train runs/digits/best.json --epochs 40 --learning-rate 5e-3 --augment shift

        kspike train spikformer.json --data cifar10 --recipe recipe.json --directory runs/c10

        kspike train auto_spikformer_c10 --weights --data cifar100 --epochs 20

        kspike train spikformer_4_384_c10 --data cifar10 --recipe recipe.json --precision mixed_bfloat16
    """
    import keras

    import kspike
    from kspike.training import Recipe

    base = Recipe() if recipe is None else Recipe.load(recipe)
    given = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "warmup_epochs": warmup_epochs,
        "min_learning_rate": min_learning_rate, "weight_decay": weight_decay, "label_smoothing": label_smoothing,
        "augment": augment, "seed": seed,
    }  # fmt: skip
    plan = base.replace(**{name: value for name, value in given.items() if value is not None})
    images = plan.load_data(data, data_dir=existing(data_dir), download=download)
    keras.utils.set_random_seed(plan.seed)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = _model(config, images, weights)
    finally:
        keras.config.set_dtype_policy(usual)
    folder = directory or Path("runs") / _names.made_from(f"{Path(config).stem}_{images.name}")
    print(f"{in_words(model.config.depth, model.config.embed_dim)}, {model.config.timesteps} time steps, "
          f"{kspike.cost.parameters(model.config):,} parameters; {plan.epochs} epochs into {folder}")  # fmt: skip
    kspike.training.train(model, images, plan, directory=folder, resume=not restart, verbose=2 if bar else 1)
    print(f"done: {folder}; measure it by: kspike evaluate {folder} --data {data}")


def _model(config: str, images: Dataset, weights: bool) -> Spikformer:
    """A JSON file, or an entry of the zoo -> the model, made for the data."""
    import kspike

    fitted = {"num_classes": images.num_classes}
    if config.endswith(".json"):
        if weights:
            raise ValueError("--weights needs an entry of the zoo; a JSON file holds an architecture alone.")
        described = kspike.SpikformerConfig.from_dict(read_json(Path(config)))
        return kspike.Spikformer(described.replace(input_shape=images.input_shape, **fitted))
    card = card_of(config, "an architecture: a SpikformerConfig as a JSON file, or an entry of the zoo")
    same = card["input"]["shape"] == list(images.input_shape)
    if not weights:
        described = kspike.zoo.load(config, weights=False).config
        return kspike.Spikformer(described.replace(input_shape=images.input_shape, **fitted))
    if not same:
        raise ValueError(
            f"{config} takes images {tuple(card['input']['shape'])}, {images.name!r} has {images.input_shape}."
        )
    if images.num_classes == len(card["class_names"] or ()):
        return kspike.zoo.load(config)
    return kspike.zoo.load(config, num_classes=images.num_classes)
