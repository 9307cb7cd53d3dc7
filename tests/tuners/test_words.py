"""Words as hyperparameters, in tables and in files, and under mutation and crossover."""

import csv

import keras_tuner
import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate
from kspike.tuners.engine.candidate import Proposal
from kspike.tuners.engine.evolution.operators import Crossover, Mutation
from kspike.tuners.engine.report.data import chosen_values
from kspike.tuners.engine.report.export import to_csv
from kspike.tuners.engine.report.importance import by_choice, importance
from kspike.tuners.engine.report.page import as_page
from kspike.tuners.hypermodel import genome_of, hyperparameters, values_of
from kspike.tuners.project.text import genes
from tests.space import staged
from tests.space.words import BASE, SPACES, Gate

pytestmark = pytest.mark.once

ALL = SPACES | {f"stages_{name}": space for name, space in staged.SPACES.items()}


@pytest.mark.parametrize("name", sorted(ALL))
def test_genomes_and_hyperparameters_are_two_forms_of_one(name):
    space = ALL[name]
    hp = hyperparameters(space)
    for seed in range(10):
        genome = space.sample(seed=seed)
        values = values_of(genome)
        assert genome_of(values, space) == genome
        assert all(type(v) in (int, float, str) for v in values.values())
        one = keras_tuner.HyperParameters.from_config(hp.get_config())
        one.values = values
        assert {p.name for p in one.space if one.is_active(p.name)} == set(values)  # active is what is expressed


def test_choices_of_a_word_are_labels_and_dependents_stand_in_its_scope():
    space = SPACES["mixers"]
    by_name = {p.name: p for p in hyperparameters(space).space}
    assert by_name["mixer/0"].values == ["ssa", "words_none", "words_gate", "words_gate(bias=False)"]
    conditions = {c.name: c.values for c in by_name["num_heads/1"].conditions}
    assert conditions == {"depth": [2], "mixer/1": ["ssa"]}
    with pytest.raises(ValueError, match="mixer/0 must be one of .*'words_gate\\(bias=False\\)'"):
        genome_of({"mixer/0": "words_gate(bias=True)"}, space)


def test_keras_tuners_own_oracle_draws_words():
    space = SPACES["mixers_and_mlps"]
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=20, hyperparameters=hyperparameters(space), seed=0
    )
    drawn = {genome_of(oracle.populate_space(str(i))["values"], space) for i in range(20)}
    assert len(drawn) > 10


def test_blocks_of_a_stage_are_active_by_its_own_depth():
    by_name = {p.name: p for p in hyperparameters(staged.SPACES["by_stage"]).space}
    assert by_name["depth.1"].values == [1, 2] and not by_name["mixer.1/1"].conditions
    assert {c.name: c.values for c in by_name["mixer.1/2"].conditions} == {"depth.1": [2]}
    conditions = {c.name: c.values for c in by_name["num_heads.1/2"].conditions}
    assert conditions == {"depth.1": [2], "mixer.1/2": ["ssa"]}


def test_mutation_and_crossover_give_genomes_of_the_space():
    space, rng = SPACES["stems"], np.random.default_rng(0)
    first, second = space.sample(rng=rng), space.sample(rng=rng)
    words = set()
    for _ in range(100):
        child = Crossover()(Mutation()(first, rng), second, rng)
        config = child.to_config()
        words.add((config.stem, config.neuron, config.mixer))
    assert len(words) > 4


def test_children_keep_what_a_parent_has_for_a_stage_in_that_stage():
    """Block slots of a stage are its own: another depth before it moves nothing."""
    space, rng = staged.SPACES["by_stage"], np.random.default_rng(0)
    first, second, depths = space.sample(rng=rng), space.sample(rng=rng), set()
    for _ in range(60):
        child = Crossover()(Mutation()(first, rng), second, rng)
        config = child.to_config()
        depths.add(child.depths)
        for block, slot in enumerate(child.blocks):
            if space.stage(slot) == 1:
                assert config.mixer[block] == child.values["mixer.1"][slot - space.starts[1]]
                assert config.mlp_ratio[block] == child.values["mlp_ratio.1"][slot - space.starts[1]]
    assert depths == {(1, 1), (1, 2)}


def candidates(space, score, n=60):
    made = []
    for number in range(n):
        genome = space.sample(seed=number)
        metrics = {"accuracy": score(genome), "energy_mj": 1.0, "parameters": 1, "flops": 1}
        made.append(Candidate(Proposal(number, 0, genome), metrics, score=metrics["accuracy"]))
    return made


def test_importance_of_a_word_follows_no_order_of_its_choices():
    """The middle one of three is best: by the order of choices nothing would be seen."""
    space = SearchSpace(BASE, depth=1, mixer=("words_none", "ssa", "words_gate"), mlp_ratio=(1, 2), num_heads=(2, 4))
    some = candidates(space, lambda genome: float(genome.to_config().mixer == ("ssa",)))
    shares = importance(some, lambda c: c.accuracy)
    assert shares["mixer"] == pytest.approx(1.0) and shares["mlp_ratio"] < 0.2
    assert shares["num_heads"] > 0.9  # networks without heads are a group of their own


