"""A neuron's step as data: the operations that it does on numbers, found by running it once on symbols.

A step that adds, subtracts, multiplies and divides by numbers, and calls charge, reset and spike, is such a list. A
backend may run the list over time and back in fewer passes over memory than the step itself takes. Whatever else a step
does (a comparison, an operation of keras.ops, a learned weight) makes it no program: then it runs as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """One operation: its name, and its operands: indices of values, or numbers (float)."""

    name: str
    a: int
    b: int | float | None = None


@dataclasses.dataclass(frozen=True)
class Program:
    """One time step: values are x, the states, then what each operation gives, in order.

    Args:
        operations: "add", "sub", "mul", "div" of two values or a value and a number; "rsub", number minus value;
            "charge" of (v, x); "reset" of (h, s), through which no gradient reaches s; "fire" of u.
        states: how many states there are.
        spikes: which value is the step's spikes.
        after: which values are the states after it.
    """

    operations: tuple[Operation, ...]
    states: int
    spikes: int
    after: tuple[int, ...]


class NoProgram(Exception):
    """What a symbol raises where it is asked for more than arithmetic."""


class _Symbol:
    """A value of a program that is being recorded."""

    __array_priority__ = 1000.0

    def __init__(self, operations: list[Operation], index: int) -> None:
        self._operations, self._index = operations, index

    def _do(self, name: str, other: Any = None) -> _Symbol:
        if isinstance(other, _Symbol):
            other = other._index
        elif other is not None:
            if isinstance(other, bool) or not isinstance(other, (int, float)):
                raise NoProgram
            other = float(other)
        self._operations.append(Operation(name, self._index, other))
        return _Symbol(self._operations, -len(self._operations))

    def __add__(self, other: Any) -> _Symbol:
        return self._do("add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Symbol:
        return self._do("sub", other)

    def __rsub__(self, other: Any) -> _Symbol:
        return self._do("rsub", other)

    def __mul__(self, other: Any) -> _Symbol:
        return self._do("mul", other)

    __rmul__ = __mul__

    def __neg__(self) -> _Symbol:
        return self._do("mul", -1.0)

    def __truediv__(self, other: Any) -> _Symbol:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return self._do("div", other)

    def _refuse(self, *_: Any) -> Any:
        raise NoProgram

    __bool__ = __eq__ = __ne__ = __hash__ = _refuse

    def __getattr__(self, name: str) -> Any:
        raise NoProgram


def trace(step: Callable, states: int, named: Sequence[str], constants: Mapping[str, Any]) -> Program | None:
    """The program of a step, or None where it is none.

    Args:
        step: `step(x, *states, **named)`.
        states: how many it has.
        named: what it is given by name: of charge, reset, spike, and of `constants`.
        constants: name -> number.
    """
    operations: list[Operation] = []
    symbols = [_Symbol(operations, i) for i in range(1 + states)]
    given: dict[str, Any] = {
        **constants,
        "charge": lambda v, x: v._do("charge", x),
        "reset": lambda h, s: h._do("reset", s),
        "spike": lambda u: u._do("fire"),
    }
    try:
        spikes, after = step(*symbols, **{name: given[name] for name in named})
        found = [each._index for each in (spikes, *after)]
    except Exception:  # whatever a step does with a symbol that is no number: it runs as it is
        return None
    place = lambda index: index if index >= 0 else states - index  # operations are numbered behind x and the states
    done = [Operation(o.name, place(o.a), place(o.b) if isinstance(o.b, int) else o.b) for o in operations]
    return Program(tuple(done), states, place(found[0]), tuple(place(i) for i in found[1:]))
