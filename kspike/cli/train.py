"""kspike train: trains an architecture by a recipe, from fresh weights or from those of a run or an entry."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kspike import _names
from kspike._files import expanded
from kspike._messages import counted
from kspike._stages import in_words
from kspike.cli import starting
from kspike.cli.importing import Modules
from kspike.cli.options import (
    Data,
    DataDir,
    Download,
    Frames,
    ImageSize,
    KeepDuplicates,
    SkipUnreadable,
    WindowUs,
    given,
    open_data,
)

if TYPE_CHECKING:
    from kspike.training import Recipe


def train(
    context: typer.Context,
    config: Annotated[
        str, typer.Argument(help="A SpikformerConfig as a JSON file, an entry of the zoo, or the folder of a run.")
    ],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    timesteps: Annotated[
        int | None,
        typer.Option(help="T, if not the file's; recordings are cut into as many frames.", show_default=False),
    ] = None,
    frames: Frames = None,
    window_us: WindowUs = None,
    directory: Annotated[Path | None, typer.Option(help="Where the run is kept; runs/NAME by default.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe as a JSON file; the options below change it.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images (100).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step (64).")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest (1e-3).")] = None,
    min_learning_rate: Annotated[float | None, typer.Option(help="The last (1e-5).")] = None,
    warmup_epochs: Annotated[float | None, typer.Option(help="While the rate rises (0).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW (0.01).")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of a label spread over all (0).")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, shift, flip_shift, standard; spikformer of images, event_drop of events.")
    ] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Factor of the rate from each layer to the one before it (1).")
    ] = None,
    ema: Annotated[float | None, typer.Option(help="Momentum of averaged weights, as 0.999 (none).")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Logits of a teacher, as kspike teach writes them.", show_default=False)
    ] = None,
    teacher_share: Annotated[float | None, typer.Option(help="Share of a label that is the teacher's (0).")] = None,
    teacher_temperature: Annotated[float | None, typer.Option(help="Softens what it says, above 1 (1).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of first weights, order and augmentation (0).")] = None,
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        typer.Option(help="Of the products; membranes, normalisations and weights stay in float32."),
    ] = "float32",
    weights: Annotated[bool, typer.Option("--weights", help="The same as --from CONFIG, an entry.")] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Start from the weights of a run or an entry.", show_default=False),
    ] = None,
    extend: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Go on from a finished run, CONFIG, for N epochs, as a run of its own.",
            show_default=False,
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(help="A layer that does not train: stem, block_0, ...; may be repeated.", show_default=False),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, removing the run that is there.")] = False,
    bar: Annotated[bool, typer.Option("--bar", help="Show a progress bar in each epoch.")] = False,
    modules: Modules = None,
) -> None:
    """Train an architecture on a data set by a recipe.

    Every epoch is kept: run the same command after Ctrl-C or kill -9, and it goes on, to the weights that it would have
    ended with. Validation images are looked at; nothing is chosen by them, and the test images are not read.

    The number of classes and the size of the images are the data set's, whatever the file says. Pictures of your own,
    a folder, are made to fit the size that the file says, unless --image-size is given. Recordings of event cameras are
    cut into as many frames as the file has time steps. --timesteps gives the network another T, for images too.

    --from takes the weights that fit from another run or entry, and says what was interpolated or made fresh. --extend
    goes on from a finished run by its recipe, which the options change, in a folder of its own.

    [bold]Examples[/bold]

        kspike train runs/digits/best.json --epochs 40 --learning-rate 5e-3 --augment shift

        kspike train spikformer.json --data cifar10 --recipe recipe.json --directory runs/c10

        kspike train auto_spikformer_c10 --weights --data cifar100 --epochs 20

        kspike train spikformer.json --from auto_spikformer_c10 --data photos --freeze stem --layer-decay 0.8

        kspike train runs/c10 --extend 10 --data cifar10 --learning-rate 1e-4

        kspike train spikformer_4_384_c10 --data cifar10 --recipe recipe.json --precision mixed_bfloat16

        kspike train auto_spikformer_c10 --data cifar10 --augment flip_shift --teacher teacher.npz --teacher-share 0.9

        kspike train events.json --data nmnist --data-dir recordings --timesteps 8 --augment standard
    """
    import keras

    import kspike
    from kspike.data import event_loading

    start = starting.read(config, from_, weights, extend)
    changes = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "warmup_epochs": warmup_epochs,
        "min_learning_rate": min_learning_rate, "weight_decay": weight_decay, "label_smoothing": label_smoothing,
        "augment": augment, "layer_decay": layer_decay, "ema": ema, "seed": seed,
        "teacher_share": teacher_share, "teacher_temperature": teacher_temperature,
    }  # fmt: skip
    plan = _plan(start, recipe, extend, {name: value for name, value in changes.items() if value is not None})
    if extend is not None and not given(context, "data"):
        data = start.data_name()
    options: dict[str, Any] = {"batch_size": plan.batch_size, "seed": plan.seed, "augment": plan.augment}
    if timesteps is not None and data not in event_loading.names():
        start = start.with_timesteps(timesteps)
    else:
        options["timesteps"] = timesteps
    options |= {"frames": frames, "window_us": window_us}
    about = start.about if extend is not None else None
    images = open_data(
        data, about, data_dir, download, start.config, image_size, skip_unreadable, keep_duplicates, **options
    )
    keras.utils.set_random_seed(plan.seed)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = start.model(images)
    finally:
        keras.config.set_dtype_policy(usual)
    starting.freeze(model, freeze or ())
    named = f"{Path(config).name}_extended" if extend is not None else f"{Path(config).stem}_{images.name}"
    folder = directory or Path("runs") / _names.made_from(named)
    if start.extended is not None and expanded(folder).resolve() == expanded(start.extended).resolve():
        raise ValueError(f"--extend makes a run of its own; {folder} is the run that it goes on from: name another.")
    made = f"{in_words(model.config.depth, model.config.embed_dim)}, {counted(model.config.timesteps, 'time step')}"
    size = f"{kspike.cost.parameters(model.config):,} parameters"
    print(f"{made}, {size}; {counted(plan.epochs, 'epoch')} into {folder}")
    kspike.training.train(
        model, images, plan, directory=folder, resume=not restart, teacher=teacher, verbose=2 if bar else 1
    )
    print(f"done: {folder}; measure it by: {shlex.join(['kspike', 'evaluate', str(folder), '--data', data])}")


def _plan(start: starting.Start, recipe: Path | None, extend: int | None, changes: dict[str, Any]) -> Recipe:
    """The recipe: the file's, the extended run's, or the usual one, with what the options say."""
    from kspike.training import Recipe

    base = Recipe() if recipe is None else Recipe.load(recipe)
    if extend is None:
        return base.replace(**changes)
    if "epochs" in changes:
        raise ValueError(f"--extend {extend} says how many epochs; leave out --epochs.")
    if recipe is None:
        base = start.recipe()
        if base.warmup_epochs >= extend:
            changes.setdefault("warmup_epochs", 0.0)
    return base.replace(**{**changes, "epochs": extend})