def test_histograms_count_what_is_expressed():
    space = SearchSpace(BASE, depth=1, mixer=("words_none", Gate(bias=False), "ssa"), num_heads=(2, 4))
    some = candidates(space, lambda genome: 0.5)
    found = dict(chosen_values(space, [some]))
    assert [label for label, _ in found["mixer"]] == ["words_none", "words_gate(bias=False)", "ssa"]
    assert sum(share for _, (share,) in found["mixer"]) == pytest.approx(1)
    heads = [c.genome.to_config().num_heads[0] for c in some if c.genome.to_config().mixer == ("ssa",)]
    assert [share for _, (share,) in found["num_heads"]] == [heads.count(h) / len(heads) for h in (2, 4)]


def test_tables_name_words_and_leave_out_what_is_not_expressed():
    space = SPACES["mixers"]
    mixed = space.genome(depth=2, embed_dim=16, mlp_ratio=1, num_heads=2, mixer=(Gate(bias=False), "ssa"))
    assert genes(mixed) == "mixer words_gate(bias=False),ssa; width 16; depth 2; heads -,2; ratio 1"
    none = space.genome(depth=1, embed_dim=16, mlp_ratio=1, mixer="words_none")
    assert genes(none) == "mixer words_none; width 16; depth 1; ratio 1"


def test_tables_say_which_stage(tmp_path):
    space = staged.SPACES["local"]
    genome = space.genome(
        depth={1: 2}, local={1: ("identity", "words_gate")}, mixer=("ssa", "words_none", "ssa"), num_heads=(2, 1, 1),
        mlp={0: "words_flat"}, v_threshold={"attention": 0.5},
    )  # fmt: skip
    assert genes(genome) == (
        "local mixer stage 1 identity,words_gate; mixer ssa|words_none,ssa; MLP stage 0 words_flat; depth stage 1 2; "
        "heads 2|-,1; threshold attention 0.5|-,0.5"
    )
    assert str(genome).startswith("depth.1=2 local.1=identity,words_gate mixer=ssa|words_none,ssa mlp.0=words_flat")
    row = Candidate(Proposal(0, 0, genome), {"accuracy": 0.5}, score=0.5)
    with open(to_csv([row], tmp_path / "c.csv"), newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["gene:mixer"] == "ssa|words_none ssa" and read["gene:local.1"] == "identity words_gate"
    assert read["gene:num_heads"] == "2|- 1" and read["gene:depth.1"] == "2"


def test_importance_sees_which_stage_matters():
    space = staged.SPACES["widths_and_depths"]
    shares = importance(candidates(space, lambda genome: genome.depths[2]), lambda c: c.accuracy)
    assert shares["depth.2"] == pytest.approx(1.0) and shares["depth.1"] < 0.2 and shares["embed_dim.0"] < 0.2
    found = dict(chosen_values(space, [candidates(space, lambda genome: 0.5)]))
    assert [label for label, _ in found["embed_dim.2"]] == ["16", "24"]


def test_choices_that_help_and_harm_are_told_apart():
    space = staged.SPACES["mixers"]
    scored = lambda genome: genome.to_config().mixer.count("ssa") / genome.depth
    some = candidates(space, scored)
    shares = by_choice(some, lambda c: c.accuracy)
    assert list(shares) == [("mixer", label) for label in ("ssa", "words_none", "words_gate")]  # words alone
    assert shares["mixer", "ssa"] == pytest.approx(1.0)
    assert shares["mixer", "words_none"] < -0.2 and shares["mixer", "words_gate"] < -0.2
    assert set(by_choice(candidates(space, lambda genome: 0.1), lambda c: c.accuracy).values()) == {0.0}
    page = as_page("Search", [], some, some[:2], [], some[:2], {})
    assert "Choices that matter" in page and "+1.00" in page
    assert page.count('<i class="blue minus"') == 2 and page.count('<i class="blue" style="width:50.00%">') >= 1
    assert page.count('<th scope="row">mixer</th>') == 2  # once in each table, whatever its choices
    assert "; heads " in page and "num_heads=" not in page.split("Best networks")[1]  # genes in words
    numbers = SearchSpace(BASE, depth=(1, 2))
    assert "Choices that matter" not in as_page("Search", [], candidates(numbers, lambda genome: 0.5), [], [], [], {})


def test_a_long_choice_may_break_on_a_page_and_what_rounds_to_nothing_has_no_sign():
    space = SPACES["mixers"]
    some = candidates(space, lambda genome: 0.5 + 1e-9 * (genome.to_config().mixer[0] == "ssa"))
    page = as_page("Search", [], some, some[:2], [], some[:2], {})
    assert "words_gate(<wbr>bias=False)" in page and "-0.00" not in page
    assert '<figure class="words"><figcaption>mixer</figcaption>' in page  # with room for its labels


def test_csv_holds_labels(tmp_path):
    space = SPACES["mixers"]
    mixed = space.genome(depth=2, embed_dim=16, mlp_ratio=1, num_heads=2, mixer=(Gate(bias=False), "ssa"))
    none = space.genome(depth=1, embed_dim=16, mlp_ratio=1, mixer="words_none")
    rows = [Candidate(Proposal(i, 0, genome), {"accuracy": 0.5}, score=0.5) for i, genome in enumerate((mixed, none))]
    with open(to_csv(rows, tmp_path / "c.csv"), newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["gene:mixer"] for row in read] == ["words_gate(bias=False) ssa", "words_none"]
    assert [row["gene:num_heads"].lstrip("'") for row in read] == ["- 2", ""]
    assert [row["gene:embed_dim"] for row in read] == ["16", "16"]
