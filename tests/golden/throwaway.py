"""A RepConv alone, which golden values have and kspike has not: known while a layer of it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike import components, layers
from kspike.components import repconv
from tests.components import own


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepConv(components.Mixer):
    """A RepConv as a mixer."""

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return repconv.parts("own")

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return repconv.forward(part, "own", x, sizes)


def layer() -> layers.Component:
    """It as a layer."""
    back = own.forget()
    try:
        return layers.Component(components.register("mixer", "golden_repconv")(RepConv)(), residual="membrane")
    finally:
        back()
