"""Reads a pickle as data: runs its stack machine, but imports nothing and calls nothing of what it names.

Python's own reader would import and call whatever a file names, and PyTorch's (weights_only) takes as much memory as a
file claims. Here every step costs what it takes up in the file: no step copies what an earlier one has made.
"""

from __future__ import annotations

import pickletools
from typing import Any, Protocol

from kspike.convert.stored import first_line

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_FROM_MARK = {"TUPLE": tuple, "LIST": list, "FROZENSET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT, _GET = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
#: Whole numbers below this have hashes of their own; others could be made to collide, all in one place of a dict.
_OWN_HASH = 2**60


class World(Protocol):
    """What a pickle's names mean."""

    def find(self, name: str) -> Any:
        """What stands for "module.name"; ValueError where it is not known."""

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call of something found would give."""

    def build(self, made: Any, state: Any) -> None:
        """Takes the state of something made."""

    def persistent(self, key: Any) -> Any:
        """What lies outside the pickle under a key."""


def load(source: Any, world: World) -> Any:
    """Reads one pickle from bytes, or from where a memory map stands, which is left behind its end.

    Sets become lists; keys that are no text and no plain number become an `object()`.

    Raises:
        ValueError: damaged content, or a name that `world` does not know.
    """
    machine = _Machine(world)
    place, name = 0, "the first opcode"
    try:
        for opcode, argument, at in pickletools.genops(source):
            place, name = at or 0, opcode.name
            if name == "STOP":
                return machine.stack.pop()
            machine.step(name, argument)
    except Unknown:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"its pickle cannot be read at byte {place} ({name}): {first_line(error)}") from None
    raise ValueError(f"its pickle ends at byte {place} without an end")


class Unknown(ValueError):
    """A name that is more than tensors and plain values."""


class _Machine:
    def __init__(self, world: World) -> None:
        self.world = world
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Runs one opcode."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _PUT:
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in _GET:
            stack.append(self.memo[argument])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in _FROM_MARK:
            stack.append(_FROM_MARK[name](self.since_mark()))
        elif name in _TUPLES:
            items = tuple(self.pop() for _ in range(_TUPLES[name]))
            stack.append(items[::-1])
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items_ = [self.pop()] if name == "APPEND" else self.since_mark()
            if type(stack[-1]) is not list:
                raise ValueError(f"items for a {type(stack[-1]).__name__}")
            stack[-1].extend(items_)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            pairs = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.since_mark()
            if name == "DICT":
                stack.append({})
            if type(stack[-1]) is not dict:
                raise ValueError(f"entries for a {type(stack[-1]).__name__}")
            stack[-1].update((_key(k), v) for k, v in zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "GLOBAL":
            stack.append(self.world.find(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            last, first = self.pop(), self.pop()
            stack.append(self.world.find(f"{first:s}.{last:s}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            stack.append(self.world.call(function, arguments))
        elif name == "BUILD":
            state = self.pop()
            self.world.build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(self.world.persistent(self.pop()))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError("PyTorch writes no such opcode")

    def pop(self) -> Any:
        """Takes the top; what lies below a mark is out of reach."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise ValueError("nothing stands behind the mark")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Takes everything behind the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _key(value: Any) -> Any:
    plain = isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < _OWN_HASH)
    return value if plain else object()
