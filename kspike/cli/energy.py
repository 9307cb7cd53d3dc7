"""kspike energy: where the energy of a trained model goes, layer by layer, alone or beside another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kspike.cli.evaluate import SplitName
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


def energy(
    model: Annotated[str, typer.Argument(help="A run's folder, a .keras file, or a zoo entry's name or folder.")],
    beside: Annotated[str | None, typer.Argument(help="Another one, to compare with.", show_default=False)] = None,
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    image_size: ImageSize = None,
    skip_unreadable: SkipUnreadable = False,
    keep_duplicates: KeepDuplicates = False,
    timesteps: Timesteps = None,
    frames: Frames = None,
    window_us: WindowUs = None,
    split: Annotated[SplitName, typer.Option(help="Which images are measured.")] = SplitName.test,
    limit: Annotated[int | None, typer.Option(help="The first N images; all by default.", show_default=False)] = None,
    directory: Annotated[
        Path | None, typer.Option(help="A zoo folder to look for the names in.", show_default=False)
    ] = None,
    batch_size: BatchSize = 64,
    convention: Annotated[str, typer.Option(help="How energy is charged.")] = "spikformer",
    html: Annotated[Path | None, typer.Option(help="Write a page with charts here.", show_default=False)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write one line a product here.", show_default=False)] = None,
    as_json: AsJson = False,
    modules: Modules = None,
) -> None:
    """Measure where the energy goes, layer by layer.

    Real images run through the model once; every product is charged by what arrives there. The page needs no network
    and holds bars by layer, firing rates by time step, the spikes of one image, and accuracy and energy against T.

    [bold]Examples[/bold]

        kspike energy auto_spikformer_digits

        kspike energy auto_spikformer_c10 spikformer_c10 --data cifar10 --limit 1000 --html energy.html

        kspike energy runs/best --split validation --convention spikingformer --csv energy.csv --json
    """
    import kspike
    from kspike.cost.conventions.base import get
    from kspike.cost.report.text import as_comparison

    if limit is not None and limit < 1:
        raise ValueError(f"--limit expects at least 1 image, received {limit}.")
    rule = get(convention)
    for path in (html, csv):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"{str(path)!r} cannot be written: there is no folder {str(path.absolute().parent)!r}.")
    opened = [open_model(name, directory) for name in (model, beside) if name is not None]
    reports = []
    for network, card in opened:
        images = open_data(
            data, card, data_dir, download, network.config, image_size, skip_unreadable, keep_duplicates,
        batch_size=batch_size,
            timesteps=timesteps, frames=frames, window_us=window_us,
        )  # fmt: skip
        check_match(network, images, data, card)
        chosen = getattr(images, split)
        chosen = chosen.without_augmentation() if split is SplitName.train else chosen
        reports.append(kspike.cost.measure(network, chosen, convention=rule, progress=not as_json, images=limit))
    if html is not None:
        reports[0].to_html(html, *reports[1:])
    if csv is not None:
        reports[0].to_csv(csv, *reports[1:])
    if as_json:
        values = [report.to_dict() | {"data": data, "split": split.value} for report in reports]
        print(json.dumps(values[0] if beside is None else values))
        return
    print("\n\n".join(map(str, reports)))
    if beside is not None:
        print(f"\n{as_comparison(*reports)}")
    for path in (html, csv):
        if path is not None:
            print(f"written: {path}")
