"""Searches replayed on tables: on a list of networks, on the cells of the outside referee, and families beside them."""

import csv
import json

import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine.constraints import counted
from tests.scripts import benchmark

pytest.importorskip("scipy")
pytestmark = pytest.mark.once


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# -- a list of networks --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("kspike_mixers_c10_16")


@pytest.fixture(scope="module")
def listed(space):
    return benchmark("listed").Listed.of(space, [space.sample(seed=seed) for seed in range(30)])


def test_operators_get_the_nearest_network_that_is_not_taken(space, listed):
    listed.taken.clear()
    fifth = listed.listed[5]
    assert listed.decode(fifth.indices) is fifth and listed.size() == 30 == len(list(listed.genomes()))
    at = listed.position("timesteps")
    near = list(fifth.indices)
    near[at] = 1 - near[at]
    assert listed.decode(near) is fifth  # one place of some forty differs
    listed.taken.add(5)
    other = listed.decode(near)
    assert other != fifth and other in listed.listed
    listed.taken.clear()
    assert {listed.sample(seed=seed) for seed in range(200)} == set(listed.listed)
    with pytest.raises(ValueError, match="each once"):
        type(listed).of(space, [space.sample(seed=0)] * 2)


def test_numbers_are_apart_by_their_order_and_words_are_not(space):
    sizes = dict(depth={0: 1, 1: 1}, mlp_ratio=1, num_heads=2, mixer="ssa", tau={"stem": 2.0, "input": 2.0, "fc1": 2.0})
    sizes |= dict(v_threshold={"input": 1.0, "fc1": 1.0}, timesteps=1)
    make = lambda width, word: space.genome(embed_dim={0: width, 1: 32}, downsample={1: word}, **sizes)
    known = [make(32, "embed_max"), make(24, "embed_max"), make(24, "embed_1max"), make(16, "spikingformer")]
    listed = benchmark("listed").Listed.of(space, known)
    assert listed.nearest(make(16, "embed_max")) == 1
    listed.taken |= {0, 1}
    assert listed.nearest(make(24, "embed_max")) == 2 and listed.nearest(make(16, "embed_max")) == 3


@pytest.fixture(scope="module")
def table(space, tmp_path_factory):
    """30 networks over the mixers as benchmarks/table.py writes them, more accurate with more operations."""
    rng, rows = np.random.default_rng(0), []
    for number in range(30):
        genome = space.sample(seed=number)
        sizes = counted(genome.to_config())
        for seed in range(3 if number < 8 else 1):
            rows.append({
                "genome": json.dumps(genome.to_dict(expressed=True)), "seed": seed, "epochs": 3,
                "accuracy": 0.1 * np.log10(sizes["flops"]) - 0.3 + 0.005 * rng.normal(),
                "parameters": sizes["parameters"], "flops": sizes["flops"], "energy_mj": sizes["flops"] * 1e-10,
            })  # fmt: skip
    return write(tmp_path_factory.mktemp("mixers") / "table.csv", rows)


def test_searches_are_replayed_on_a_table_over_the_mixers(table, tmp_path, capsys):
    replay = benchmark("replay")
    budget = ["--seeds", "3", "--generations", "2", "--population", "5", "--parents", "3"]
    replay.main(["mixers", "--table", str(table), "--out", str(tmp_path / "r.csv"), *budget])
    rows = read(tmp_path / "r.csv")
    for method in replay.METHODS:
        found = [float(row["mean"]) for row in rows if (row["method"], row["quantity"]) == (method, "best AEB")]
        assert len(found) == 3 and found == sorted(found)
    assert {row["evaluations"] for row in rows} == {"5", "10", "15"} and (tmp_path / "r.png").stat().st_size > 1000
    assert "30 networks" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="30 networks; 35 evaluations"):
        replay.main(["mixers", "--table", str(table), "--out", str(tmp_path / "r.csv"), "--generations", "6",
                     "--population", "5"])  # fmt: skip
    with pytest.raises(SystemExit, match="grows it"):
        replay.main(["mixers", "--table", str(tmp_path / "none.csv")])


# -- the outside referee -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """As many cells as the referee has; every edge adds to accuracy, and the more accurate is the worse in the test."""
    rng = np.random.default_rng(0)
    gains, rows = rng.normal(size=(6, 5)), []
    for number, cell in enumerate(np.ndindex(*(5,) * 6)):
        accuracy = round(80 + sum(gains[edge, word] for edge, word in enumerate(cell)) + 1e-4 * rng.random(), 6)
        edges = {f"d{edge}": word for edge, word in enumerate(cell)}
        rows.append({"id": number, **edges, "val_last": accuracy, "test": 100 - accuracy, "mean_firing": rng.random()})
    return write(tmp_path_factory.mktemp("referee") / "cells.csv", rows)


