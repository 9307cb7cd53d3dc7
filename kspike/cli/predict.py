"""kspike predict: names what is on pictures, or in recordings, a row a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kspike.cli.importing import Modules
from kspike.cli.options import BatchSize


def predict(
    model: Annotated[str, typer.Argument(help="A run's folder, or a zoo entry's name or folder.")],
    files: Annotated[
        list[str], typer.Argument(help="Files of pictures or recordings, or folders.", metavar="FILE|FOLDER...")
    ],
    top: Annotated[int, typer.Option(help="Classes a file, the likeliest first.")] = 3,
    batch_size: BatchSize = 64,
    directory: Annotated[
        Path | None, typer.Option(help="A zoo folder to look for the name in.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line for a program.")] = False,
    modules: Modules = None,
) -> None:
    """Name what is on pictures or recordings: a row a file, its likeliest classes with their probabilities.

    Pictures are made to fit and normalised, recordings of event cameras framed, as the model was trained. A file that
    is none is said on the standard
    error stream (with --json in its row, as "error"), the others are named all the same, and the exit code is 1.

    [bold]Examples[/bold]

        kspike predict my_zoo/mine photos/ant/0.png

        kspike predict runs/mine holiday --top 1 --json

        kspike predict runs/events recordings/Test/7/00001.bin
    """
    import kspike
    from kspike.zoo.predicting import pictures_in

    if model.endswith(".keras"):
        raise ValueError(
            f"{model!r} does not say how its images were normalised: publish it with its data (kspike.zoo.publish), or "
            "give the folder of its run."
        )
    paths = pictures_in(files)
    predictor = kspike.zoo.Predictor(model, batch_size=batch_size, directory=directory)
    bad = 0
    for path, found in predictor.files(paths, top):
        bad += isinstance(found, ValueError)
        if as_json:
            print(json.dumps(_row(path, found)), flush=True)
        elif isinstance(found, ValueError):
            typer.echo(_printable(str(found)), err=True)
        else:
            said = "  ".join(f"{_printable(name)} {100 * share:.1f} %" for _, name, share in found)
            print(f"{_printable(os.fspath(path))}  {said}", flush=True)
    if bad:
        typer.echo(f"{bad:,} of {len(paths):,} files could not be read", err=True)
        raise typer.Exit(1)


def _row(path: Path, found: Any) -> dict[str, Any]:
    name = os.fspath(path).encode("utf-8", "replace").decode()
    if isinstance(found, ValueError):
        return {"path": name, "error": str(found).encode("utf-8", "replace").decode()}
    return {"path": name, "classes": [{"name": each, "probability": share} for _, each, share in found]}


def _printable(text: str) -> str:
    """A text without what would steer a terminal: names of files and classes may be anybody's."""
    return "".join(letter if letter.isprintable() else "?" for letter in text.encode("utf-8", "replace").decode())
