"""Registries by name (surrogates, conventions, scores, augmentations), and the error for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


#: Most names compared, and letters of the longest, when an error looks for a similar name.
_COMPARED, _LETTERS = 1000, 200


def nearest(name: object, known: Iterable[str]) -> str:
    """Says which known name is meant, for error messages: ' (did you mean ...?)' or nothing.

    A comparison takes time by the product of two lengths, so names from a file are limited in length and number.
    """
    close = _closest(name, known)
    return "" if close is None else f" (did you mean {close!r}?)"


def meant(name: object, known: Iterable[str]) -> str:
    """The same as a sentence of its own: ' Did you mean ...?' or nothing."""
    close = _closest(name, known)
    return "" if close is None else f" Did you mean {close!r}?"


def _closest(name: object, known: Iterable[str]) -> str | None:
    text = str(name)
    close = difflib.get_close_matches(text, list(known)[:_COMPARED], n=1) if len(text) <= _LETTERS else []
    return close[0] if close else None


def check_keys(what: str, keys: Iterable[object], known: Iterable[str]) -> None:
    """Refuses keys of a mapping that are not known, by ValueError; `what` has them."""
    known = list(known)
    for key in keys:
        if key not in known:
            raise ValueError(f"{what} has no {key!r}.{meant(key, known)} Known: {', '.join(known)}.")


def unknown(what: str, name: object, known: Iterable[str], more: str = "") -> ValueError:
    """The error for a name that is not among the known ones, to be raised; `more` says how to add one."""
    known = list(known)
    return ValueError(f"Unknown {what} {name!r}{nearest(name, known)}; known: {', '.join(known)}{more}.")


class Registry(Mapping[str, T], Generic[T]):
    """Named things of one kind, in the order of registration.

    Args:
        what: what they are, for messages: "surrogate".
        check: raises ValueError for a thing that does not belong here; takes the thing.
        more: what a message about an unknown name says last: how to add one.

    Example:
        >>> shapes = Registry("shape")
        >>> shapes.add("square", 4)
        >>> shapes.find("square")
        4
    """

    def __init__(self, what: str, check: Callable[[T], None] | None = None, more: str = "") -> None:
        self.what, self._check, self._more = what, check, more
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T, *, replace: bool = False) -> None:
        """Makes a thing known by its name; the same thing again changes nothing.

        Raises:
            ValueError: it does not belong here, has no name, or its name is another's (`replace=True` gives it).
        """
        if self._check is not None:
            self._check(thing)
        if not name or not isinstance(name, str):
            raise ValueError(f"A {self.what} needs a name of its own, got {name!r}; taken: {self.listed()}.")
        if not replace and name in self._things and self._things[name] != thing:
            raise ValueError(f"The {self.what} {name!r} exists: yours needs a name of its own; taken: {self.listed()}.")
        self._things[name] = thing

    def find(self, name: object) -> T:
        """The thing of that name.

        Raises:
            ValueError: there is none; the message lists the known names and says which may be meant.
        """
        if not isinstance(name, str) or name not in self._things:
            raise unknown(self.what, name, sorted(self), self._more)
        return self._things[name]

    def listed(self) -> str:
        """The known names, as text for a message."""
        return ", ".join(sorted(self._things))

    def __getitem__(self, name: str) -> T:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
