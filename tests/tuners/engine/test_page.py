"""Gene importance by hand-made differences, and the page of a search as a well-formed document."""

import math
from html.parser import HTMLParser

import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate, Proposal
from kspike.tuners.engine.constraints import counted
from kspike.tuners.engine.evolution.selection import front
from kspike.tuners.engine.report.importance import histogram, importance
from kspike.tuners.engine.report.page import as_page

pytestmark = pytest.mark.once

SPACE = SearchSpace(embed_dim=(192, 384), depth=(1, 2), num_heads=(6, 12), mlp_ratio=(1, 2, 4))


def candidates(n, accuracy):
    found = []
    for i in range(n):
        genome = SPACE.sample(seed=i)
        metrics = {"accuracy": accuracy(genome), "energy_mj": 1.0 + genome.depth, **counted(genome.to_config())}
        found.append(Candidate(Proposal(i, i // 20, genome), metrics, metrics["accuracy"], metrics["accuracy"]))
    return found


def test_the_gene_that_decides_has_all_the_importance_and_the_others_none():
    shares = importance(candidates(100, lambda g: 0.5 + 0.2 * (g.values["embed_dim"] == 384)), lambda c: c.accuracy)
    assert list(shares)[0] == "embed_dim" and shares["embed_dim"] == pytest.approx(1.0)
    assert all(share < 0.1 for name, share in shares.items() if name != "embed_dim")


def test_a_block_gene_counts_by_its_mean():
    def accuracy(genome):
        values = genome.values["mlp_ratio"][: genome.depth]
        return sum(values) / len(values) / 10

    shares = importance(candidates(200, accuracy), lambda c: c.accuracy)
    assert list(shares)[0] == "mlp_ratio" and shares["mlp_ratio"] > 0.6


def test_without_differences_or_candidates_nothing_is_claimed():
    for same in (0.5, 0.0825380921, 0.0):  # the second's mean is not exactly itself
        assert set(importance(candidates(30, lambda g, same=same: same), lambda c: c.accuracy).values()) == {0.0}
    assert importance(candidates(2, lambda g: 0.5), lambda c: c.accuracy) == {}


def test_histograms_are_shares_of_what_is_expressed():
    members = candidates(50, lambda g: 0.5)
    gene = next(g for g in SPACE.genes if g.name == "mlp_ratio")
    shares = histogram(members, gene)
    values = [v for c in members for v in c.genome.values["mlp_ratio"][: c.genome.depth]]
    assert sum(shares) == pytest.approx(1.0) and shares[2] == values.count(4) / len(values)
    assert histogram([], gene) == [0.0, 0.0, 0.0]


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not any(value and value.startswith("http") for _, value in attrs)
        if tag not in ("meta", "path", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_shows_every_candidate():
    members = candidates(40, lambda g: 0.5 + 0.2 * (g.values["embed_dim"] == 384))
    failed = Candidate(
        Proposal(40, 1, SPACE.sample(seed=99)), counted(SPACE.sample(seed=99).to_config()), message="<broken>"
    )
    row = {"generation": 0, "evaluations": 20, "failed": 0, "infeasible": 0, "best": 0.7, "median": 0.6, "front": 3,
           "hypervolume": 0.4, "seconds": 2.0, "left": 20}  # fmt: skip
    edge = front(members)
    text = as_page(
        "Search in <mine>", ["seed 0"], [*members, failed], edge, [row], edge[:2], {edge[0].number: {"accuracy": 0.123}}
    )
    reader = Balanced()
    reader.feed(text)
    assert reader.open == []
    assert reader.seen.count("circle") == 40 + len(edge)
    assert "Search in &lt;mine&gt;" in text and "40 networks evaluated, 1 failed" in text and "0.1230" in text
    for gene in ("embed_dim", "mlp_ratio"):
        assert gene in text
    assert "No network has been evaluated" in as_page("x", [], [failed], [], [], [], {})
    assert not math.isnan(members[0].accuracy)
