"""Options that several commands share, and what they open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kspike._files import expanded
from kspike._json import read_object

if TYPE_CHECKING:
    from kspike.data import Dataset
    from kspike.models import Spikformer

Data = Annotated[str, typer.Option(help="digits (in the package), cifar10, cifar100, or a set of TensorFlow Datasets.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where TensorFlow Datasets prepared it; TFDS_DATA_DIR by default.", show_default="")
]
BatchSize = Annotated[int, typer.Option(help="Images a batch.")]
Seed = Annotated[int, typer.Option(help="Of first weights, order, augmentation, and search.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line, and did not take its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object.

    Raises:
        ValueError: no such file, or another content.
    """
    return read_object(path)


def is_run(text: str) -> bool:
    """Whether this is the folder of a training run."""
    return (expanded(text) / "settings.json").is_file()


def open_model(text: str, directory: Path | None = None) -> tuple[Spikformer, dict[str, Any] | None]:
    """The folder of a run, or a zoo entry's name or folder -> its model, and the card where it has one."""
    import kspike

    if is_run(text):
        return kspike.training.load(text), None
    return kspike.zoo.load(text, directory=directory), kspike.zoo.card(text, directory=directory)


def open_data(name: str, card: dict[str, Any] | None = None, **options: Any) -> Dataset:
    """Opens a data set; for an entry of the zoo, sized and normalised as its card says."""
    import kspike

    if card is not None:
        shown = card["input"]
        options |= {"image_size": tuple(shown["shape"][-3:-1]), "mean": shown["mean"], "std": shown["std"]}
    return kspike.data.load(name, **options)


def matching(model: Spikformer, images: Dataset, data: str) -> None:
    """Holds a model's input and classes to those of a data set.

    Raises:
        ValueError: they differ.
    """
    if images.input_shape != model.config.input_shape or images.num_classes != model.config.num_classes:
        raise ValueError(
            f"The model takes images {model.config.input_shape} of {model.config.num_classes} classes, {data!r} "
            f"has {images.input_shape} of {images.num_classes}: give the data set that it was trained on as --data."
        )


def existing(path: Path | None) -> str | None:
    """A path as kspike.data.load takes it."""
    return None if path is None else os.fspath(expanded(path))
