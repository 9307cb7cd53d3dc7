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
        ways: how many different blocks each kind stands for; one if not given.
        behind: the sums of the stages behind these blocks, and how many blocks the first of them has; their sums are
            added to those here.

    Raises:
        TooManyCosts: more than `MOST_SUMS` sums.

    Example:
        >>> sums = BlockSums([(3,), (4,), (5,)], depth=2)
        >>> sums.of(2)
        {(6,): 1, (7,): 2, (8,): 3, (9,): 2, (10,): 1}
        >>> list(sums.sequences(2, (7,)))
        [(0, 1), (1, 0)]
    """

    def __init__(
        self,
        steps: Sequence[Step],
        depth: int,
        ways: Sequence[int] | None = None,
        behind: tuple[BlockSums, int] | None = None,
    ) -> None:
        self._steps = list(steps)
        self._behind = behind
        each = [1] * len(self._steps) if ways is None else list(ways)
        self._tables: list[dict[Step, int]] = [
            {tuple([0] * len(steps[0])): 1} if behind is None else behind[0].of(behind[1])
        ]
        for _ in range(depth):
            following: dict[Step, int] = {}
            for before, stacks in self._tables[-1].items():
                for step, several in zip(self._steps, each, strict=True):
                    after = tuple(b + s for b, s in zip(before, step, strict=True))
                    following[after] = following.get(after, 0) + stacks * several
                if len(following) > MOST_SUMS:
                    raise TooManyCosts(f"its blocks add up to more than {MOST_SUMS:,} different sums.")
            self._tables.append(following)

    def of(self, depth: int) -> dict[Step, int]:
        """Sum -> how many stacks of that many blocks have it."""
        return self._tables[depth]

    def sequences(self, depth: int, target: Step) -> Iterator[tuple[int, ...]]:
        """Kinds of block, first block first, whose steps add up to the target; those of the stages behind come last."""
        if depth == 0:
            if self._behind is None:
                yield ()
            else:
                yield from self._behind[0].sequences(self._behind[1], target)
            return
        for kind, step in enumerate(self._steps):
            rest = tuple(t - s for t, s in zip(target, step, strict=True))
            if rest in self._tables[depth - 1]:
                for others in self.sequences(depth - 1, rest):
                    yield (kind, *others)


class StageSums:
    """`BlockSums` of networks of several stages: a table for all depths of a stage and each choice of those behind it.

    Args:
        stages: of every stage the steps of its kinds of block, its largest depth, and ways.

    Raises:
        TooManyCosts: more than `MOST_SUMS` sums.

    Example:
        >>> sums = StageSums([([(1,), (2,)], 1, [1, 1]), ([(10,), (20,)], 2, [1, 1])])
        >>> sums.of((1, 2))
        {(21,): 1, (22,): 1, (31,): 2, (32,): 2, (41,): 1, (42,): 1}
        >>> list(sums.sequences((1, 2), (31,)))
        [(0, 0, 1), (0, 1, 0)]
    """

    def __init__(self, stages: Sequence[tuple[Sequence[Step], int, Sequence[int]]]) -> None:
        self._stages = list(stages)
        self._made: dict[tuple[int, ...], BlockSums] = {}

    def of(self, depths: Sequence[int]) -> dict[Step, int]:
        """Sum -> how many stacks of blocks have it, of as many blocks in every stage."""
        return self._from(tuple(depths[1:])).of(depths[0])

    def sequences(self, depths: Sequence[int], target: Step) -> Iterator[tuple[int, ...]]:
        """Kinds of block in running order, each a number within its stage, whose steps add up to the target."""
        yield from self._from(tuple(depths[1:])).sequences(depths[0], target)

    def _from(self, behind: tuple[int, ...]) -> BlockSums:
        """The sums from the stage on that has stages of these depths behind it."""
        if behind not in self._made:
            steps, most, ways = self._stages[len(self._stages) - 1 - len(behind)]
            after = (self._from(behind[1:]), behind[0]) if behind else None
            self._made[behind] = BlockSums(steps, most, ways, after)
        return self._made[behind]
