"""Names are text on every page: whatever a model, layer, class, convention or space is called, no tag changes."""

from __future__ import annotations

import dataclasses
import functools
import html.parser
import re
import types
from pathlib import Path

import numpy as np
import pytest

from kspike import SpikformerConfig, pages
from kspike.cost.conventions import base
from kspike.cost.measured.anytime import Reading
from kspike.cost.page import as_page as energy_page
from kspike.cost.report.report import EnergyReport
from kspike.cost.report.rows import EnergyRow, NeuronRow
from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate, Proposal
from kspike.tuners.engine.constraints import counted
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.tuners.engine.report.page import COLUMNS
from kspike.tuners.engine.report.page import as_page as evolution_page
from kspike.tuners.zero_cost.page import as_page as zero_cost_page

pytestmark = pytest.mark.once

HOSTILE = """a"b'></title></style></svg><script src="http://x">alert(1)</script>{{ 7*7 }}{% raw %}&amp;<!--`c_d/e"""
#: Breaks at the same places, and means nothing in HTML or to Jinja.
HARMLESS = re.sub(r"[^/_,|(]", "x", HOSTILE)


class Structure(html.parser.HTMLParser):
    """Tags with the names of their attributes, and all texts: between tags and in attributes."""

    def __init__(self, source: str):
        super().__init__()
        self.tags, self.texts = [], [""]
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *(name for name, _ in attributes)))
        self.texts.extend(value for _, value in attributes if value)
        if tag not in ("wbr", "span"):  # a path is broken into these, and genes
            self.texts.append("")

    def handle_endtag(self, tag):
        self.tags.append(tag)

    def handle_comment(self, data):
        self.tags.append(("comment", data))

    def handle_data(self, data):
        self.texts[-1] += data


def energy(name: str, *, both: bool) -> str:
    rows = (
        EnergyRow(name, name, 0.2, (0.2, 0.2), 0.2, 1.0, 10, 2.0, 0.0, 0.5),
        EnergyRow(name, name, 0.0, (0.0, 0.0), 0.0, 0.0, 10, 0.0, 0.0, 0.0),
    )
    report = EnergyReport(
        model=name,
        convention=dataclasses.replace(base.get("spikformer"), name=name, source=name),
        images=3,
        timesteps=2,
        rows=rows,
        neurons=tuple(NeuronRow(name, 8, rate, (rate, rate), np.eye(2, 4)) for rate in (0.0, 0.3, 1.0)),
        energy_std_mj=0.1,
        parameters=7,
        notes=(name,),
        image=np.zeros((2, 2, 1)),
        label=name,
        readings=(Reading(1, 0.1, 0.5, name), Reading(2, 0.2, 1.0, name)),
    )
    return energy_page(report, report if both else None)


def candidates(name: str) -> list[Candidate]:
    space = SearchSpace(SpikformerConfig(), embed_dim=(192, 384), depth=(1, 2))
    space.name = name  # which no file can give it
    found = []
    for i in range(6):
        genome = space.sample(seed=i)
        metrics = {
            "accuracy": i / 10,
            "energy_mj": 1.0 + i,
            "energy_mj_std": 0.1,
            "mine": i,
            **counted(genome.to_config()),
        }
        found.append(Candidate(Proposal(i, i // 3, genome), metrics, i / 10, i / 10, float(i == 2)))
    return found


def evolution(name: str) -> str:
    found = candidates(name)
    row = dict.fromkeys(COLUMNS, name) | {"generation": 0, "hypervolume": 0.5}
    return evolution_page(name, [name], found, found[:2], [row], found[:2], {})


def zero_cost(name: str) -> str:
    found = candidates(name)
    score = types.SimpleNamespace(name=name, metric="mine", direction="max")
    rejected = [(found[0].genome, name)]
    ranking = Ranking(found[0].genome.space)
    return zero_cost_page([name], ranking, score, found, found[:2], found[:2], rejected)


PAGES = {
    "energy": functools.partial(energy, both=False),
    "energy of two": functools.partial(energy, both=True),
    "evolution": evolution,
    "zero cost": zero_cost,
}


@pytest.mark.parametrize("page", PAGES)
def test_a_name_is_text_and_changes_no_tag_of_the_page(page):
    source = PAGES[page](HOSTILE)
    hostile, harmless = Structure(source), Structure(PAGES[page](HARMLESS))
    assert hostile.tags == harmless.tags
    assert ("script",) not in hostile.tags and ("script", "src") not in hostile.tags
    # as it is: neither swallowed nor escaped twice, and nothing in it computed
    named = sum(HOSTILE in text for text in hostile.texts)
    assert named == sum(HARMLESS in text for text in harmless.texts) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing(page):
    source = PAGES[page]("plain")
    loads = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'>]+)|url\(|@import|<script|https?:""", source)
    assert all(address.startswith("data:image/png;base64,") for address in loads)
    assert len(loads) == {"energy": 1, "energy of two": 2}.get(page, 0)


def test_no_template_takes_a_value_for_markup():
    """`safe` is for what a template says itself; a value marked so would not be escaped."""
    for path in (Path(pages.__file__).parent / "templates").iterdir():
        source = path.read_text(encoding="utf-8")
        assert all(re.search(r'"[^"]+"\s*$', before) for before in re.split(r"\|\s*safe\b", source)[:-1]), path.name
        assert "autoescape" not in source and "Markup" not in source


def test_a_value_that_a_template_misses_is_an_error():
    with pytest.raises(Exception, match="'evaluated' is undefined"):
        pages.render("search.html", title="t", facts=[])
