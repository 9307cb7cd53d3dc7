"""Names that become files and folders: of search spaces, projects, runs and published entries. One rule, here alone.

A name may come from a file that somebody else wrote. It must not be a path ("../mine", "/etc/x"), nor contain terminal
escape sequences, nor mean two things on two file systems.
"""

from __future__ import annotations

import re
from typing import Any

from kspike._messages import shown

LONGEST = 80
RULE = (
    f"1 to {LONGEST} letters (a to z, A to Z), digits, '_', '-' and '.', beginning with a letter, a digit or '_' and "
    "not ending with '.'; none that Windows keeps for devices (con, nul, com1, ...)"
)
#: Windows opens a device by these names, whatever folder they are in and whatever follows a dot. Both cases are
#: spelled out, since JSON schemas have no ignore-case flag.
_DEVICES = r"(?!(?:[cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]|(?:[cC][oO][mM]|[lL][pP][tT])[0-9])(?:\.|$))"
#: The rule as a pattern, for `re.fullmatch` and, between ^ and $, for JSON schemas.
PATTERN = rf"{_DEVICES}[A-Za-z0-9_]([A-Za-z0-9_.-]{{0,{LONGEST - 2}}}[A-Za-z0-9_-])?"
#: A published entry's name is narrower: no dot, which begins its version, and no capitals, which some file systems take
#: for small letters.
ENTRY = rf"{_DEVICES}[a-z0-9_]{{1,{LONGEST}}}"


def check(name: Any, what: str) -> str:
    """Returns a valid name unchanged.

    Args:
        name: of a space, a project or a run.
        what: the argument's name, for the message: "project_name".

    Raises:
        ValueError: it is no valid name.

    Example:
        >>> check("digits-2.1", "project_name")
        'digits-2.1'
    """
    if not isinstance(name, str) or not re.fullmatch(PATTERN, name):
        raise ValueError(
            f"Expected {what} to be {RULE}; received {shown(name)}. A name says what a thing is called, not where it "
            "lies: give a folder as the directory."
        )
    return name


def made_from(text: str) -> str:
    """Any text (the stem of a user's own file) -> a name, with '_' for what a name cannot have.

    Example:
        >>> made_from("my space (2)"), made_from("spikformer_c10")
        ('my_space_2', 'spikformer_c10')
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip(".-")[:LONGEST].rstrip("._") or "unnamed"
    return name if re.match(_DEVICES, name) else f"_{name}"[:LONGEST]
