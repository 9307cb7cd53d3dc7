"""The page on components says all that the code has, and the examples of their docstrings run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from kspike import components
from kspike.components import base
from kspike.layers.component import Sizes

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "components.md").read_text()

pytestmark = pytest.mark.once


def section(title: str) -> str:
    """The text under a heading, up to the next of its level."""
    found = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, f"docs/components.md has no heading {title!r}"
    return found


def test_every_component_of_kspike_stands_with_equation_and_source():
    """A new file in a folder of `kspike/components` is a row that the page has to have."""
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in re.findall(r"^\| `.*", section("kspike's own"), re.M)]
    shown = {(name.strip("`"), role): rest for name, role, *rest in rows}
    own = {
        (name, role)
        for role in components.ROLES
        for name in components.names(role)
        if type(components.get(role, name)).__module__.startswith("kspike.components.")
    }
    assert own == set(shown)
    assert all(len(rest) == 2 and all(rest) for rest in shown.values())


def subclasses(cls: type) -> set[type]:
    return {each for below in cls.__subclasses__() for each in (below, *subclasses(below))}


def test_every_size_and_part_stands():
    assert all(f"`{size}`" in section("Sizes") for size in components.parts.SIZES)
    parts = {cls.__name__ for cls in subclasses(components.parts.Part) if cls.__module__.startswith("kspike.")}
    assert parts == set(re.findall(r"^\| `(\w+)\(", section("Parts"), re.M))
    assert all(f"`{kind}`" in section("Parts") for kind in components.KINDS)


def test_every_operation_of_sizes_stands():
    methods = {name for name in vars(Sizes) if not name.startswith("_")}
    assert methods == set(re.findall(r"`sizes\.(\w+)\(", section("forward")))


def test_what_a_step_may_name_and_what_that_covers():
    step = dict(re.findall(r"^\| `(\w+)[^|]*\|[^|]*\| ([^|]*) \|", section("A neuron"), re.M))
    covers = {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in step.items()}
    assert covers == {name: set(fields) for name, fields in base.COVERS.items()}
    assert all(f"`{name}`" in PAGE for name in (*base.NETWORK, *base.STEM))


MODULES = [found.name for found in pkgutil.walk_packages(components.__path__, "kspike.components.")]


#: A check is a supernet; those of `tests/supernet/test_words.py` are the same.
CHECKING = pytest.param("kspike.supernet.checking", marks=pytest.mark.proof)


@pytest.mark.parametrize("name", ["kspike.components", *MODULES, CHECKING])
def test_examples_of_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
