"""kspike teach: asks a trained classifier for its logits of the training images, for students to train with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kspike._messages import counted
from kspike.cli.importing import Modules
from kspike.cli.options import (
    BatchSize,
    Data,
    DataDir,
    Download,
    ImageSize,
    KeepDuplicates,
    SkipUnreadable,
    open_data,
    open_model,
)


def teach(
    model: Annotated[str, typer.Argument(help="A .keras file of any classifier, a run's folder, or an entry.")],
    file: Annotated[Path, typer.Argument(help="Where the logits are written: teacher.npz.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    views: Annotated[int, typer.Option(help="How often each image is seen, mirrored and moved otherwise.")] = 8,
    augment: Annotated[str | None, typer.Option(help="That of the student's recipe: its mirror and shift.")] = None,
    seed: Annotated[int, typer.Option(help="Of the views.")] = 0,
    batch_size: BatchSize = 256,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    modules: Modules = None,
) -> None:
    """Ask a teacher for its logits of every training image, once, for students to train with.

    [bold]Examples[/bold]

        kspike teach resnet.keras teacher.npz --data cifar10 --augment flip_shift --views 8

        kspike train auto_spikformer_c10 --data cifar10 --augment flip_shift --teacher teacher.npz --teacher-share 0.9
    """
    import kspike

    if file.suffix != ".npz":
        raise ValueError(f"Expected a file NAME.npz for the logits, received {str(file)!r}.")
    if file.exists() and not overwrite:
        raise ValueError(f"{str(file)!r} exists already: choose another name, or --overwrite it.")
    network, card = open_model(model, any_classifier=True)
    shape = network.input_shape[1:]
    size = image_size or f"{shape[0]}x{shape[1]}"
    images = open_data(data, card, data_dir, download, None, size, skip_unreadable, keep_duplicates, augment=augment)
    said = {"name": Path(model).name, "parameters": network.count_params()}
    logits = kspike.training.teacher_logits(
        network, images, views=views, seed=seed, batch_size=batch_size, teacher=said
    )
    logits.save(file)
    right = (logits.logits.argmax(-1) == images.train.labels).mean()
    shown = f"{counted(logits.views, 'view')} of {counted(images.train.num_examples, 'image')}"
    print(f"{file}: {shown}, {100 * right:.2f} % named right")
