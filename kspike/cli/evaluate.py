"""kspike evaluate: accuracy and energy of a trained model on one split of a data set."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kspike._messages import counted
from kspike.cli.importing import Modules
from kspike.cli.options import (
    AsJson,
    BatchSize,
    Data,
    DataDir,
    Download,
    Frames,
    ImageSize,
    KeepDuplicates,
    SkipUnreadable,
    Timesteps,
    WindowUs,
    check_match,
    open_data,
    open_model,
)


class SplitName(StrEnum):
    """The splits of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


def evaluate(
    model: Annotated[str, typer.Argument(help="A run's folder, a .keras file, or a zoo entry's name or folder.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    timesteps: Timesteps = None,
    frames: Frames = None,
    window_us: WindowUs = None,
    split: Annotated[
        SplitName, typer.Option(help="Choose by validation; look at test once, at the end.")
    ] = SplitName.test,
    directory: Annotated[
        Path | None, typer.Option(help="A zoo folder to look for the name in.", show_default=False)
    ] = None,
    batch_size: BatchSize = 64,
    convention: Annotated[str, typer.Option(help="How energy is charged.")] = "spikformer",
    as_json: AsJson = False,
    modules: Modules = None,
) -> None:
    """Measure accuracy and energy of a trained model.

    [bold]Examples[/bold]

        kspike evaluate runs/best --split validation

        kspike evaluate auto_spikformer_digits

        kspike evaluate my_zoo/my_digits --json

        kspike evaluate my_model.keras --data cifar10
    """
    import keras
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    import kspike
    from kspike._finite import check_weights

    network, card = open_model(model, directory)
    images = open_data(
        data, card, data_dir, download, network.config, image_size, skip_unreadable, keep_duplicates,
        batch_size=batch_size,
        timesteps=timesteps, frames=frames, window_us=window_us,
    )  # fmt: skip
    check_match(network, images, data, card)
    chosen = getattr(images, split)
    chosen = chosen.without_augmentation() if split is SplitName.train else chosen
    check_weights(network, model, "Training diverged: evaluate an earlier checkpoint.")
    network.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    found = network.evaluate(chosen, verbose=0, return_dict=True)
    report = kspike.cost.measure(network, chosen, convention=convention, progress=not as_json)
    row = {
        "model": model, "data": images.name, "split": split.value, "images": report.images,
        "accuracy": float(found["accuracy"]), "loss": float(found["loss"]),
        "energy_mj": None if report.convention.free else float(report.energy_mj),
        "convention": convention, "parameters": int(kspike.cost.parameters(network.config)),
        "timesteps": network.config.timesteps, "backend": keras.backend.backend(),
    }  # fmt: skip
    if as_json:
        print(json.dumps(row))
        return
    table = Table(title=Text(f"{model} on {images.name}, {split.value}"), title_justify="left", show_header=False)
    table.add_row("accuracy", f"{100 * row['accuracy']:.2f} % of {counted(row['images'], 'image')}")
    table.add_row("loss", f"{row['loss']:.4f}")
    if report.convention.free:
        summed = f"{report.total('ac'):,.0f} accumulations, {report.total('mac'):,.0f} multiply-accumulates an image"
        table.add_row("operations", f"{summed}, {row['timesteps']} time steps ({convention}: no energy)")
    else:
        table.add_row("energy", f"{row['energy_mj']:.6f} mJ an image, {row['timesteps']} time steps ({convention})")
    table.add_row("parameters", f"{row['parameters']:,}")
    Console().print(table)
