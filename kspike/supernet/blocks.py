"""The supernet's places: where one component stands, or several to choose from; and its blocks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kspike._stages import Place
from kspike._types import Tokens
from kspike.components import PATHS
from kspike.config import SpikformerConfig
from kspike.space import SearchSpace
from kspike.supernet.elastic import Statistics
from kspike.supernet.places import ElasticComponent, ElasticPlace, Pass, branch
from kspike.supernet.view import View, largest_sizes, stage_of


def place_of(space: SearchSpace, config: SpikformerConfig, at: Place, dtype: Any) -> Any:
    """The layer of a place: the component itself where there is one, else all of them, each under its name.

    Args:
        space: the space.
        config: its largest network.
        at: the place; blocks are counted by slots.
        dtype: dtype policy.
    """
    options = space.components(
        at.field, at.index if at.field in PATHS else None, at.index + 1 if at.field == "downsample" else None
    )
    name, stage = at.path.rpartition("/")[2], stage_of(space, at)
    grid = config.image_shape[:2] if at.field == "stem" else config.grids[stage - (at.field == "downsample")]
    how = {
        "config": config, "largest": largest_sizes(space, stage), "neurons": space.components("neuron"), "at": at,
        "grid": grid, "dtype": dtype,
    }  # fmt: skip
    if len(options) == 1:
        return ElasticComponent(options[0], name=name, **how)
    names: list[str] = []
    for option in options:
        same = sum(each == option.name or each.startswith(f"{option.name}-") for each in names)
        names.append(option.name if not same else f"{option.name}-{same + 1}")
    made = [ElasticComponent(option, name=label, **how) for option, label in zip(options, names, strict=True)]
    return ElasticPlace(options[0].role, made, name=name, dtype=dtype)


class ElasticBlock(keras.layers.Layer):
    """The branches of a block, each added to the stream; under masks adds nothing where the genome is shallower.

    Args:
        block: its slot.
        branches: path -> place; what is left out is not there.
    """

    def __init__(self, block: int, branches: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.block = block
        for path in PATHS.values():
            setattr(self, path, branches.get(path))

    @property
    def places(self) -> dict[str, Any]:
        """Path -> place, in running order."""
        return {path: place for path in PATHS.values() if (place := getattr(self, path)) is not None}

    def build(self, input_shape: tuple | None = None) -> None:
        for place in self.places.values():
            place.build()
        self.built = True

    def call(self, x: Tokens, view: View, statistics: Statistics) -> Tokens:
        given = Pass(view, statistics, view.active(self.block))
        for place in self.places.values():
            x = branch(place, x, given)
        return x
