"""Gives the weights of one model to another of a like architecture: what fits is taken over, the rest is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from kspike.config import SpikformerConfig


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What became of each weight of a model that was given those of another; prints as a few lines.

    taken, interpolated, fresh: paths of the model's weights; left: those of the other that found no place. `notes` say
    what else a reader should know.
    """

    source: str
    taken: tuple[str, ...]
    interpolated: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, for a run's settings and a card; taken weights as their number."""
        named = {name: list(getattr(self, name)) for name in ("interpolated", "fresh", "left")}
        return {"name": self.source, "taken": len(self.taken), **named}

    def __str__(self) -> str:
        lines = [f"weights of {self.source}: {len(self.taken)} taken over"]
        for name, paths in (("interpolated", self.interpolated), ("fresh", self.fresh), ("not used", self.left)):
            if paths:
                lines.append(f"  {name}: {', '.join(_short(paths))}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def transfer(source: keras.Model, target: keras.Model, name: str, fresh: Iterable[str] = ()) -> Transfer:
    """Copies weights by their path where shapes are equal; others are interpolated where that has a meaning.

    - The first convolution, for other channels: those of colour summed for grey, else repeated and scaled, so that its
      output keeps its size.
    - One number a token, for another size of image: bilinearly over the grid.

    Anything else, and every layer named in `fresh`, keeps the values it has.

    Args:
        source: whose weights they are; not changed.
        target: the model that is given them.
        name: of the source, for the report.
        fresh: layers of the target that take nothing over: ("head",).

    Returns:
        What became of each weight.
    """
    given = {variable.path: variable for variable in source.weights}
    fresh, found = tuple(fresh), {"taken": [], "interpolated": [], "fresh": []}  # type: ignore[var-annotated]
    for variable in target.weights:
        before = given.pop(variable.path, None)
        if variable.path.split("/")[0] in fresh or before is None:
            found["fresh"].append(variable.path)
            continue
        value = _to_numpy(before)
        shape = tuple(variable.shape)
        if value.shape == shape:
            found["taken"].append(variable.path)
        else:
            fitted = _fitted(value, shape, _config(source), _config(target))
            found["fresh" if fitted is None else "interpolated"].append(variable.path)
            if fitted is None:
                continue
            value = fitted
        variable.assign(value)
    report = {key: tuple(paths) for key, paths in found.items()}
    return Transfer(name, **report, left=tuple(given), notes=_notes(_config(source), _config(target)))


def remember(model: keras.Model, origin: dict[str, Any], report: Transfer | None = None) -> None:
    """Keeps on a model whose weights it began with: `model.origin`, plain values, and `model.transfer`, the report."""
    own: dict[str, Any] = model.__dict__  # past Keras, which would track and wrap them
    own["origin"] = origin
    if report is not None:
        own["transfer"] = report


def _fitted(
    value: np.ndarray, shape: tuple[int, ...], old: SpikformerConfig | None, new: SpikformerConfig | None
) -> np.ndarray | None:
    """A weight made to fit another shape, or None."""
    if old is None or new is None or value.ndim != len(shape):
        return None
    different = [axis for axis, sizes in enumerate(zip(value.shape, shape, strict=True)) if sizes[0] != sizes[1]]
    if len(different) != 1:
        return None
    axis = different[0]
    channels = old.image_shape[2], new.image_shape[2]
    if value.ndim == 4 and axis == 2 and (value.shape[2], shape[2]) == channels:
        return _channels(value, shape[2])
    for before, after in zip(old.grids, new.grids, strict=False):  # of each stage
        if (value.shape[axis], shape[axis]) == (before[0] * before[1], after[0] * after[1]):
            return _over_grid(value, axis, before, after)
    return None


def _channels(kernel: np.ndarray, count: int) -> np.ndarray:
    """A kernel (height, width, channels, filters) for another number of channels, with an output of the same size."""
    if count == 1:
        return kernel.sum(2, keepdims=True)
    repeated = np.take(kernel, np.arange(count) % kernel.shape[2], axis=2)
    return (repeated * (kernel.shape[2] / count)).astype(kernel.dtype)


def _over_grid(value: np.ndarray, axis: int, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """One number a token, row by row of the old grid -> of the new one, by bilinear weights, corners kept."""
    moved = np.moveaxis(value, axis, 0).reshape(*old, -1)
    for side in (0, 1):
        at = np.linspace(0, old[side] - 1, new[side])
        low = np.minimum(at.astype(int), max(old[side] - 2, 0))
        high = np.minimum(low + 1, old[side] - 1)
        weight = (at - low).reshape((-1,) + (1,) * (moved.ndim - 1))
        moved = np.moveaxis(moved, side, 0)
        moved = np.moveaxis(moved[low] * (1 - weight) + moved[high] * weight, 0, side)
    rest = [size for i, size in enumerate(value.shape) if i != axis]
    return np.moveaxis(moved.reshape(-1, *rest), 0, axis).astype(value.dtype)


def _notes(old: SpikformerConfig | None, new: SpikformerConfig | None) -> tuple[str, ...]:
    if old is None or new is None:
        return ()
    changed = [
        f"{name} {before} -> {after}"
        for name, before, after in (
            ("T", old.timesteps, new.timesteps),
            ("images", old.image_shape, new.image_shape),
        )
        if before != after
    ]
    if not changed:
        return ()
    return (
        f"{', '.join(changed)}: the statistics of normalisation are the old ones until it is trained, or "
        "kspike.training.calibrate(model, data) measures them.",
    )


def _short(paths: Iterable[str]) -> list[str]:
    """The layers of these weights, each once."""
    return list(dict.fromkeys(path.rpartition("/")[0] or path for path in paths))


def _config(model: keras.Model) -> SpikformerConfig | None:
    config = getattr(model, "config", None)
    return config if isinstance(config, SpikformerConfig) else None


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")))
