"""ScoreAxis: the score of candidates beside their energy, as an axis of charts and a column of tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from kspike.tuners.engine.candidate import Candidate


@dataclasses.dataclass(frozen=True)
class ScoreAxis:
    """A value of every candidate, with its name and number format.

    Args:
        name: in words, with its unit.
        of: a candidate's value.
        digits: how one value is written, as a format.
    """

    name: str
    of: Callable[[Candidate], float]
    digits: str = ".4f"

    def text(self, candidate: Candidate) -> str:
        """A candidate's value as it is written."""
        return format(self.of(candidate), self.digits)


ACCURACY = ScoreAxis("accuracy", lambda c: c.accuracy)
