"""Options that several commands share, and what they open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kspike import _start
from kspike._files import expanded
from kspike._json import read_object

if TYPE_CHECKING:
    from kspike.config import SpikformerConfig
    from kspike.data import Dataset
    from kspike.models import Spikformer

Data = Annotated[
    str,
    typer.Option(
        help="digits (in the package), cifar10, cifar100, a set of TensorFlow Datasets; of event cameras digits_events "
        "(in the package, simulated), nmnist, dvs128_gesture, cifar10_dvs, n_caltech101; or your own: a folder of "
        "pictures, CLASS/FILE or train|validation|test/CLASS/FILE, or arrays as FILE.npz."
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        help="To which pictures are made to fit, and frames of events summed: 64, or 64x48, height first.",
        show_default=False,
    ),
]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable", help="Of a folder of pictures: leave out files that cannot be read, and say which."
    ),
]
KeepDuplicates = Annotated[
    bool,
    typer.Option(
        "--keep-duplicates", help="Of data of your own: take images that are in two parts at once, with a warning."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where TensorFlow Datasets prepared it, or the recordings of event cameras are; TFDS_DATA_DIR or "
        "KSPIKE_EVENTS_DIR by default.",
        show_default=False,
    ),
]
Timesteps = Annotated[
    int | None,
    typer.Option(help="Of recordings of event cameras: frames of each; else the network's T.", show_default=False),
]
Frames = Annotated[
    str | None,
    typer.Option(help="Of recordings: how they are cut into frames, time, count or window (time).", show_default=False),
]
WindowUs = Annotated[
    int | None,
    typer.Option(help="Of recordings: microseconds a frame, with --frames window.", show_default=False),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch and prepare the data set where it is not there.")]
BatchSize = Annotated[int, typer.Option(help="Images a batch.")]
Seed = Annotated[int, typer.Option(help="Of first weights, order, augmentation, and search.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


#: Options of `kspike.data.load` that say how recordings become frames.
_FRAMING = ("timesteps", "frames", "window_us")


def size_of(text: str | None) -> tuple[int, int] | None:
    """The option --image-size: "64" or "64x48" -> (height, width).

    Raises:
        ValueError: something else.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise ValueError(f"--image-size expects pixels, as 64 or, height first, 64x48; received {text!r}.")
    return int(sides[0]), int(sides[-1])


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


def open_model(
    text: str, directory: Path | None = None, any_classifier: bool = False
) -> tuple[Any, dict[str, Any] | None]:
    """The folder of a run, a .keras file, or a zoo entry's name or folder -> its model, and its card if it has one.

    The model is a Spikformer, unless `any_classifier`: then of a .keras file any keras.Model.

    Of a run on a data set that is what it knows of its images, in the keys of a card: input and class_names.

    Raises:
        ValueError: none of these, or a file of another model.
    """
    import kspike

    if is_run(text):
        return kspike.training.load(text), kspike.training.read_data(text)
    if text.endswith(".keras"):
        return _from_file(text, any_classifier), None
    card = card_of(text, "the folder of a run (kspike train), a .keras file, or an entry of the zoo", directory)
    return kspike.zoo.load(text, directory=directory), card


def card_of(text: str, expected: str, directory: Path | None = None) -> dict[str, Any]:
    """A zoo entry's name, folder, zip or address -> its card.

    Raises:
        ValueError: a damaged or unknown entry; or a path to something else, with what was `expected` there.
    """
    import kspike
    from kspike.zoo import naming, sources

    path = expanded(text)
    if directory is None and not naming.is_name(text) and not sources.is_source(text) and not naming.is_entry(path):
        found = "which is not there"
        if path.exists():
            found = "a folder of something else (images are chosen by --data)" if path.is_dir() else "another file"
        raise ValueError(f"Expected {expected}; received {text!r}, {found}.")
    return kspike.zoo.card(text, directory=directory)


def _from_file(text: str, any_classifier: bool = False) -> Any:
    import keras

    import kspike

    path = expanded(text)
    if not path.is_file():
        raise ValueError(f"{text!r} cannot be read: there is no such file.")
    _start.register()
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises errors of any type for a damaged or foreign file
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{text!r} is no model that Keras can read here: {first}") from None
    if not isinstance(model, kspike.Spikformer) and not any_classifier:
        raise ValueError(
            f"{text!r} holds a {type(model).__name__}; expected a kspike.Spikformer with its head. Of a supernet, save "
            "what extract() gives; another model is evaluated by Keras' own evaluate."
        )
    return model


