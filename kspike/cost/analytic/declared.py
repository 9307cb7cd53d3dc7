"""What a component costs in closed form, from the parts that it declares; no component is named here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from kspike import components
from kspike.components import geometry
from kspike.components.parts import PRODUCTS, Conv, Dense, DepthwiseConv, MatMul, Neuron, Norm, Part, Pool, Sum, split


@dataclasses.dataclass(frozen=True)
class Declared:
    """A component in its place: its parts, and how many pixels (tokens, in a block) each takes and gives.

    Equal for components that cost the same, whatever their names.

    Args:
        parts: name and part, in running order.
        pixels: of every part, those of its input and of its output.
        inputs: pixels of what comes in.
        grid: (height, width) of what it gives.
        shortcut: whether the block adds what came in to what comes out.
        label: role and name, for messages.
    """

    parts: tuple[tuple[str, Part], ...]
    pixels: tuple[tuple[int, int], ...]
    inputs: int
    grid: tuple[int, int]
    shortcut: bool
    label: str = dataclasses.field(default="", compare=False)

    @classmethod
    def of(cls, role: str, word: Any, network: Mapping[str, Any], size: tuple[int, int]) -> Declared:
        """Reads it off a component, by its word, told the network's settings and (height, width) of its input."""
        return _declared(components.get(role, word), tuple(network.items()), tuple(size))

    @functools.cached_property
    def rows(self) -> dict[str, tuple[Placed, ...]]:
        """Name of every row -> the parts that count on it, in running order: it is named by a product.

        What stands before the first product counts on its row, everything else on the last product before it. Where
        there are parts and no product, all count on one row by the name of the first.
        """
        found: dict[str, list[Placed]] = {}
        waiting: list[Placed] = []
        on = waiting
        for (name, part), (before, after) in zip(self.parts, self.pixels, strict=True):
            if isinstance(part, PRODUCTS):
                on = found[name] = [] if found else waiting
            on.append(Placed(name, part, before, after))
        if waiting and not found:
            found[waiting[0].name] = waiting
        return {name: tuple(parts) for name, parts in found.items()}

    def source(self, name: str) -> str | None:
        """The part whose output a part takes; None for the component's input."""
        return geometry.source(dict(self.parts), name)


@dataclasses.dataclass(frozen=True)
class Placed:
    """A part in its place: its name, and the pixels (tokens) that it takes and gives."""

    name: str
    part: Part
    before: int
    after: int


@functools.lru_cache(maxsize=4096)
def _declared(component: Any, network: tuple, size: tuple[int, int]) -> Declared:
    """Made once for each component, network and size: a search asks for them a thousand times."""
    parts = component.declared(dict(network))
    places = geometry.grids(parts, size).values()
    return Declared(
        parts=tuple(parts.items()),
        pixels=tuple((before[0] * before[1], after[0] * after[1]) for before, after in places),
        inputs=size[0] * size[1],
        grid=geometry.last(parts, size),
        shortcut=component.shortcut,
        label=f"{component.role} {component.label}",
    )


