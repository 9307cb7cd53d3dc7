"""kspike zoo: lists, shows, verifies, publishes, exports and imports entries."""

from __future__ import annotations

import json
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kspike.cli.importing import Modules
from kspike.cli.options import (
    AsJson,
    Data,
    DataDir,
    Download,
    ImageSize,
    SkipUnreadable,
    check_match,
    is_run,
    open_data,
    read_json,
)
from kspike.cli.wording import Command

zoo = typer.Typer(
    no_args_is_help=True,
    help="Published models: list, show, verify, publish, export, import.",
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="An entry's name (the newest version), name.vN, folder, zip or address.")]
Directory = Annotated[Path | None, typer.Option(help="A zoo folder instead of the published one.", show_default=False)]


class Sort(StrEnum):
    """What the list is sorted by."""

    name = "name"
    accuracy = "accuracy"
    energy_mj = "energy_mj"
    parameters = "parameters"
    timesteps = "timesteps"


@zoo.command("list", cls=Command)
def list_(
    pattern: Annotated[str, typer.Argument(help="A glob over names, in quotes.")] = "*",
    data: Annotated[
        str | None, typer.Option("--data", "--data-set", help="Only those trained on it.", show_default=False)
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="None below this share: 0.9 for 90 %.", show_default=False)
    ] = None,
    max_energy_mj: Annotated[
        float | None, typer.Option(help="None above so many mJ an image.", show_default=False)
    ] = None,
    max_parameters: Annotated[int | None, typer.Option(help="None above this.", show_default=False)] = None,
    timesteps: Annotated[int | None, typer.Option(help="Only those of this T.", show_default=False)] = None,
    sort: Annotated[Sort, typer.Option(help="The best first: most accurate, else least.")] = Sort.name,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Older versions too.")] = False,
    directory: Directory = None,
    as_json: AsJson = False,
    modules: Modules = None,
) -> None:
    """List published models. Damaged entries stand below, and why on stderr; of --json, in "damaged" (else null).

    [bold]Examples[/bold]

        kspike zoo list

        kspike zoo list '*digits*' --directory my_zoo

        kspike zoo list --data cifar10 --max-energy-mj 0.01 --sort accuracy
    """
    import kspike

    with warnings.catch_warnings():  # said below, without a place in this file
        warnings.filterwarnings("ignore", message="The entry .* is (damaged|unavailable|hidden)", category=UserWarning)
        table = kspike.zoo.list_models(
            pattern, data, max_parameters, min_accuracy=min_accuracy, max_energy_mj=max_energy_mj, timesteps=timesteps,
            sort=sort.value, directory=directory, all_versions=all_versions,
        )  # fmt: skip
    if as_json:
        print(json.dumps(table.records()))
        return
    _print(table)
    for row in table.damaged:
        typer.echo(f"{row['state']}: {row['name']}: {row['error']}", err=True)


@zoo.command(cls=Command, no_args_is_help=True)
def show(name: Name, directory: Directory = None, as_json: AsJson = False, modules: Modules = None) -> None:
    """Show an entry's card: what it is, what was measured, how to reproduce it.

    [bold]Examples[/bold]

        kspike zoo show auto_spikformer_digits

        kspike zoo show my_zoo/my_digits --json
    """
    import kspike

    card = kspike.zoo.card(name, directory=directory)
    if as_json:
        print(json.dumps(card, indent=2))
    else:
        _print(_card(card))


