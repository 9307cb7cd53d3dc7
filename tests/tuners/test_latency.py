"""Latency as a constraint: measured by a clock that is given, once for a network, and told in reports."""

import keras
import numpy as np
import pytest

from kspike.tuners import Latency, latency
from kspike.tuners.zero_cost import shortlist
from tests.helpers import to_numpy
from tests.tuners.fakes import Evaluator, FakeSearch, Untrained, arrays, zero_cost_search

pytestmark = pytest.mark.shared

IMAGE = np.zeros((1, 4), "float32")


class Clock:
    """Says that every call takes as long as the next number."""

    def __init__(self, *seconds):
        self.seconds, self.now, self.asked = list(seconds), 0.0, 0

    def __call__(self):
        self.asked += 1
        if self.asked % 2 == 0:
            self.now += self.seconds[(self.asked // 2 - 1) % len(self.seconds)]
        return self.now


def test_the_median_of_the_calls_after_the_first():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    measure = Latency(calls=3, warm=2, clock=Clock(9.0, 9.0, 0.005, 0.002, 0.003))
    assert measure("one", lambda: model, IMAGE) == pytest.approx(3.0)
    assert measure("one", None, IMAGE) == pytest.approx(3.0)  # known: nothing is made
    assert list(measure.known) == ["one"]
    with pytest.raises(ValueError, match="calls must be a whole number of at least 1, got 0"):
        Latency(calls=0)


class Timed(Latency):
    """A latency that follows from the config."""

    def __call__(self, config, make, image):
        self.known[config] = found = config.embed_dim * config.depth / 10
        return found


class WithLatency(Evaluator):
    """As the fake, with the latency that the tuner would have had measured."""

    def __call__(self, genome):
        config = genome.to_config()
        return {**super().__call__(genome), "latency_ms": config.embed_dim * config.depth / 10}


def test_an_evolution_ranks_slow_networks_behind_and_says_where_it_was_measured(tmp_path, monkeypatch, capsys):
    bounds = {"latency_ms": (None, 1.0)}
    tuner = FakeSearch(tmp_path, WithLatency(), constraints=bounds).run()
    slow = [c for c in tuner.state.archive if c.metrics["latency_ms"] > 1.0]
    assert slow and all(c.violation > 0 for c in slow) and tuner.best_candidates(1)[0].feasible
    tuner.results_summary()
    said = " ".join(capsys.readouterr().out.split())
    assert "latency_ms: one image at a time, median of 20 calls" in said and latency.processor() in said
    page = tuner.report().read_text()
    assert "latency_ms: one image at a time" in page and "<th>latency_ms</th>" in page
    assert FakeSearch(tmp_path, WithLatency(), constraints=bounds).run().state.done()
    monkeypatch.setattr(latency, "processor", lambda: "another chip")
    with pytest.raises(ValueError, match="latency.processor.*'another chip' now"):
        FakeSearch(tmp_path, WithLatency(), constraints=bounds).run()


def test_a_zero_cost_search_rejects_slow_networks_of_its_shortlist(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shortlist, "evaluate", Untrained())
    tuner = zero_cost_search(tmp_path, constraints={"latency_ms": (None, 2.0)}, per_cost=1)
    tuner.latency = Timed()
    with pytest.raises(ValueError, match="latency.*on real images"):
        tuner.search()
    tuner.search(arrays())
    times = [c.embed_dim * c.depth / 10 for c in (g.to_config() for g in tuner.ranking.top(20))]
    assert sorted(c.metrics["latency_ms"] for c in tuner.shortlisted()) == sorted(t for t in times if t <= 2)
    assert [why for _, why in tuner.rejected()] == [
        f"latency_ms is {t:.4g}, outside [None, 2.0]" for t in times if t > 2
    ]
    tuner.results_summary()
    said = " ".join(capsys.readouterr().out.split())
    assert "median of 20 calls" in said and "latency_ms" in said.split("Best first")[1]


def test_an_untrained_network_is_measured_with_the_statistics_of_the_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(shortlist, "evaluate", Untrained())
    tuner = zero_cost_search(tmp_path, constraints={"latency_ms": (None, 7.5)}, shortlist=1, max_trials=1)
    tuner.latency = Latency(calls=1, warm=1, clock=Clock(9.0, 0.007))
    moved, plain = [], Latency._measure

    def measured(self, model, image):
        moved.extend(to_numpy(v).any() for v in model.variables if v.name == "moving_mean")
        return plain(self, model, image)

    monkeypatch.setattr(Latency, "_measure", measured)
    tuner.search(arrays())
    assert tuner.shortlisted()[0].metrics["latency_ms"] == pytest.approx(7.0)
    assert sum(moved) > 8  # with the first ones, of 0 and 1, next to nothing fires