class Declarations:
    """Collects the different declarations of one role: the same gets the same index."""

    def __init__(self, role: str) -> None:
        self.role = role
        self._found: dict[Declared, int] = {}
        self._seen: dict[tuple, tuple[int, ...]] = {}

    def places(self, words: tuple, network: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
        """Place of every word's declaration among `all`."""
        key = words, *network.values(), size  # of one role: the settings' names are the same
        found = self._seen.get(key)
        if found is None:
            each = [Declared.of(self.role, word, network, size) for word in words]
            found = self._seen[key] = tuple(self._found.setdefault(one, len(self._found)) for one in each)
        return found

    def place(self, word: Any, network: Mapping[str, Any], size: tuple[int, int]) -> int:
        """`places` of one."""
        return self.places((word,), network, size)[0]

    @property
    def all(self) -> tuple[Declared, ...]:
        """Every declaration once."""
        return tuple(self._found)


class Dimensions:
    """Numbers of the sizes that parts name: ints for one network, arrays for a population."""

    def __init__(self, known: Mapping[str, Any], label: str) -> None:
        self._known = known
        self._label = label
        self._times: dict[tuple[str, int], Any] = {}

    def __getitem__(self, size: str) -> Any:
        return self.times(size, 1)

    def times(self, size: str, factor: int) -> Any:
        """A size so many times; computed once (parts around one product have as many numbers)."""
        found = self._times.get((size, factor))
        if found is None:
            found = self._size(size) if factor == 1 else self[size] * factor
            self._times[size, factor] = found
        return found

    def _size(self, size: str) -> Any:
        named = split(size)
        if named.dimension not in self._known:
            raise ValueError(
                f"{self._label} names the size {size!r}, which it has not where it stands; there: "
                f"{', '.join(self._known)}."
            )
        number = self._known[named.dimension]
        return number if named.times == named.over else named.of(number)


def kind(part: Part) -> str:
    """Kind of the row that a part names: "other" where it is no product."""
    if isinstance(part, MatMul):
        return "attention"
    return "dense" if isinstance(part, Dense) else "conv" if isinstance(part, (Conv, DepthwiseConv)) else "other"


def updates(at: Placed, size: Dimensions) -> Any:
    """Membranes that neurons update in a time step; 0 of any other part."""
    part = at.part
    if not isinstance(part, Neuron):
        return 0
    return size.times(part.channels, part.copies * (at.after if part.tokens is None else part.tokens))


def count(declared: Declared, size: Dimensions, learned: Any) -> dict[str, dict[str, Any]]:
    """Name of every row -> its kind and its numbers; a number that is not there is 0.

    Args:
        learned: weights that a group of neurons learns; None where they learn none.
    """
    rows: dict[str, dict[str, Any]] = {}
    parts = dict(declared.parts)
    for name, placed in declared.rows.items():
        rows[name] = {}
        for at in placed:
            _add(rows[name], _numbers(at, size, learned, declared.label))
    if rows and declared.shortcut:  # the block's sum, where it ends
        _add(rows[next(reversed(rows))], {"additions": size.times("width", declared.inputs)})
    return {name: {"kind": kind(parts[name]), **numbers} for name, numbers in rows.items()}


def _add(row: dict[str, Any], numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        row[name] = row[name] + value if name in row else value


def _numbers(at: Placed, size: Dimensions, learned: Any, label: str) -> dict[str, Any]:
    """What one part adds to its row."""
    part, after = at.part, at.after
    if isinstance(part, Dense):
        outputs = size.times(part.outputs, part.copies)
        return _product(at, size[part.inputs] * outputs, size.times(part.inputs, at.before), outputs, part.bias)
    if isinstance(part, Conv):
        weights = size[part.inputs] * size.times(part.outputs, part.kernel**2)
        return _product(at, weights, size.times(part.inputs, at.before), size[part.outputs], part.bias)
    if isinstance(part, DepthwiseConv):
        weights = size.times(part.channels, part.kernel**2)
        return _product(at, weights, size.times(part.channels, at.before), size[part.channels], part.bias)
    if isinstance(part, MatMul):
        stream, met = size.times(part.own, after), after * part.chunk
        sizes = {"elements": stream, "tokens": met, "head_dim": size[part.other] // size["heads"]}
        return {"macs": stream * met, **sizes, **({"additions": stream} if part.scaled else {})}
    if isinstance(part, Norm):
        normalised = size.times(part.channels, part.copies * at.before)  # a border around them is no more of them
        return {"normalised": normalised, "parameters": size.times(part.channels, 2 * part.copies)}
    if isinstance(part, Neuron):
        return {"neurons": updates(at, size)} | ({} if learned is None else {"parameters": part.copies * learned})
    if isinstance(part, Pool):
        return {"pooled": size.times(part.channels, at.before)}
    if isinstance(part, Sum):
        return {"additions": size.times(part.channels, after)}
    raise ValueError(
        f"{label}: {at.name} is a {type(part).__name__}, which kspike.cost cannot count; make it of the parts of "
        "kspike.components.parts."
    )


def _product(at: Placed, weights: Any, elements: Any, outputs: Any, bias: bool) -> dict[str, Any]:
    found = {"macs": weights * at.after, "parameters": weights, "elements": elements}
    if bias:
        found |= {"parameters": weights + outputs, "additions": outputs * at.after}
    return found
