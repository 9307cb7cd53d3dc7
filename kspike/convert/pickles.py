"""Reads a pickle as data: runs its stack machine, but imports and calls nothing that it names.

Python's own reader would import and call whatever a file names, and PyTorch's (weights_only) takes as much memory as a
file claims. Here every opcode costs at most its size in the file: none copies an earlier result.
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
#: Integers below this hash to themselves; larger ones could be chosen to collide in a dict.
_OWN_HASH = 2**60


class Resolver(Protocol):
    """Gives meaning to the names in a pickle."""

    def find(self, name: str) -> Any:
        """The object that stands for "module.name"; ValueError if the name is not known."""

    def call(self, function: Any, arguments: Any) -> Any:
        """The object that stands for the result of a call."""

    def build(self, made: Any, state: Any) -> None:
        """Sets the state of an object."""

    def persistent(self, key: Any) -> Any:
        """The object stored outside the pickle under a key."""


def load(source: Any, resolver: Resolver) -> Any:
    """Reads one pickle from bytes, or from a memory map's position, which then is behind the pickle's end.

    Sets become lists; keys that are no text and no plain number become an `object()`.

    Raises:
        ValueError: damaged content, or a name that `resolver` does not know.
    """
    machine = _Machine(resolver)
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
    """A name that stands for neither tensors nor plain values."""


class _Machine:
    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
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
            stack.append(self.resolver.find(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            last, first = self.pop(), self.pop()
            stack.append(self.resolver.find(f"{first:s}.{last:s}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            stack.append(self.resolver.call(function, arguments))
        elif name == "BUILD":
            state = self.pop()
            self.resolver.build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(self.resolver.persistent(self.pop()))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError("PyTorch writes no such opcode")

    def pop(self) -> Any:
        """Removes and returns the top; items below a mark cannot be reached."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise ValueError("nothing stands behind the mark")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Removes and returns everything above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _key(value: Any) -> Any:
    plain = isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < _OWN_HASH)
    return value if plain else object()
