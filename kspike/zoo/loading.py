"""Turns a published entry into a model: checked by hash, built from our own classes, the same on every backend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kspike._messages import shown
from kspike.zoo import weights as storage
from kspike.zoo.entry import WEIGHTS, Entry

if TYPE_CHECKING:
    from kspike.config import SpikformerConfig
    from kspike.models import Spikformer

_HEAD = "head"


def load(
    name_or_folder: str | os.PathLike,
    weights: bool = True,
    num_classes: int | None = None,
    include_top: bool = True,
    *,
    timesteps: int | None = None,
    input_shape: Sequence[int] | None = None,
    dtype: Any = None,
    verbose: int = 1,
    offline: bool | None = None,
    directory: str | os.PathLike | None = None,
) -> Spikformer:
    """Turns the name, the folder, the zip or the address of an entry into its model.

    Nothing from the entry is executed: the architecture is data, the model is `kspike.Spikformer`, the weights are
    arrays. The SHA-256 of the config and of the weights is checked before either is opened.

    Args:
        name_or_folder: a name of the published zoo ("auto_spikformer_c10": the newest version;
            "auto_spikformer_c10.v1": that one), then of the folders that the environment variable KSPIKE_ZOO lists; a
            folder of your own ("./my_zoo/my_entry", with or without ".vN"); a zip ("my_entry.v1.zip"); or an address,
            "https://..." or "file:///..." of a zip, with "#sha256=<64 digits>" where only that file will do. What is
            downloaded is kept by its hash, and not asked for again.
        weights: False gives the architecture, freshly initialised.
        num_classes: gives the model a new, untrained head with that many outputs, to fine-tune; None keeps the
            published one.
        include_top: False leaves the head off: the model gives features `(batch, embed_dim)`.
        timesteps: gives the model another T.
        input_shape: gives the model images of another size or number of channels, `(height, width, channels)`, with
            time in front where the entry takes frames. The first convolution is made to fit other channels; no weight
            of the published components depends on height and width.
        dtype: the layers' dtype policy, "mixed_bfloat16"; None follows the session's.
        verbose: 1 prints what was taken over, interpolated and made fresh, where the model is not the published one;
            `model.transfer` holds it; and, before a download, its size. 0 prints nothing.
        offline: True downloads nothing: what was downloaded before is taken, the rest refused. None does as the
            environment variable KSPIKE_OFFLINE says.
        directory: a zoo folder in which to look for the name instead of the published one.

    Returns:
        A `kspike.Spikformer`, not compiled. Its input is what `preprocess` returns, its output are logits. With another
        T or size, `kspike.training.calibrate` measures the statistics of normalisation that belong to it.

    Raises:
        ValueError: unknown entry (the message names the nearest); a file that is missing, truncated, altered, linked or
            absurdly large; an address that is refused; options that contradict each other. Raised before the weights
            are opened.
        OSError: a download broke off; what came is kept, and the same call goes on from there.

    Example:
        >>> import kspike
        >>> model = kspike.zoo.load("auto_spikformer_digits")
        >>> features = kspike.zoo.load("auto_spikformer_digits", include_top=False)
        >>> mine = kspike.zoo.load("auto_spikformer_digits", num_classes=3, timesteps=2, verbose=0)
    """
    if num_classes is not None and not include_top:
        raise ValueError(
            "Expected num_classes with a head; received include_top=False, which has none. Give one of the two."
        )
    if num_classes is not None and (
        isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
    ):
        raise ValueError(f"Expected num_classes to be a whole number above 0, or None; received {num_classes!r}.")
    from kspike.models.transfer import remember, transfer

    entry = Entry.open(name_or_folder, directory, offline=offline, verbose=verbose)
    config = entry.config()
    name = entry.metadata["name"]
    changed = _changed(config, num_classes, timesteps, input_shape)
    if not weights:
        return storage.build(changed, include_top, name=name, dtype=dtype, drawn=True)
    content = entry.weights()
    published = num_classes is None and include_top and changed == config
    model = storage.build(config, name=name, dtype=dtype if published else None)
    storage.fill(model, content, entry.name)
    origin = {"name": entry.name, "weights_sha256": entry.hashes()[WEIGHTS]}
    if published:
        remember(model, origin)
        return model
    target = storage.build(changed, include_top, name=name, dtype=dtype, drawn=True)
    report = transfer(model, target, entry.name, fresh=() if num_classes is None else (_HEAD,))
    remember(target, {**report.to_dict(), **origin}, report)
    if verbose:
        print(report)
    return target


def _changed(
    config: SpikformerConfig, num_classes: int | None, timesteps: int | None, input_shape: Sequence[int] | None
) -> SpikformerConfig:
    """The entry's config with what was asked for."""
    changes: dict[str, Any] = {}
    if num_classes is not None:
        changes["num_classes"] = num_classes
    if timesteps is not None and (isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1):
        raise ValueError(f"Expected timesteps to be a whole number above 0, or None; received {timesteps!r}.")
    shape = config.input_shape
    if input_shape is not None:
        whole = isinstance(input_shape, (tuple, list)) and all(
            isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in input_shape
        )
        if not whole or len(input_shape) not in (3, len(shape)):
            axes = "(time, height, width, channels)" if config.has_time else "(height, width, channels)"
            raise ValueError(f"Expected input_shape to be {axes}; received {shown(input_shape)}: {input_shape!r}.")
        shape = tuple(input_shape) if len(input_shape) == len(shape) else (shape[0], *input_shape)
    if config.has_time and timesteps is not None:
        if input_shape is not None and len(input_shape) == len(config.input_shape) and shape[0] != timesteps:
            raise ValueError(f"Expected timesteps to be the first of input_shape; received {timesteps} and {shape}.")
        shape = (timesteps, *shape[1:])
    if config.has_time:
        timesteps = shape[0]
    if shape != config.input_shape:
        changes["input_shape"] = shape
    if timesteps is not None and timesteps != config.timesteps:
        changes["timesteps"] = timesteps
    return config.replace(**changes)
