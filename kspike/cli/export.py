"""kspike export: a trained model as a file that another runtime reads, its spikes compared there."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kspike.cli.evaluate import SplitName
from kspike.cli.importing import Modules
from kspike.cli.options import (
    AsJson,
    Data,
    DataDir,
    Download,
    KeepDuplicates,
    SkipUnreadable,
    check_match,
    open_data,
    open_model,
)


class Time(StrEnum):
    """How the T steps are written."""

    unrolled = "unrolled"
    scan = "scan"
    step = "step"


def export(
    model: Annotated[str, typer.Argument(help="A run's folder, a .keras file, or a zoo entry's name or folder.")],
    file: Annotated[
        Path, typer.Argument(help=".onnx, .xml (OpenVINO), .pt2, .tflite, .nir, or a folder (SavedModel).")
    ],
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    split: Annotated[SplitName, typer.Option(help="Images that are compared.")] = SplitName.validation,
    compare: Annotated[bool, typer.Option(help="Run the file, and compare every spike.")] = True,
    raw: Annotated[
        bool, typer.Option("--raw", help="The file takes raw uint8 pixels, scaled in it as the entry's card says.")
    ] = False,
    time: Annotated[
        Time, typer.Option(help="T steps one after the other, in a loop, or one step alone.")
    ] = Time.unrolled,
    batch: Annotated[int | None, typer.Option(help="Images at a time; free by default.", show_default=False)] = None,
    opset: Annotated[int, typer.Option(help="Version of ONNX' operators.")] = 17,
    overwrite: Annotated[bool, typer.Option(help="Replace what is there.")] = True,
    allow_spikes: Annotated[bool, typer.Option("--allow-spikes", help="Write it even where spikes differ.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="A zoo folder to look for the name in.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    modules: Modules = None,
) -> None:
    """Write a trained model as a file for another runtime, and compare its spikes there.

    [bold]Examples[/bold]

        kspike export auto_spikformer_digits digits.onnx

        kspike export runs/best best.xml --time scan

        kspike export auto_spikformer_c10 c10.pt2 --data cifar10 --raw
    """
    import kspike

    network, card = open_model(model, directory)
    if raw and card is None:
        raise ValueError(
            "--raw needs an entry of the zoo, whose card says how pixels are scaled; received another model."
        )
    images = None
    if compare:
        opened = open_data(
            data, card, data_dir, download, network.config, None, skip_unreadable, keep_duplicates, batch_size=32
        )
        check_match(network, opened, data)
        chosen = getattr(opened, split)
        chosen = chosen.without_augmentation() if split is SplitName.train else chosen
        images = chosen.images if raw else chosen
    about = {}
    if card is not None:
        about = {"class_names": card.get("class_names"), "card": json.dumps(card, ensure_ascii=False)}
    report = kspike.export.save(
        network, file, images=images, overwrite=overwrite, batch=batch, time=time.value, opset=opset,
        pixels=card["input"] if raw and card else None, allow=("spikes",) if allow_spikes else (), **about,
    )  # fmt: skip
    print(json.dumps(report.to_dict()) if as_json else report)
