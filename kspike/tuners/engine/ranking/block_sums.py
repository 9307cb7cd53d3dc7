"""Sums over blocks: turns the cost of each kind of block into every total that a stack of blocks can have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Above this, the sums of one number of blocks count as too many.
MOST_SUMS = 100_000

#: What one block adds, a whole number a quantity.
Step = tuple[int, ...]


class TooManyCosts(ValueError):
    """A space has more different costs than are enumerated."""


class BlockSums:
    """Holds, for every number of blocks, all different sums of their steps and how many stacks of blocks have each.

    Built up block by block, equal sums merged, so that no stack is visited; those of one sum are walked through lazily.

    Args:
        steps: of each kind of block.
        depth: the largest number of blocks.

    Raises:
        TooManyCosts: more than `MOST_SUMS` sums.

    Example:
        >>> sums = BlockSums([(3,), (4,), (5,)], depth=2)
        >>> sums.of(2)
        {(6,): 1, (7,): 2, (8,): 3, (9,): 2, (10,): 1}
        >>> list(sums.sequences(2, (7,)))
        [(0, 1), (1, 0)]
    """

    def __init__(self, steps: Sequence[Step], depth: int) -> None:
        self._steps = list(steps)
        self._tables: list[dict[Step, int]] = [{tuple([0] * len(steps[0])): 1}]
        for _ in range(depth):
            following: dict[Step, int] = {}
            for before, ways in self._tables[-1].items():
                for step in self._steps:
                    after = tuple(b + s for b, s in zip(before, step, strict=True))
                    following[after] = following.get(after, 0) + ways
                if len(following) > MOST_SUMS:
                    raise TooManyCosts(f"its blocks add up to more than {MOST_SUMS:,} different sums.")
            self._tables.append(following)

    def of(self, depth: int) -> dict[Step, int]:
        """Sum -> how many stacks of that many blocks have it."""
        return self._tables[depth]

    def sequences(self, depth: int, target: Step) -> Iterator[tuple[int, ...]]:
        """Kinds of block, first block first, whose steps add up to the target."""
        if depth == 0:
            yield ()
            return
        for kind, step in enumerate(self._steps):
            rest = tuple(t - s for t, s in zip(target, step, strict=True))
            if rest in self._tables[depth - 1]:
                for others in self.sequences(depth - 1, rest):
                    yield (kind, *others)