@zoo.command(cls=Command, no_args_is_help=True)
def verify(
    name: Annotated[str, typer.Argument(help="As of show; of --all a glob over names, in quotes.")] = "*",
    every: Annotated[bool, typer.Option("--all", help="Every entry and version, as one table.")] = False,
    backend: Annotated[
        list[str] | None, typer.Option(help="Of --all: there (torch, jax, tensorflow); may be repeated.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="By default the data set of the card.", show_default=False)] = None,
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    directory: Directory = None,
    modules: Modules = None,
) -> None:
    """Check an entry's hashes, measure it again, and compare with its card. Exit code 1 where they differ.

    --all measures every entry; exit code 1 also where one could not be measured.

    [bold]Examples[/bold]

        kspike zoo verify auto_spikformer_digits

        kspike zoo verify --all '*digits*' --backend torch --backend jax
    """
    import kspike

    own = data is not None or download or image_size is not None or skip_unreadable
    if every:
        if own:
            raise ValueError("--all measures each entry on its card's data set: --data and the like go with one name.")
        found = kspike.zoo.verify_all(
            name, backends=tuple(backend or ()), directory=directory, data_dir=data_dir,
            progress=lambda row: typer.echo(f"{row.name} on {row.backend}: {row.cells()[-1]}", err=True),
        )  # fmt: skip
        _print(found)
        if not found.ok:
            raise typer.Exit(1)
        return
    if name == "*" or backend:
        raise ValueError("Expected the name of an entry, or --all for every one (which --backend goes with).")
    images = None
    if own:
        card = kspike.zoo.card(name, directory=directory)
        named = data or (card["data"] or {}).get("name") or "digits"
        images = open_data(named, card, data_dir, download, None, image_size, skip_unreadable)
    report = kspike.zoo.verify(name, images, directory=directory, data_dir=data_dir)
    _print(report)
    if not report.ok:
        raise typer.Exit(1)


@zoo.command(cls=Command, no_args_is_help=True)
def publish(
    run: Annotated[str, typer.Argument(help="The folder of a training run.")],
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, underscores; the version is added.")],
    license: Annotated[str, typer.Option(help="Of the weights, an SPDX name such as apache-2.0.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    directory: Annotated[Path, typer.Option(help="The zoo folder, made if absent.")] = Path("my_zoo"),
    search: Annotated[Path | None, typer.Option(help="The search.json that found it.", show_default=False)] = None,
    notes: Annotated[str | None, typer.Option(help="Limits that a user should know.", show_default=False)] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite.", show_default=False)] = None,
    reproduce: Annotated[
        str | None,
        typer.Option(help="The commands that make the model again; this one by default.", show_default=False),
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Measure there too (torch, jax, tensorflow); may be repeated.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store kernels in float16: half the bytes.")] = False,
    modules: Modules = None,
) -> None:
    """Publish a trained model as a folder: weights, config, and a card with what was measured.

    The test images are read here, once. An entry is never changed: the same name again makes the next version.

    [bold]Examples[/bold]

        kspike zoo publish runs/best my_digits --license apache-2.0

        kspike zoo publish runs/best my_digits --license apache-2.0 --search runs/digits/search.json --backend jax
    """
    import kspike
    from kspike.training.records import SAID
    from kspike.zoo import cards

    if not is_run(run):
        raise ValueError(f"Expected the folder of a training run (kspike train), received {run!r}, which is none.")
    settings = read_json(Path(run) / "settings.json")
    recipe = settings["recipe"]
    epochs = kspike.training.read_history(run)
    training = {name: value for name, value in settings.items() if name in SAID}
    training |= {"seconds": round(sum(row["seconds"] for row in epochs)), cards.CURVES: _curves(epochs)}
    model, about = kspike.training.load(run), kspike.training.read_data(run)
    images = open_data(
        data, about, data_dir, download, model.config, image_size, skip_unreadable, batch_size=recipe["batch_size"]
    )
    check_match(model, images, data, about)
    if about is not None and images.is_own and images.train.hash != settings["images"]:
        raise ValueError(
            f"The run in {run} was trained on other images than {data!r} now holds: its training images may be tested "
            "here. Give it as it was, or train on it as it is."
        )
    folder = kspike.zoo.publish(
        model,
        name,
        license=license,
        directory=directory,
        data=images,
        search=None if search is None else read_json(search),
        training=training,
        notes=notes,
        citation=citation,
        seed=recipe["seed"],
        reproduce=reproduce,
        backends=tuple(backend or ()),
        half=half,
    )
    print(f"published: {folder}")


@zoo.command("export", cls=Command, no_args_is_help=True)
def export_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The zip to write, NAME.vN.zip.")],
    directory: Directory = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    modules: Modules = None,
) -> None:
    """Write an entry as one zip to be sent, its hashes checked first; say its SHA-256.

    [bold]Example[/bold]

        kspike zoo export my_zoo/my_digits my_digits.v1.zip
    """
    import kspike
    from kspike._files import sha256

    path = kspike.zoo.export_zip(name, file, directory=directory, overwrite=overwrite)
    print(f"written: {path}, {path.stat().st_size:,} bytes, sha256={sha256(path)}")


@zoo.command("import", cls=Command, no_args_is_help=True)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="A zip, or the address of one: https:// or file://, with #sha256=... where only that file will do.",
            metavar="FILE|URL",
        ),
    ],
    directory: Annotated[Path, typer.Option(help="The zoo folder, made if absent.")] = Path("my_zoo"),
    offline: Annotated[bool, typer.Option("--offline", help="Only what was downloaded before.")] = False,
    modules: Modules = None,
) -> None:
    """Put the entry of a zip into a zoo folder. All hashes are checked before anything is written.

    [bold]Example[/bold]

        kspike zoo import my_digits.v1.zip --directory my_zoo
    """
    import kspike

    print(f"imported: {kspike.zoo.import_zip(source, directory=directory, offline=offline or None)}")


def _card(card: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    tested, data = card.get("evaluation") or {}, card.get("data") or {}
    energy = card.get("energy") or {}
    rows = {
        "data": f"{data['name']}, images {tuple(card['input']['shape'])}" if data else "none given",
        "accuracy": f"{100 * card['accuracy']:.2f} % ({tested['correct']} of {tested['n']} test images)"
        if tested
        else "-",
        "energy": f"{card['energy_mj']:.6f} mJ an image ({energy['convention']})" if energy else "-",
        "parameters": f"{card['parameters']:,}",
        "license": card["license"],
        "seed": card.get("seed"),
        "reproduce": card.get("reproduce"),
        "notes": card.get("notes"),
        "citation": card.get("citation"),
        "created": card.get("created"),
    }
    table = Table(title=Text(f"{card['name']}.v{card['version']}"), title_justify="left", show_header=False)
    for title, value in rows.items():
        if value is not None:
            table.add_row(title, Text(str(value)))  # text, not markup: a card must not style or link anything
    return table


def _curves(epochs: list[dict[str, float]]) -> dict[str, list[float]]:
    """Rows of a run's history -> what a card keeps of them: accuracy by epoch, where every epoch has it."""
    names = ("accuracy", "val_accuracy")
    return {name: [round(row[name], 6) for row in epochs] for name in names if all(name in row for row in epochs)}


def _print(what: Any) -> None:
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=120)).print(what)
