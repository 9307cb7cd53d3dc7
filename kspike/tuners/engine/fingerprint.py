"""Fingerprint: the settings a project was started with, so that it is never continued with others unnoticed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from kspike.tuners.engine.evolution.evolution import Evolution
from kspike.tuners.engine.evolution.operators import Crossover, Mutation


def fingerprint(evolution: Evolution, objective: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides which genomes are proposed and how they rank, as plain JSON values.

    The number of generations is not part of it: a finished search may be continued for more.
    """
    return {
        "space": evolution.space.to_dict(),
        "objective": dict(objective),
        "constraints": evolution.constraints.to_dict(),
        "population_size": int(evolution.population_size),
        "parents": int(evolution.parents),
        "mutation_share": float(evolution.mutation_share),
        "mutation": _fields(evolution.mutation) if type(evolution.mutation) is Mutation else _named(evolution.mutation),
        "crossover": "Crossover" if type(evolution.crossover) is Crossover else _named(evolution.crossover),
        "selection": _named(evolution.selection),
        "seed": int(evolution.seed),
    }


def _named(operator: Any) -> dict[str, Any]:
    return {"name": type(operator).__name__, **_fields(operator)}


def _fields(operator: Any) -> dict[str, Any]:
    """An operator's settings as JSON values; empty for one that is no dataclass."""
    known = dataclasses.is_dataclass(operator) and not isinstance(operator, type)
    values = dataclasses.asdict(operator) if known else {}
    return json.loads(json.dumps(values, default=lambda value: type(value).__name__))


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names every place where two fingerprints differ, with both values."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        out = []
        for key in [*before, *(k for k in now if k not in before)]:
            if name == "space" and key == "name":
                continue
            out += differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        return out
    return [] if before == now else [f"{name}: {before!r} in the project, {now!r} now"]


def refuse(before: Any, now: Any, where: Any) -> None:
    """Raises ValueError, naming the differences, if a project was started with something else."""
    found = differences(before, now)
    if found:
        raise ValueError(
            f"The project in {where} was started differently: {'; '.join(found[:5])}"
            f"{f'; and {len(found) - 5} more' if len(found) > 5 else ''}. Take the same settings to go on with it, "
            "another project_name to start beside it, or overwrite=True to start it anew."
        )
