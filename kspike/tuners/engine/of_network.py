"""Numbers that a plain function gives of one network's config: memory, and whatever a user bounds or ranks by."""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kspike import cost
from kspike._registry import Registry
from kspike.config import SpikformerConfig

#: A number of a network that follows from its config alone.
OfNetwork = Callable[[SpikformerConfig], float]
F = TypeVar("F", bound=Callable[..., Any])
#: Networks whose numbers are kept, of all functions together.
KEPT = 65_536


#: Names that stand in the results of a search, beside which a function's numbers stand by the function's name.
TAKEN = frozenset(
    ("accuracy", "energy", "energy_mj", "fitness", "flops", "latency_ms", "loss", "parameters", "params", "place")
    + ("rejected", "seconds", "silent", "silent_layers", "timesteps")
)


class NoNumber(ValueError):
    """A function of one's own raised, or gave no number: a mistake in its code, which says nothing of a network."""


def name_of(function: Callable[..., Any], what: str) -> str:
    """The name of a plain function, which tells one project from another.

    Raises:
        ValueError: it has none of its own (a lambda, a partial), one that results have already, or it is a class.
    """
    name = getattr(function, "__name__", "")
    if isinstance(function, type):
        raise ValueError(f"A {what} is a function or an object, and {name} is a class: give {name}(...).")
    if not name.isidentifier():
        raise ValueError(
            f"A {what} that is a plain function goes by its name; {function!r} has none: write it with def."
        )
    return free_name(name, what)


def free_name(name: str, what: str) -> str:
    """A name that a function's numbers may stand under in results.

    Raises:
        ValueError: it is no text, or results have it already.
    """
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise ValueError(f"The name of a {what} must be a text, got {name!r}.")
    if name in TAKEN or name.endswith("_std"):
        raise ValueError(f"The name {name!r} stands in every result already: give your {what} one of its own.")
    return name


@functools.lru_cache(maxsize=KEPT)
def number(function: OfNetwork, config: SpikformerConfig) -> float:
    """What a function says of a network, asked once for each; nan where that is not finite.

    Raises:
        NoNumber: it raised, and what it raised is the cause; or it returned no number.
    """
    try:
        found = function(config)
    except Exception as error:
        raise NoNumber(
            f"{_label(function)} raised {type(error).__name__}: {error}{_place(error)}. It was asked of "
            f"{_brief(config)}."
        ) from error
    value = as_number(found, f"{_label(function)} must return a number for a SpikformerConfig")
    return value if math.isfinite(value) else math.nan


def as_number(found: Any, expected: str) -> float:
    """One real number that a function of the user's returned: Python's, NumPy's or a backend's.

    Args:
        found: what it returned.
        expected: the beginning of the message.

    Raises:
        NoNumber: it is none: a truth value, an array of several, a complex number, text, nothing.
    """
    kind = str(getattr(found, "dtype", type(found).__name__))
    several = getattr(found, "shape", ()) != ()
    if "bool" not in kind and "complex" not in kind and not several and hasattr(found, "__float__"):
        try:
            return float(found)
        except OverflowError:  # a whole number beyond the range of a float
            return math.inf if found > 0 else -math.inf
        except (TypeError, ValueError):
            pass
    shown = repr(found)
    raise NoNumber(f"{expected}; it returned {shown if len(shown) <= 200 else f'{shown[:200]}...'}.")


def same_as_before(function: OfNetwork, config: SpikformerConfig, before: float, where: Any) -> None:
    """Refuses a function that gives another number for a network than a project has of it.

    Args:
        function: asked anew.
        config: the network.
        before: what the project has.
        where: the project's folder.

    Raises:
        ValueError: it gives another one. `NoNumber` where it gives none.
    """
    now = number(function, config)
    if not math.isclose(now, before, rel_tol=1e-6):
        raise ValueError(
            f"{_label(function)} gives {now:.12g} where the project in {where} has {before:.12g}, of "
            f"{_brief(config)}: the function was changed, or gives another number each time. Take the function that "
            "the project was started with, another project_name, or overwrite=True to start it anew."
        )


def _label(function: Any) -> str:
    return str(getattr(function, "__name__", function))


def _place(error: BaseException) -> str:
    """Where it was raised, or nothing where the function could not even be called."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _brief(config: SpikformerConfig) -> str:
    fields = ("input_shape", "timesteps", "embed_dim", "depth", "num_heads", "mlp_ratio")
    return f"SpikformerConfig({', '.join(f'{name}={getattr(config, name)!r}' for name in fields)}, ...)"


#: What constraints know by name, beside what whole populations are counted by.
REGISTRY: Registry[OfNetwork] = Registry("constraint", more="; kspike.tuners.constraints.register adds one")
REGISTRY.add("memory_mb", cost.memory_mb)
