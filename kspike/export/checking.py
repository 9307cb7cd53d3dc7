"""What `save` is given, looked at before any work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import kspike._finite as finite
from kspike._batches import batches_of
from kspike._messages import shown
from kspike.config import SpikformerConfig
from kspike.export.table import Format
from kspike.layers.int8 import Int8Policy
from kspike.models import Spikformer
from kspike.models.anytime import one_by_one
from kspike.models.image_model import as_numbers, check_images

#: Images at a time.
BATCH = 32
#: Versions of ONNX' operators that the exporter writes.
OPSETS = range(13, 21)
#: What may be let pass by name.
ALLOWED = ("spikes",)


def check_model(model: Any) -> None:
    """Refuses what is no network of float32 with finite weights."""
    if not isinstance(model, Spikformer):
        what = "; extract a supernet's network first, by extract()" if hasattr(model, "extract") else ""
        raise ValueError(f"Expected a kspike.Spikformer to export; received a {type(model).__name__}{what}.")
    policies = {layer.dtype_policy.name for layer in model._flatten_layers()}
    if policies - {"float32", Int8Policy().name}:
        raise ValueError(
            f"Expected a network of dtype float32 to export; received one with {', '.join(sorted(policies))}. Make it "
            "again with dtype='float32' and give it the weights."
        )
    finite.check_weights(model, "the network to export", "Training diverged: export an earlier checkpoint.")


def check_options(form: Format, batch: Any, time: str, opset: Any, pixels: Any, allow: Sequence[str]) -> None:
    """Refuses options that are none, or none of this format."""
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise ValueError(f"Expected batch to be a whole number above 0, or None to leave it free; received {batch!r}.")
    if time not in ("unrolled", "scan", "step"):
        raise ValueError(f"Expected time to be 'unrolled', 'scan' or 'step'; received {time!r}.")
    if time not in form.times:
        raise ValueError(f"Expected time='unrolled' for {form.name}; {time!r} is known of .onnx and .xml alone.")
    if isinstance(opset, bool) or not isinstance(opset, int) or opset not in OPSETS:
        raise ValueError(f"Expected opset from {OPSETS[0]} to {OPSETS[-1]}; received {opset!r}.")
    for name, value in (("batch", batch), ("pixels", pixels)):
        if value is not None and form.suffix == ".nir":
            raise ValueError(f"Expected {name}=None for NIR, which has no place for it; received {shown(value)}.")
    if not isinstance(allow, (tuple, list, set, frozenset)) or any(each not in ALLOWED for each in allow):
        raise ValueError(f"Expected allow out of {ALLOWED}; received {allow!r}.")


def check_steps(model: Spikformer, time: str, class_names: Any) -> None:
    """Refuses one step alone of what takes several together, or has no head; and names of classes without a head."""
    if time != "unrolled":
        one_by_one(model, f"time={time!r}")
    if class_names is not None and not model.include_top:
        raise ValueError(
            "Expected class_names=None of a network without a head (include_top=False), whose outputs are features; "
            f"received {shown(class_names)}."
        )


def pixels_of(pixels: Any, config: SpikformerConfig) -> dict[str, Any] | None:
    """Range, mean and std as lists of numbers; None where the file takes what the network takes."""
    if pixels is None:
        return None
    names = ("range", "mean", "std")
    missing = [name for name in names if not isinstance(pixels, Mapping) or pixels.get(name) is None]
    if missing:
        raise ValueError(
            f"Expected pixels with range, mean and std, as a card's 'input' has them; {', '.join(missing)} missing."
        )
    channels = config.input_shape[-1]
    try:
        found = {name: [float(each) for each in pixels[name]] for name in names}
    except (TypeError, ValueError):
        found = None
    if (
        found is None
        or len(found["range"]) != 2
        or {len(found["mean"]), len(found["std"])} != {channels}
        or not np.isfinite([*found["mean"], *found["std"]]).all()
        or min(found["std"]) <= 0
    ):
        raise ValueError(
            f"Expected pixels with a range of two numbers, and {channels} numbers in mean and in std, one a channel, "
            f"finite and each std above 0; received { ({name: pixels[name] for name in names}) }."
        )
    low, high = found["range"]
    if not 0 <= low < high <= 255:
        raise ValueError(f"Expected a range inside 0 to 255, which uint8 holds; received {low:g} to {high:g}.")
    return found


def notes_of(
    model: Spikformer, time: str, pixels: Any, class_names: Sequence[str] | None, card: str | None
) -> dict[str, str]:
    """What the file says about itself."""
    from kspike import __version__

    notes = {"version": __version__, "config": json.dumps(model.config.to_dict()), "time": time}
    if pixels is not None:
        notes["pixels"] = json.dumps(pixels)
    if class_names is not None:
        several = hasattr(class_names, "__len__") and not isinstance(class_names, (str, bytes, Mapping))
        if not several or len(class_names) != model.config.num_classes:
            raise ValueError(f"Expected {model.config.num_classes} class names; received {shown(class_names)}.")
        notes["classes"] = json.dumps([str(each) for each in class_names])
    if card is not None:
        if not isinstance(card, str):
            raise ValueError(f"Expected the card as text; received {shown(card)}.")
        if "\0" in card or any("\ud800" <= each <= "\udfff" for each in card):
            raise ValueError(f"Expected the card as text that UTF-8 can say, without NUL; received {shown(card)}.")
        notes["card"] = card
    return notes


def images_of(images: Any, config: SpikformerConfig, pixels: Any) -> list[np.ndarray]:
    """What is compared, batch by batch, as the file takes it."""
    if images is None:
        return []
    found = []
    if pixels is not None and hasattr(images, "images"):  # a split of kspike.data: its raw ones
        images = images.images
    for each in batches_of(images, BATCH):
        batch = as_numbers("given", each[0] if isinstance(each, (tuple, list)) else each)
        check_images(batch, config)
        if pixels is None:
            finite.scaled("given", batch)
            if (bad := finite.bad_rows(batch)) is not None:
                raise ValueError(f"Expected finite images to compare; {bad}. Clean them first.")
            batch = batch.astype("float32", copy=False)
        elif batch.dtype != np.uint8:
            raise ValueError(
                f"Expected raw uint8 images where pixels= puts their scaling into the file; received {batch.dtype}. "
                "Give the images as they were stored, not normalised."
            )
        if len(batch):
            found.append(batch)
    if not found:
        raise ValueError("Expected images to compare; received none. Give some, or images=None to compare nothing.")
    return found
