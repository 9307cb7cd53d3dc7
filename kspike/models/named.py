"""Published architectures by name: as a table, and as models with fresh weights."""

from __future__ import annotations

import fnmatch
import importlib
from typing import TYPE_CHECKING, Any

from kspike import _named
from kspike._tables import NameTable
from kspike.config import SpikformerConfig
from kspike.models.spikformer import Spikformer

if TYPE_CHECKING:
    from rich.table import Table


class ArchitectureTable(NameTable):
    """Published architectures: prints as a table; iterates, indexes and tests as a sequence of names.

    `rows` holds one dict an architecture: name, parameters (trainable), operations (of one image over all time steps,
    `kspike.cost.flops`), source, departs (what is not as in the code of its authors).
    """

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table("name", caption=None if self.rows else "no architectures")
        for title in ("parameters", "operations"):
            table.add_column(title, justify="right")
        table.add_column("source, and what departs from its code")
        for row in self.rows:
            about = Text(row["source"])
            about.append(f"\n{row['departs']}", style="dim")
            table.add_row(row["name"], f"{row['parameters']:,}", f"{row['operations']:.4g}", about)
        return table


def architectures(pattern: str = "*") -> ArchitectureTable:
    """Lists the published spiking transformers that kspike knows by name, as a table that iterates over names.

    Args:
        pattern: a glob over names: "*c10*".

    Returns:
        An `ArchitectureTable`.

    Raises:
        ValueError: a pattern that is no text.

    Example:
        >>> import kspike
        >>> list(kspike.models.architectures("max_former*"))
        ['max_former_c10', 'max_former_c100', 'max_former_dvs']
    """
    if not isinstance(pattern, str):
        raise ValueError(f'pattern must be a glob over names, as "*c10*", got {pattern!r}.')
    return ArchitectureTable([_row(name) for name in _named.names() if fnmatch.fnmatchcase(name, pattern)])


def _row(name: str) -> dict[str, Any]:
    # what counts lies above models, which it reads
    cost = importlib.import_module("kspike.cost")
    known, config = _named.read(name), SpikformerConfig.named(name)
    counted = {"parameters": cost.parameters(config), "operations": cost.flops(config)}
    return {"name": name, **counted, "source": known["source"], "departs": known["departs"]}


def create(name: str, **changes: Any) -> Spikformer:
    """Builds a published architecture with fresh weights.

    Args:
        name: one of `architectures()`.
        changes: any fields of its config: `num_classes=100`, `timesteps=2`.

    Raises:
        ValueError: an unknown name or field, or a value that the config refuses.

    Example:
        >>> import kspike
        >>> kspike.models.create("qkformer_c10", num_classes=3, timesteps=1).output_shape
        (None, 3)
    """
    config = SpikformerConfig.named(name)
    return Spikformer(config.replace(**changes) if changes else config)
