"""Tables of named things (published entries, architectures): they print as a table, and iterate over names."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

if TYPE_CHECKING:
    from rich.table import Table


def as_text(shown: Any, width: int = 120) -> str:
    """What rich prints of it, as plain text of at most so many columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(shown)
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


class NameTable(Sequence):
    """Prints as a table; iterates and indexes as a sequence of names. `rows` holds one dict a thing, "name" in it."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> str | Self:
        return type(self)(self.rows[index]) if isinstance(index, slice) else self.rows[index]["name"]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return (row["name"] for row in self.rows)

    def __rich__(self) -> Table:
        """The table as rich prints it."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame, a column a key.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "pandas":
                raise  # pandas is there, and what it needs is not
            raise ImportError(
                "to_pandas needs pandas, which is not installed: pip install 'kspike[pandas]'. The same rows are in "
                ".rows, as plain dicts.",
                name="pandas",
            ) from None
        return pandas.DataFrame(list(self.rows), columns=self._columns())

    def _columns(self) -> list[str] | None:
        """Keys of every row, for a table without one; None where they are not known."""
        return None

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__