def open_data(
    name: str,
    card: dict[str, Any] | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    network: SpikformerConfig | None = None,
    image_size: str | None = None,
    skip_unreadable: bool = False,
    keep_duplicates: bool = False,
    **options: Any,
) -> Dataset:
    """Opens a data set; for an entry of the zoo, sized and normalised as its card says, and its classes in its order.

    Images of one's own are made to fit the network, if it is given, unless `image_size` says otherwise. Recordings of
    event cameras are framed as the card says, else by the options timesteps, frames and window_us; T is the network's
    where they do not say it.

    Raises:
        ValueError: images for a model of recordings, or the other way round; options that the data does not read.
    """
    import kspike
    from kspike.data.loading import arguments_of

    options = _framed(name, card, network, options)
    options |= {"data_dir": existing(data_dir), "download": download, "image_size": size_of(image_size)}
    own = kspike.data.is_own(name)
    if skip_unreadable:
        if not own or not expanded(name).is_dir():
            raise ValueError(f"--skip-unreadable is for folders of pictures; {name!r} is none.")
        options["unreadable"] = "skip"
    if keep_duplicates:
        if not own:
            raise ValueError(f"--keep-duplicates is for data of your own; {name!r} is a set that is known by name.")
        options["duplicates"] = "keep"
    if own and network is not None:
        options["image_size"] = options["image_size"] or network.image_shape[:2]
    if own and card is not None and card["input"]["shape"][-1] in (1, 3):
        options["channels"] = card["input"]["shape"][-1]
    if card is not None:
        stated = arguments_of(card["input"])
        options |= {**stated, "image_size": options["image_size"] or stated.get("image_size")}
        if own:
            options |= {"class_names": card["class_names"], "fit": card["input"].get("fit")}
    return kspike.data.open_data(name, **options)


def _framed(
    name: str, card: dict[str, Any] | None, network: SpikformerConfig | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The options with those that say how recordings are framed, which are of event sets alone."""
    from kspike.data import event_loading

    recordings = name in event_loading.names()
    given = [f"--{key.replace('_', '-')}" for key in _FRAMING if options.get(key) is not None]
    if given and not recordings:
        raise ValueError(
            f"{', '.join(given)}: for recordings of event cameras, {', '.join(event_loading.names())}; {name!r} holds "
            "images."
        )
    if card is not None:
        stated = card["input"].get("events") is not None
        if stated != recordings:
            kinds = ("images", "recordings of an event camera")
            raise ValueError(
                f"The model takes {kinds[stated]}, {name!r} holds {kinds[recordings]}: give the data set that it was "
                "trained on as --data."
            )
        if given:
            raise ValueError(f"{', '.join(given)}: the model says how its recordings are framed; leave it out.")
    elif recordings and network is not None and options.get("timesteps") is None:
        return options | {"timesteps": network.timesteps}
    return {key: value for key, value in options.items() if key not in _FRAMING or value is not None}


def check_match(model: Spikformer, images: Dataset, data: str, card: dict[str, Any] | None = None) -> None:
    """Checks that a model's input and classes are those of a data set; by name too, where the user's own are concerned.

    Raises:
        ValueError: they differ.
    """
    if images.input_shape != model.config.input_shape or images.num_classes != model.config.num_classes:
        raise ValueError(
            f"The model takes images {model.config.input_shape} of {model.config.num_classes} classes, {data!r} "
            f"has {images.input_shape} of {images.num_classes}: give the data set that it was trained on as --data."
        )
    if card is not None:
        _check_names(card, images, data)


def _check_names(card: dict[str, Any], images: Dataset, data: str) -> None:
    own = images.is_own or card.get("own") or (card.get("data") or {}).get("own")
    names = card.get("class_names")
    if own and names is not None and list(names) != list(images.class_names):
        few = [", ".join(each[:4]) + ", ..." * (len(each) > 4) for each in (list(names), list(images.class_names))]
        raise ValueError(
            f"The classes of the model are {few[0]}, those of {data!r} are {few[1]}: give the data set that it was "
            "trained on as --data."
        )


def existing(path: Path | None) -> str | None:
    """A path as kspike.data.load takes it."""
    return None if path is None else os.fspath(expanded(path))
