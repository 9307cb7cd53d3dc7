"""kspike search: a supernet, an evolution over a space, and the best architecture as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kspike._registry import unknown
from kspike.cli import zero_cost
from kspike.cli.importing import Modules
from kspike.cli.options import (
    BatchSize,
    Data,
    DataDir,
    Download,
    Frames,
    ImageSize,
    KeepDuplicates,
    Seed,
    SkipUnreadable,
    Timesteps,
    WindowUs,
    given,
    open_data,
)
from kspike.cli.results import write_results

if TYPE_CHECKING:
    from kspike.space import SearchSpace

METHODS = ("evolution", "zero-cost")
#: Options that one method alone reads; of the other they would do nothing.
ONLY = {
    "evolution": (
        "epochs", "learning_rate", "generations", "population", "parents", "beta", "batch_size", "augment",
    ),
    "zero-cost": ("score", "energy", "energy_weight", "shortlist", "tie_break", "trials"),
}  # fmt: skip


def search(
    context: typer.Context,
    space: Annotated[str, typer.Argument(help="A published space (digits, kspike_c10_small, ...) or a JSON file.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    timesteps: Timesteps = None,
    frames: Frames = None,
    window_us: WindowUs = None,
    directory: Annotated[Path, typer.Option(help="Where projects are kept.")] = Path("runs"),
    project: Annotated[str | None, typer.Option(help="The project's name; the space's by default.")] = None,
    epochs: Annotated[int, typer.Option(help="Epochs that train the supernet.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="Of the supernet.")] = 3e-3,
    generations: Annotated[int, typer.Option(help="Generations after the random one.")] = 10,
    population: Annotated[int, typer.Option(help="Networks a generation.")] = 20,
    parents: Annotated[int, typer.Option(help="How many of the best become parents.")] = 10,
    beta: Annotated[float, typer.Option(help="Weight of energy against accuracy (AEB).")] = 0.02,
    max_parameters: Annotated[int | None, typer.Option(help="No network above this.", show_default=False)] = None,
    max_energy_mj: Annotated[float | None, typer.Option(help="None above this, an image.", show_default=False)] = None,
    max_timesteps: Annotated[int | None, typer.Option(help="None above this.", show_default=False)] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="None above this: weights and largest activations.", show_default=False)
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="None above this, an image, on this machine.", show_default=False)
    ] = None,
    batch_size: BatchSize = 64,
    augment: Annotated[str | None, typer.Option(help="Augmentation of training images.", show_default=False)] = None,
    seed: Seed = 0,
    top: Annotated[int, typer.Option(help="Networks in the tables.")] = 10,
    report: Annotated[bool, typer.Option("--report", help="Leave a web page of it, report.html.")] = False,
    plot: Annotated[bool, typer.Option(help="Draw the front as a picture (needs matplotlib).")] = False,
    method: Annotated[str, typer.Option(help="evolution (supernet), or zero-cost (nothing is trained).")] = "evolution",
    min_parameters: Annotated[int | None, typer.Option(help="No network below this.", show_default=False)] = None,
    max_flops: Annotated[int | None, typer.Option(help="No network above this.", show_default=False)] = None,
    score: Annotated[
        str, typer.Option(help="zero-cost: flops, params, synflow, naswot, grad_norm, synops, energy.")
    ] = "flops",
    energy: Annotated[
        bool, typer.Option("--energy", help="zero-cost: measure a shortlist's energy, untrained, and give the front.")
    ] = False,
    energy_weight: Annotated[
        float | None, typer.Option(help="zero-cost: of energy against the score, 0 to 1.", show_default=False)
    ] = None,
    shortlist: Annotated[int, typer.Option(help="zero-cost: how many are measured, if anything is.")] = 64,
    tie_break: Annotated[str, typer.Option(help="zero-cost: attention, params, a score, or none.")] = "attention",
    trials: Annotated[int, typer.Option(help="zero-cost: how many networks are handed out.")] = 10,
    modules: Modules = None,
) -> None:
    """Search a space of spiking transformers, balancing accuracy against energy.

    With --method zero-cost nothing is trained: the whole space is ranked by FLOPs, in seconds; --energy weighs them
    against the energy of untrained networks on a shortlist, by the training images.

    Else a supernet is trained, then networks of the space are judged by its weights, generation by generation; training
    images and two halves of the validation images are used, the test images never.

    Recordings of event cameras are framed for the space: for each of its T, unless --timesteps says one for all.

    The project folder keeps everything: run the same command after Ctrl-C, and it goes on. At the end it holds
    [bold]best.json[/bold] (the architecture, for `kspike train`), search.json (for `kspike zoo publish --search`) and
    candidates.csv.

    [bold]Examples[/bold]

        kspike search digits --generations 3 --population 12

        kspike search digits --max-parameters 100000 --max-timesteps 2 --plot

        kspike search kspike_c10_small --data cifar10 --augment standard --epochs 50

        kspike search autost_small --method zero-cost --min-parameters 11000000 --max-parameters 12000000

        kspike search digits --method zero-cost --energy --report

        kspike search kspike_nmnist --data nmnist --data-dir recordings --augment standard
    """
    import kspike
    from kspike import tuners
    from kspike.data import event_loading

    if method not in METHODS:
        raise unknown("method", method, METHODS)
    for other, options in ONLY.items():
        if other != method and (idle := [name for name in options if given(context, name)]):
            shown = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            raise ValueError(f"--method {method} does not read {shown}: leave it out, or use --method {other}.")
    limits: dict[str, tuple[float | None, float | None]] = {
        "parameters": (min_parameters, max_parameters),
        "flops": (None, max_flops),
    }
    limits |= {"energy_mj": (None, max_energy_mj), "timesteps": (None, max_timesteps)}
    limits |= {"memory_mb": (None, max_memory_mb), "latency_ms": (None, max_latency_ms)}
    constraints = {name: pair for name, pair in limits.items() if pair != (None, None)}
    genes = tuners.SearchSpace.load(space)
    recordings = data in event_loading.names()
    own = (recordings or kspike.data.is_own(data)) and (method == "evolution" or given(context, "data"))

    def load() -> kspike.data.Dataset:
        options: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "augment": augment}
        options |= {"timesteps": timesteps, "frames": frames, "window_us": window_us}
        if recordings and timesteps is None:
            options["timesteps"] = _timesteps(genes)
        size = image_size or ("x".join(map(str, genes.base.image_shape[:2])) if own and not recordings else None)
        return open_data(data, None, data_dir, download, None, size, skip_unreadable, keep_duplicates, **options)

    if own:  # the space is searched for the classes and the channels of these images, or the frames of recordings
        images = load()
        genes = genes.for_data(images, timesteps)
    if method == "zero-cost":
        train = (lambda: images.train) if own else (lambda: load().train)
        tuner = zero_cost.search(
            genes, train, constraints, score, energy, energy_weight, shortlist, tie_break, trials, seed,
            directory, project, plot, given(context, "shortlist"),
        )  # fmt: skip
        named = energy or tuner.needs_data or given(context, "data")
        write_results(tuner, data if named else None, top, report, plot)
        return
    if not own:
        images = load()
    tuner = tuners.EvolutionSearch(
        space=genes,
        objective=tuners.AEB(beta=beta),
        constraints=constraints,
        generations=generations,
        population_size=population,
        parents=parents,
        seed=seed,
        directory=directory,
        project_name=project or genes.name or "search",
    )
    tuner.train_supernet(images.train, images.validation, epochs=epochs, learning_rate=learning_rate)
    tuner.search(images.train, validation_data=images.validation)
    write_results(tuner, data, top, report, plot)


def _timesteps(space: SearchSpace) -> int | tuple[int, ...]:
    """How many frames of a recording the networks of a space are given; several where each T has frames of its own."""
    if space.frames is not None:
        return space.frames.timesteps
    choices = space.choices("timesteps")
    return choices if len(choices) > 1 else choices[0]
