"""The benchmark of training-free scores: its statistics on cases worked by hand, and its pages from a small table."""

import argparse
import csv
import json
import sys

import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners import scores
from tests.scripts import benchmark

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def proxies():
    pytest.importorskip("scipy")
    return benchmark("proxies")


def test_correlations_are_those_worked_by_hand(proxies):
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    assert proxies.kendall(x, y) == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert proxies.spearman(x, y) == pytest.approx(0.8)
    assert proxies.brown(x, y) == pytest.approx((1.6 / 1.8) ** 0.5)
    assert proxies.spearman(x, np.ones(4)) == 0 == proxies.kendall(x, np.ones(4))
    rng = np.random.default_rng(0)
    z = rng.normal(size=400)
    a, b = z + rng.normal(size=400), z + rng.normal(size=400)
    assert proxies.spearman(a, b) > 0.35 and abs(proxies.partial(a, b, z)) < 0.12  # what z explains is gone
    assert proxies.partial(a, a, z) > 0.99
    value, low, high = proxies.interval(proxies.spearman, [a, b])
    assert low < value < high and 0 < low


@pytest.mark.slow
def test_intervals_at_their_edges(proxies):
    interval, inconclusive, LEAST = proxies.interval, sys.modules["correlations"].inconclusive, proxies.LEAST
    x = np.arange(8.0)
    assert interval(proxies.spearman, [x, x]) == pytest.approx((1.0, 1.0, 1.0))
    assert interval(proxies.kendall, [x, -x]) == pytest.approx((-1.0, -1.0, -1.0))
    assert interval(proxies.kendall, [x, np.ones(8)]) == (0.0, 0.0, 0.0)  # nothing to order by is no correlation
    assert interval(proxies.spearman, [x, np.sin(x)]) == interval(proxies.spearman, [x, np.sin(x)])  # by its seed
    value, low, high = interval(proxies.kendall, [np.arange(3.0), np.array([0.0, 0.0, 1.0])])  # ties, and three alone
    assert (value, low, high) == pytest.approx(((2 / 3) ** 0.5, 0.0, 1.0))
    for columns, says in (
        ([x[:2], x[:2]], "at least three networks"),
        ([x, x[:5]], "all alike"),
        ([x, np.append(x[:-1], np.nan)], "finite numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            interval(proxies.spearman, columns)
    assert inconclusive(LEAST - 1, 0.5, 0.9) == "inconclusive: 9 networks, 10 are needed"
    assert (
        inconclusive(LEAST, -0.1, 0.9) == "inconclusive: the interval holds 0" and inconclusive(LEAST, 0.1, 0.9) == ""
    )


@pytest.fixture
def table(tmp_path):
    """Twelve networks whose accuracy follows their FLOPs, with noise between the seeds; scores beside it."""
    rng = np.random.default_rng(1)
    rows, scores = [], []
    for i in range(12):
        flops = 1e6 * (i + 1)
        scores.append({
            "id": f"n{i}", "width": 16, "params": 1000 * (i + 5), "flops": flops, "energy": flops * 1e-9,
            "energy_std": 1e-5, "naswot": rng.normal(),
        })  # fmt: skip
        for seed in (0, 1):
            rows.append({"id": f"n{i}", "seed": seed, "accuracy": 0.5 + 0.03 * i + 0.01 * rng.normal(),
                         "parameters": 1000 * (i + 5), "energy_mj": flops * 1.1e-9})  # fmt: skip
    for name, content in (("table.csv", rows), ("proxies_scores.csv", scores)):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, content[0])
            writer.writeheader()
            writer.writerows(content)
    return tmp_path


@pytest.fixture
def fewer_draws(proxies, monkeypatch):
    """For the pages: what an interval is, is shown above with as many as the benchmark draws."""
    monkeypatch.setattr(sys.modules["correlations"], "RESAMPLED", 100)


@pytest.mark.slow
def test_a_table_becomes_a_page_a_picture_and_data(proxies, table, fewer_draws, capsys):
    proxies.main([str(table / "table.csv"), "--out", str(table / "proxies"), "--window", "8000", "14000"])
    page = (table / "proxies.md").read_text()
    assert "12 networks (12 with 2 seeds)" in page and "7 networks of 8,000 to 14,000 parameters" in page
    assert "**seed against seed**" in page and "energy given flops" in page
    with open(table / "proxies_correlations.csv", newline="") as file:
        rows = {(row["where"], row["what"]): row for row in csv.DictReader(file)}
    whole = {what: row for (where, what), row in rows.items() if where.startswith("All")}
    assert float(whole["flops"]["spearman"]) > 0.9 and float(whole["energy"]["spearman"]) > 0.9
    assert "width" not in whole  # the same for all: orders nothing
    assert float(whole["energy, with energy after training"]["kendall"]) == pytest.approx(1.0)
    assert next(line for line in page.splitlines() if "| naswot" in line).endswith(
        "inconclusive: the interval holds 0 |"
    )
    assert (table / "proxies.png").stat().st_size > 1000


def test_a_table_of_few_networks_is_no_finding(proxies, table, fewer_draws):
    rows = (table / "table.csv").read_text().splitlines()
    (table / "few.csv").write_text("\n".join(rows[:9]) + "\n")
    proxies.main([str(table / "few.csv"), "--out", str(table / "proxies")])
    page = (table / "proxies.md").read_text()
    assert "Fewer than 10 networks: none of this is a finding" in page and "parameters\n" not in page
    verdicts = [line for line in page.splitlines() if line.startswith("| ") and "(" in line and "95 %" not in line]
    assert len(verdicts) > 4 and all("inconclusive: 4 networks, 10 are needed" in line for line in verdicts)

    (table / "fewer.csv").write_text("\n".join(rows[:7]) + "\n")
    with pytest.raises(SystemExit, match="holds 3 networks"):
        proxies.main([str(table / "fewer.csv"), "--out", str(table / "proxies")])


def test_a_table_without_its_columns_is_refused(proxies, tmp_path):
    (tmp_path / "t.csv").write_text("id,accuracy\na,0.5\n")
    with pytest.raises(ValueError, match="must have columns seed"):
        proxies.read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("id,seed,accuracy\na,0,0.5\na,0,0.6\n")
    with pytest.raises(ValueError, match="seed 0 twice"):
        proxies.read_table(tmp_path / "t.csv")


def test_scores_are_taken_of_networks_with_stages_too(proxies, tmp_path, monkeypatch):
    """Of several stages the width is the last one's, the depth that of all."""
    space = SearchSpace.load("kspike_mixers_c10_16")
    genomes = [space.sample(seed=seed) for seed in range(3)]
    table = {
        json.dumps(genome.to_dict(expressed=True)): {"row": {"genome": json.dumps(genome.to_dict(expressed=True))}}
        for genome in genomes
    }
    monkeypatch.setattr(scores, "names", lambda: ("flops",))
    monkeypatch.setattr(scores, "evaluate", lambda config, *_, **__: {"flops": scores.Value("flops", (7.0,))})
    monkeypatch.setattr("kspike.data.load", lambda *_, **__: argparse.Namespace(train=None))
    options = argparse.Namespace(
        space=space.name, data="cifar10", data_dir=None, image_size=(16, 16), seeds=1, images=1
    )
    found = proxies.score_networks(table, tmp_path / "scores.csv", options)
    for genome, scored in zip(genomes, found.values(), strict=True):
        config = genome.to_config()
        sizes = {"width": config.embed_dim[1], "depth": sum(config.depth), "timesteps": config.timesteps}
        assert scored == sizes | {"flops": 7.0}
    assert proxies.score_networks(table, tmp_path / "scores.csv", options) == found  # read back, nothing is measured
