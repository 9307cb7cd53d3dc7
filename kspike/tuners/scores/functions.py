"""A plain function as a score: a number that follows from a network's config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kspike.cost.analytic.table import as_config
from kspike.tuners.engine.of_network import free_name, name_of, number
from kspike.tuners.scores.base import Score


class FunctionScore(Score):
    """Scores a network by any function of its config; nothing is built for it.

    Wherever a score is taken a plain function is taken, too, and becomes one of these.

    Args:
        function: takes a `SpikformerConfig`, returns a number.
        direction: "max" if a higher number is better, "min" if a lower one is.
        name: of the score and its metric; the function's where None. It tells one project from another.
        source: where the formula comes from; the function's module and name where None.

    Raises:
        ValueError: it is no function, has no name (a lambda) and none is given, its name is one that results have
            already, it has no hash, or another direction.

    Example:
        >>> import kspike
        >>> from kspike.tuners import scores
        >>> def tokens_a_head(config):
        ...     return config.tokens / max(config.num_heads)
        >>> scores.evaluate(kspike.SpikformerConfig(), scores=[tokens_a_head])["tokens_a_head"].mean
        5.333333333333333
    """

    counted = True

    def __init__(
        self, function: Callable[[Any], float], direction: str = "max", name: str | None = None,
        source: str | None = None,
    ) -> None:  # fmt: skip
        if not callable(function):
            raise ValueError(f"Expected a function of a SpikformerConfig, received {type(function).__name__}.")
        try:
            hash(function)
        except TypeError:
            raise ValueError(
                f"{function!r} has no hash, by which its numbers are kept: make it @dataclass(frozen=True), or a "
                "function written with def."
            ) from None
        if direction not in ("max", "min"):
            raise ValueError(f"direction must be 'max' or 'min', got {direction!r}.")
        self.function = function
        self.name = name_of(function, "score") if name is None else free_name(name, "score")  # type: ignore[misc]
        self.direction = direction  # type: ignore[misc]
        self.source = source or f"{function.__module__}.{self.name}"  # type: ignore[misc]

    def of(self, config: Any) -> float:
        return number(self.function, as_config(config))

    def __eq__(self, other: object) -> bool:
        mine = (self.function, self.name, self.direction)
        return isinstance(other, FunctionScore) and mine == (other.function, other.name, other.direction)

    def __hash__(self) -> int:
        return hash((self.function, self.name))