@pytest.mark.slow
def test_searches_pick_by_validation_and_are_judged_by_test(cells, tmp_path, capsys):
    referee = benchmark("referee")
    out = tmp_path / "referee.csv"
    referee.main([str(cells), "--out", str(out), "--seeds", "4", "--generations", "4", "--population", "25"])
    rows = {(row["quantity"], row["method"], int(row["evaluations"])): row for row in read(out)}
    assert len(rows) == 2 * 5 * 5 and out.with_suffix(".png").stat().st_size > 1000
    validation, test = (
        {(method, count): float(row["mean"]) for (name, method, count), row in rows.items() if name == quantity}
        for quantity in referee.QUANTITIES
    )
    for where, value in validation.items():
        assert test[where] == pytest.approx(100 - value, abs=1e-3)
    for method in [*referee.METHODS, referee.REGULARISED]:
        found = [validation[method, count] for count in range(25, 126, 25)]
        assert found == sorted(found)
    assert validation["evolution", 125] > validation["random", 125] + 0.2
    # with one objective the fronts of NSGA-II are single networks, in the order of their score
    assert all(validation["NSGA-II, accuracy alone", n] == validation["evolution", n] for n in range(25, 126, 25))


def test_a_file_that_is_not_all_cells_is_refused(cells, tmp_path):
    referee, rows = benchmark("referee"), read(cells)
    with pytest.raises(ValueError, match="15,624 rows of 15,624 cells"):
        referee.cells_of(write(tmp_path / "c.csv", rows[1:]))
    with pytest.raises(ValueError, match="no column test"):
        referee.cells_of(write(tmp_path / "c.csv", [{k: v for k, v in row.items() if k != "test"} for row in rows[:3]]))
    with pytest.raises(ValueError, match="no column d0"):
        referee.cells_of(tmp_path / "none.csv")


# -- families ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(space, tmp_path):
    """Made-up rows of the smallest and largest network of every family, and of one found between them."""
    families = benchmark("families")
    found = space.sample(seed=0)
    write(tmp_path / "candidates.csv", [{
        "genome": json.dumps(found.to_dict(expressed=True)), "supernet": "x", "chosen": "middle", "seconds": 2.0,
    }])  # fmt: skip
    ends = [families.Contestant(g, n.name, n.config)
            for g in (families.HAND, *families.PUBLISHED)
            for n in families.of_sizes(families.SPIKFORMER if g == families.HAND else g, g)
            if n.name in ("width 32, T 1", "width 128, T 4")]  # fmt: skip
    ends.append(families.Contestant(families.FOUND, "middle", found.to_config()))
    rows = []
    for seed in (0, 1, 2):
        for c in ends:
            place = {"width 32, T 1": (1e-4, 0.4), "width 128, T 4": (1e-2, 0.6), "middle": (1e-3, 0.55)}[c.name]
            rows.append({
                "group": c.group, "name": c.name, "penalty": 0.0, "seed": seed, "epochs": 10, "accuracy": place[1],
                "test_accuracy": place[1] + 0.01 * seed * (c.name == "middle"), "parameters": 1000,
                "flops": counted(c.config)["flops"], "energy_mj": place[0], "images": 449280, "seconds": 360,
                "config": json.dumps(c.config.to_dict()),
            })  # fmt: skip
    write(tmp_path / "hand.csv", [row for row in rows if row["group"] == families.HAND])
    write(tmp_path / "out.csv", [row for row in rows if row["group"] != families.HAND])
    names = {"--out": "out.csv", "--candidates": "candidates.csv", "--spikformer": "hand.csv"}
    return tmp_path, [word for flag, name in names.items() for word in (flag, str(tmp_path / name))]


def test_what_is_left_is_counted_in_runs_and_hours(trained, capsys):
    _, files = trained
    benchmark("families").main(["left", *files])
    lines = {line[:24].strip(): line[24:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["Spikformer"][:4] == ["36", "6", "0.60", "30"] and lines["Spikformer"][4] == "3.00"
    assert lines["found over all mixers"][:4] == ["3", "3", "0.30", "0"]
    assert lines["all"][:4] == ["147", "27", "2.70", "120"] and float(lines["all"][4]) == pytest.approx(12.0)


def test_found_networks_stand_beside_every_family_with_an_interval(trained):
    folder, files = trained
    benchmark("families").main(["page", *files])
    page = (folder / "out.md").read_text()
    # halfway over log energy the fronts have 50 %; found 55, 56, 57: 6 above, and 4.303 standard errors of 0.577
    assert page.count("+6.00 (+3.52 to +8.48)") == 4 and "27 runs of 9 networks" in page
    assert (folder / "out.png").stat().st_size > 1000
    rows = read(folder / "out.csv")
    rows[0]["images"] = "512"
    write(folder / "out.csv", rows)
    with pytest.raises(SystemExit, match="equally many images"):
        benchmark("families").main(["page", *files])


def test_families_are_the_published_architectures_at_other_sizes():
    families = benchmark("families")
    small = families.of_family("QKFormer-like", 32, 2)
    assert (small.embed_dim, small.depth, small.timesteps, small.stem) == ((8, 16, 32), (1, 1, 2), 2, "peds")
    assert families.of_family("SDT-like", 64, 1).embed_dim == 64
    options = families.arguments("", ("left",), "families", "").parse_args(["left"])
    done = families.done_of(options, families.RESULTS / "dominance_c10_16.csv")
    runs = families.planned(options, families.of_sizes(families.SPIKFORMER, families.HAND))
    assert len(runs) == 36 and all(families.key_of_run(run) in done for run in runs)  # trained long ago, and counted
