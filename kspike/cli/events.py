"""kspike events: looks at the recordings of event cameras."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kspike._files import expanded, write_text
from kspike.cli.importing import Modules
from kspike.cli.options import open_model
from kspike.cli.wording import Command

if TYPE_CHECKING:
    pass

events = typer.Typer(no_args_is_help=True, help="Look at the recordings of event cameras.", rich_markup_mode="rich")


@events.command(cls=Command, no_args_is_help=True)
def show(
    file: Annotated[Path, typer.Argument(help=".bin, .aedat, .aedat4, .npy, .npz, .h5, .hdf5, .raw or .dat.")],
    html: Annotated[
        Path | None, typer.Option(help="Where the page is written; FILE.html here by default.", show_default=False)
    ] = None,
    timesteps: Annotated[
        int | None, typer.Option(help="Number of frames; 8 by default, or as the model takes.", show_default=False)
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="How frames are cut: time, count or window.", show_default=False)
    ] = None,
    window_us: Annotated[
        int | None, typer.Option(help="Microseconds a frame, with --frames window.", show_default=False)
    ] = None,
    sensor_size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH, where the file does not say it.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="An entry for events: its firing is shown beside.", show_default=False)
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="A zoo folder to look for the model's name in.", show_default=False)
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="The file's format, where neither content nor name tell.", show_default=False)
    ] = None,
    time_unit: Annotated[str | None, typer.Option(help="us, ms, s or ns.", show_default=False)] = None,
    order: Annotated[str | None, typer.Option(help="Of four plain columns, as txyp.", show_default=False)] = None,
    camera: Annotated[str | None, typer.Option(help="dvs128 or davis240, of AEDAT 2.0.", show_default=False)] = None,
    modules: Modules = None,
) -> None:
    """Write a page of a recording: events over time, its frames, and a network's firing beside them.

    [bold]Examples[/bold]

        kspike events show 00002.bin --sensor-size 34x34

        kspike events show recording.raw --frames window --window-us 20000 --html recording.html
    """
    from kspike.data.events.framing import as_framing
    from kspike.data.events.page import as_page
    from kspike.data.events.reading import read_quietly

    target = expanded(html) if html is not None else Path(f"{expanded(file).name}.html")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"{str(target)!r} cannot be written: there is no folder {str(target.absolute().parent)!r}.")
    opened = None if model is None else _model(model, directory, [timesteps, frames, window_us])
    options: dict[str, Any] = {"time_unit": time_unit, "order": order, "camera": camera}
    size = _size(sensor_size) if opened is None else tuple(opened[1]["sensor_size"])
    recording = read_quietly(file, size, format, **options)
    if opened is not None:
        framing = as_framing(opened[1]["framing"], None, None, None, None)
    elif timesteps is None and window_us is not None:
        most = 200  # a page of thousands of frames helps nobody
        framing = as_framing(None, min(most, recording.duration // max(window_us, 1) + 1), frames, window_us, None)
    else:
        framing = as_framing(None, timesteps or min(8, len(recording)), frames, window_us, None)
    made = framing.frames(recording)
    stated = {key: value for key, value in framing.to_dict().items() if value not in (None, False)}
    how = ", ".join(f"{key}={value}" for key, value in stated.items())
    firing, said = ([], "") if opened is None else _firing(opened[0], made, opened[2])
    write_text(target, as_page(recording, made, how, firing, said))
    print(recording)
    for note in recording.notes:
        print(f"mended: {note}")
    if said:
        print(said)
    print(f"written: {target}")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise ValueError(f"--sensor-size: expected HEIGHTxWIDTH, such as 34x34; received {text!r}.")
    return int(found[1]), int(found[2])


def _model(name: str, directory: Path | None, given: list[Any]) -> tuple[Any, dict[str, Any], list[str]]:
    """An entry for events -> its network, what its card says of events, and the names of its classes."""
    if any(value is not None for value in given):
        raise ValueError("--model: its card says how it takes frames; leave out --timesteps, --frames and --window-us.")
    network, card = open_model(name, directory)
    stated = None if card is None else card["input"].get("events")
    if card is None or stated is None:
        raise ValueError(f"--model: expected an entry for event cameras, whose card states them; received {name!r}.")
    classes = card.get("class_names") or [str(k) for k in range(network.config.num_classes)]
    return network, stated, classes


def _firing(network: Any, frames: Any, classes: list[str]) -> tuple[list[list[str]], str]:
    """Each neuron layer's firing rate by time step, and the class that the network chooses."""
    import keras
    import numpy as np

    from kspike import cost

    batch = np.asarray(frames, np.float32)[None]
    report = cost.measure(network, batch, progress=False)
    logits = keras.ops.convert_to_numpy(network(batch, training=False))[0]
    shares = np.exp(logits - logits.max())
    chosen = int(logits.argmax())
    said = f"{classes[chosen]}: {shares[chosen] / shares.sum():.1%}; {report.energy_mj:.6g} mJ."
    return [[row.name, *(f"{rate:.3f}" for rate in row.rates)] for row in report.neurons], said
