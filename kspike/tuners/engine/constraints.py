"""Constraints: bounds a network must keep; what can be counted is checked before evaluation, the rest after."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kspike import cost
from kspike._registry import unknown
from kspike.config import SpikformerConfig
from kspike.cost import Sizes
from kspike.space import SearchSpace
from kspike.tuners.engine.of_network import REGISTRY, NoNumber, OfNetwork, as_number, name_of, number, same_as_before
from kspike.tuners.engine.ranking.block_sums import TooManyCosts
from kspike.tuners.engine.ranking.cells import CostCells
from kspike.tuners.engine.runnable import KINDS, narrowed

#: Quantities that follow exactly from the architecture, over any number of networks at once.
EXACT: dict[str, Callable[[Sizes], np.ndarray]] = {
    "parameters": cost.parameters,
    "flops": cost.flops,
    "timesteps": lambda sizes: sizes.timesteps,
}
#: Quantities that only an evaluation gives, and the range of each for any network.
MEASURED: dict[str, tuple[float, float]] = {
    "energy_mj": (0.0, math.inf),
    "latency_ms": (0.0, math.inf),
    "accuracy": (0.0, 1.0),
}
#: Networks of a project that functions are asked of anew, when it is opened: each may take its time.
COMPARED = 8
#: The range of every quantity of ours, for any network.
RANGES = {**dict.fromkeys((*EXACT, *REGISTRY), (0.0, math.inf)), **MEASURED}


@dataclasses.dataclass(frozen=True)
class Constraints:
    """Lower and upper bounds of named quantities, both inclusive, None for an open side.

    Args:
        bounds: quantity -> (lower, upper): "parameters", "flops", "timesteps" (exact, of whole populations at once),
            "memory_mb" and functions of a config (exact, network by network), all checked before evaluation;
            "energy_mj", "latency_ms", "accuracy" (known after it).
        functions: quantity -> the function that gives it, of those that are counted network by network.
        runs: where networks must run: "nir" (what .nir files can say), "integer" (int8 weights, shifts and additions
            alone). A search narrows its space by them before it starts.

    Example:
        >>> Constraints.of({"parameters": (None, 200_000)}).bounds
        (('parameters', (None, 200000.0)),)
    """

    bounds: tuple[tuple[str, tuple[float | None, float | None]], ...] = ()
    runs: tuple[str, ...] = ()
    functions: tuple[tuple[str, OfNetwork], ...] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any] | Constraints | None) -> Constraints:
        """Reads a `constraints=` argument: a mapping from quantity to (lower, upper).

        A quantity is a name, or a plain function of a `SpikformerConfig`, which goes by its own name.

        Raises:
            ValueError: an unknown quantity, a function without a name or with that of another quantity, or bounds that
                are no pair of numbers, or that exclude everything.
        """
        if isinstance(spec, Constraints):
            return spec
        if spec is not None and not isinstance(spec, Mapping):
            raise ValueError(f"constraints must map a quantity to (lower, upper), got {spec!r}.")
        named, functions = _named(spec or {})
        bounds, runs = [], []
        for name, pair in sorted(named.items()):
            if name in KINDS:
                if not isinstance(pair, bool):
                    raise ValueError(f"The constraint {name} must be True or False, got {pair!r}.")
                runs += [name] if pair else []
                continue
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(
                    f"The constraint on {name} must be (lower, upper), None for an open side, got {pair!r}."
                )
            low, high = (_bound(name, bound) for bound in pair)
            if low == math.inf or high == -math.inf:
                raise ValueError(f"The constraint on {name} excludes everything: no number is from {low} to {high}.")
            low, high = (None if low == -math.inf else low), (None if high == math.inf else high)
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"The constraint on {name} excludes everything: lower {low:g} is above upper {high:g}."
                )
            least, most = RANGES.get(name, (-math.inf, math.inf))
            if (low is not None and low > most) or (high is not None and high < least):
                raise ValueError(
                    f"The constraint on {name} excludes everything: it lies from {least:g} to {most:g}, got {pair!r}."
                )
            bounds.append((name, (low, high)))
        return cls(tuple(bounds), tuple(runs), tuple(sorted(functions.items())))

    def narrowed(self, space: SearchSpace) -> SearchSpace:
        """The space of the networks that run where `runs` says: without the choices that do not; the same for none.

        Raises:
            ValueError: nothing is left of a gene, or the base itself does not run there.
            ImportError: what says it is not installed.
        """
        return narrowed(space, self.runs) if self.runs else space

    def keep(self, space: SearchSpace, indices: np.ndarray) -> np.ndarray:
        """Which genomes, as indices (n, slots), keep the bounds that whole populations are counted by; see `admits`."""
        bounded = [name for name, _ in self.bounds if name in EXACT]
        if not bounded:
            return np.ones(len(indices), dtype=bool)
        sizes = Sizes.of_space(space, indices)
        return self.inside({name: EXACT[name](sizes) for name in bounded})

    def inside(self, counts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which networks keep the bounds on these quantities; bounds on others are not looked at.

        Args:
            counts: quantity -> `(n,)`; at least one.
        """
        kept = np.ones(len(next(iter(counts.values()))), dtype=bool)
        for name, (low, high) in self.bounds:
            if name in counts:
                kept &= counts[name] >= (-math.inf if low is None else low)
                kept &= counts[name] <= (math.inf if high is None else high)
        return kept

    def of_network(self, config: SpikformerConfig) -> dict[str, float]:
        """What the functions say of one network, by name; nan where that is no finite number."""
        return {name: number(function, config) for name, function in self.functions}

    def admits(self, network: Any) -> bool:
        """Whether a network, as a config or a genome, keeps the bounds that functions of its config say."""
        if not self.functions:
            return True
        found = self.of_network(network.to_config() if hasattr(network, "to_config") else network)
        return all(map(math.isfinite, found.values())) and self.violation(found) == 0

    def check_kept(self, networks: Iterable[tuple[SpikformerConfig, Mapping[str, float]]], where: Any) -> None:
        """Compares what functions say of networks with what a project has of them, of the first `COMPARED` alone.

        Raises:
            ValueError: a function gives another number.
        """
        for config, metrics in itertools.islice(networks if self.functions else (), COMPARED):
            for name, function in self.functions:
                if name in metrics:
                    same_as_before(function, config, metrics[name], where)

    def bounds_on(self, name: str) -> bool:
        """Whether there is a bound on that quantity."""
        return any(bounded == name for bounded, _ in self.bounds)

    @property
    def beside(self) -> tuple[str, ...]:
        """Bounded quantities that no table of networks has a column for anyway."""
        latency = ("latency_ms",) if self.bounds_on("latency_ms") else ()
        return (*latency, *(name for name, _ in self.functions))

    def networks(self, space: SearchSpace) -> int | None:
        """How many networks of a space keep the bounds that can be counted; None where it has too many to tell.

        Functions of a config are asked of one network alone, whether they give numbers: networks outside their bounds
        are among the number.

        In a space with too many costs to enumerate, each bound is compared with the space's least and largest value.

        Raises:
            ValueError: no network does, or a function gives no number.
        """
        if self.functions:
            self.of_network(space.smallest().to_config())
        bounded = {name: pair for name, pair in self.bounds if name in EXACT}
        if not bounded:
            return space.size()
        try:
            cells = CostCells(space, tuple(bounded))
        except TooManyCosts:
            if any(gene.word for gene in space.genes):  # its extremes in parameters need not be those of other counts
                return None
            least, most = (counted(genome.to_config()) for genome in (space.smallest(), space.largest()))
            if all(
                (high is None or least[name] <= high) and (low is None or most[name] >= low)
                for name, (low, high) in bounded.items()
            ):
                return None
        else:
            found = sum(itertools.compress(cells.counts, self.inside(cells.values)))
            if found:
                return found
        raise ValueError(nothing_inside(space, self))

    def violation(self, metrics: Mapping[str, float]) -> float:
        """How far metrics lie outside the bounds, relative to each bound, summed; 0 inside."""
        return sum(_excess(metrics[name], *pair) for name, pair in self.bounds if name in metrics)

    def __str__(self) -> str:
        said = [f"{n} from {_open(low)} to {_open(high)}" for n, (low, high) in self.bounds]
        return ", ".join([*said, *self.runs]) or "none"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for fingerprints and reports."""
        return {**{name: list(pair) for name, pair in self.bounds}, **dict.fromkeys(self.runs, True)}


def _named(spec: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, OfNetwork]]:
    """(quantity -> its bounds, quantity -> its function where it has one) of a `constraints=` argument."""
    known, bounds, functions = (*EXACT, *REGISTRY, *MEASURED, *KINDS), {}, {}
    for key, pair in spec.items():
        name = name_of(key, "constraint") if callable(key) else key
        taken = name in bounds or (callable(key) and name in known and REGISTRY.get(name) is not key)
        if taken:
            raise ValueError(f"There are two constraints {name!r}: a function of your own needs a name of its own.")
        if callable(key):
            functions[name] = key
        elif name in REGISTRY:
            functions[name] = REGISTRY[name]
        elif name not in known:
            raise unknown("constraint", name, known, "; a function of a config is a key as well")
        bounds[name] = pair
    return bounds, functions


def _bound(name: str, bound: Any) -> float | None:
    try:
        found = None if bound is None else as_number(bound, "")
    except NoNumber:
        found = math.nan
    if found is not None and math.isnan(found):
        raise ValueError(f"The bounds of {name} must be numbers or None, got {bound!r}.")
    return found


def _open(bound: float | None) -> str:
    return "anything" if bound is None else f"{bound:,.12g}"


def _excess(value: float, low: float | None, high: float | None) -> float:
    over = 0.0
    if low is not None and not value >= low:
        over += (low - value) / (abs(low) or 1.0)
    if high is not None and not value <= high:
        over += (value - high) / (abs(high) or 1.0)
    return math.inf if math.isnan(over) else over


def counted(config: SpikformerConfig) -> dict[str, int]:
    """Every exact quantity of one network."""
    sizes = Sizes.of_configs([config])
    return {name: int(count(sizes)[0]) for name, count in EXACT.items()}


def nothing_inside(space: SearchSpace, constraints: Constraints) -> str:
    """The error message where no network keeps the constraints: names them and the range of the space's sizes."""
    ends = []
    for which, genome in (("smallest", space.smallest()), ("largest", space.largest())):
        config = genome.to_config()
        count = {**counted(config), **constraints.of_network(config)}
        shown = ", ".join(f"{count[n]:,.12g} {n}" for n, _ in constraints.bounds if n in count)
        ends.append(f"the {which} network has {shown}")
    return f"No network of space {space.name!r} was found within the constraints ({constraints}): {'; '.join(ends)}."
