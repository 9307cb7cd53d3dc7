"""ZeroCostSearch as a user meets it; what is measured of untrained networks is arithmetic here."""

import json

import keras_tuner
import numpy as np
import pytest

from kspike import cost, tuners
from kspike.tuners import scores
from kspike.tuners.engine.ranking import cells
from kspike.tuners.zero_cost import shortlist
from tests.tuners.fakes import SPACE, Untrained, arrays, config_sum, energy_of, essence
from tests.tuners.fakes import zero_cost_search as search

pytestmark = pytest.mark.shared

MOST = max(cost.flops(genome) for genome in SPACE.genomes())


@pytest.fixture
def untrained(monkeypatch):
    fake = Untrained()
    monkeypatch.setattr(shortlist, "evaluate", fake)
    return fake


def test_without_data_the_whole_space_is_ranked_and_nothing_is_built(tmp_path, untrained):
    tuner = search(tmp_path)
    tuner.search()
    assert untrained.calls == [] and len(tuner.state.archive) == 6
    flops = [c.flops for c in tuner.best_candidates()]
    assert flops == sorted((cost.flops(g) for g in SPACE.genomes()), reverse=True)[:6] and flops[0] == MOST
    assert [c.genome for c in tuner.best_candidates()] == tuner.ranking.top(6)
    assert tuner.get_best_configs(2) == [c.config for c in tuner.best_candidates(2)]
    models = tuner.get_best_models(2)
    assert [m.config for m in models] == tuner.get_best_configs(2)
    assert tuner.hypermodel.build(tuner.get_best_hyperparameters()[0]).config == models[0].config
    with pytest.raises(ValueError, match="6 ranked networks, asked for 7"):
        tuner.get_best_models(7)
    with pytest.raises(ValueError, match="no front without energies"):
        tuner.pareto_front()


def test_autost_small_has_its_known_best(tmp_path):
    tuner = tuners.ZeroCostSearch(
        "autost_small", constraints={"parameters": (11_000_000, 12_000_000)}, directory=tmp_path, verbose=0
    )
    tuner.search()
    best = tuner.get_best_configs()[0]
    assert (best.embed_dim, best.depth, best.mlp_ratio) == (512, 3, (3, 3, 3))
    assert tuner.best_candidates()[0].parameters == 11_864_764


def test_with_data_the_shortlist_is_the_exact_top_and_the_front_comes_first(tmp_path, untrained):
    tuner = search(tmp_path)
    tuner.search(arrays())
    assert untrained.calls == tuner.ranking.top(20)
    listed = {c.genome: c for c in tuner.shortlisted()}
    assert len(listed) == 20
    for genome, c in listed.items():
        assert c.energy_mj == pytest.approx(energy_of(genome) * 1.005)
        assert c.metrics["energy_mj_std"] == pytest.approx(energy_of(genome) * 0.01 / 2**0.5)
    front = tuner.pareto_front()
    for c in front:
        assert not any(o.flops >= c.flops and o.energy_mj < c.energy_mj for o in listed.values())
    first = tuner.best_candidates(min(6, len(front)))
    assert [c.genome for c in first] == [c.genome for c in front][: len(first)]


def test_the_weight_changes_the_ranking(tmp_path, untrained):
    found = {}
    for weight in (0.0, 0.5, 1.0):
        tuner = search(tmp_path, energy_weight=weight, project_name=f"w{weight}")
        tuner.search(arrays())
        found[weight] = [c.genome for c in tuner.best_candidates()]
    assert found[0.0] != found[0.5] != found[1.0]
    assert cost.flops(found[0.0][0]) == MOST
    energies = sorted(energy_of(g) for g in tuner.ranking.top(20))
    assert [energy_of(g) for g in found[1.0]] == pytest.approx(energies[:6])
    assert found[0.0] == tuner.ranking.top(6)  # equal FLOPs stay in the order of the second score


def test_autosts_fitness_is_there_by_name(tmp_path, untrained):
    tuner = search(tmp_path, fitness="autost", ld=1e3)
    tuner.search(arrays())
    best = tuner.best_candidates(1)[0]
    expected = {g: cost.flops(g) / 1e9 + 1e3 / (energy_of(g) * 1.005) for g in tuner.ranking.top(20)}
    assert best.score == pytest.approx(max(expected.values()), rel=1e-6)


def test_a_measured_score_orders_the_shortlist_and_breaks_ties(tmp_path, untrained, capsys):
    tuner = search(tmp_path, score="naswot", energy_weight=0.0)
    tuner.search(arrays())
    sums = [config_sum(c.genome) for c in tuner.best_candidates()]
    assert sums == sorted(config_sum(g) for g in tuner.ranking.top(20))[:6]
    tuner = search(tmp_path, tie_break="naswot", energy_weight=0.0, project_name="ties")
    tuner.search(arrays())
    tuner.results_summary()
    assert "equal ones by naswot" in " ".join(capsys.readouterr().out.split())
    keys = [(-c.flops, config_sum(c.genome)) for c in tuner.best_candidates()]
    assert keys == sorted((-cost.flops(g), config_sum(g)) for g in tuner.ranking.top(20))[:6]


def test_a_shortlist_of_one_cost_is_said_to_be_and_may_be_spread(tmp_path, untrained, capsys):
    says = "flops is the same for all of the shortlist"
    tuner = search(tmp_path, shortlist=3)
    tuner.search(arrays())
    tuner.results_summary()
    assert says in " ".join(capsys.readouterr().out.split())
    tuner = search(tmp_path, shortlist=3, per_cost=1, project_name="spread")
    tuner.search(arrays())
    tuner.results_summary()
    assert says not in " ".join(capsys.readouterr().out.split())
    assert len({c.flops for c in tuner.shortlisted()}) == 3


def least_heads(config):
    """A score of one's own: the fewer heads, the better; more width decides between equal ones."""
    return config.embed_dim - 100 * sum(config.num_heads)


def test_a_plain_function_ranks_the_shortlist_without_images_or_networks(tmp_path, monkeypatch, capsys):
    tuner = search(tmp_path, score=least_heads, shortlist=30)
    assert not tuner.needs_data
    tuner.search()
    values = [least_heads(g.to_config()) for g in tuner.ranking.top(30)]
    assert [c.metrics["least_heads"] for c in tuner.best_candidates()] == sorted(values, reverse=True)[:6]
    tuner.results_summary()
    said = " ".join(capsys.readouterr().out.split())
    assert "by their configs, nothing built: the 30 best by flops (a shortlist" in said
    assert "in order of least_heads" in said and "exact: every network" not in said
    assert tuner.search_record()["budget"]["networks_built"] == 0
    assert search(tmp_path, score=scores.FunctionScore(least_heads), shortlist=30).state.done()  # the same project
    with pytest.raises(ValueError, match="measured_score: 'least_heads' in the project, None now"):
        search(tmp_path, shortlist=30)
    fewest = search(tmp_path, score=scores.FunctionScore(least_heads, "min"), shortlist=30, project_name="fewest")
    fewest.search()
    assert [c.metrics["least_heads"] for c in fewest.best_candidates()] == sorted(values)[:6]
    ties = search(tmp_path, tie_break=least_heads, shortlist=30, project_name="ties")
    ties.search()
    keys = [(-cost.flops(g), -least_heads(g.to_config())) for g in ties.ranking.top(30)]
    assert [(-c.flops, -c.metrics["least_heads"]) for c in ties.best_candidates()] == sorted(keys)[:6]


def test_a_function_without_a_name_or_a_number_is_refused_before_work_starts(tmp_path):
    for score, message in ((lambda config: 1, "write it with def"), (print, "print must return a number.*None")):
        with pytest.raises(ValueError, match=message):
            search(tmp_path, score=score)
    assert not (tmp_path / "free").exists()


def test_silent_networks_are_rejected_and_it_is_said(tmp_path, monkeypatch, capsys):
    silent = lambda genome: genome.to_config().v_threshold["fc1"][0] == 1.0
    monkeypatch.setattr(shortlist, "evaluate", Untrained(silent=silent))
    tuner = search(tmp_path, verbose=1)
    tuner.search(arrays())
    assert "silent at initialisation (seed 1)" in capsys.readouterr().out
    rejected = tuner.rejected()
    assert rejected and all(silent(genome) for genome, _ in rejected)
    assert not any(silent(c.genome) for c in tuner.best_candidates())
    assert len(rejected) + len(tuner.shortlisted()) == 20
    monkeypatch.setattr(shortlist, "evaluate", Untrained(silent=lambda genome: True))
    with pytest.raises(ValueError, match="No network of the shortlist of 20 is left; the first: silent"):
        search(tmp_path, project_name="none").search(arrays())


def test_a_network_that_cannot_be_measured_is_recorded_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    memory = RuntimeError("CUDA out of memory\nTried to allocate 3 GiB")
    broken = Untrained(raises={2: memory, 3: MemoryError(), 4: ValueError("too few tokens")}, infinite=(5,))
    monkeypatch.setattr(shortlist, "evaluate", broken)
    tuner = search(tmp_path)
    tuner.search(arrays())
    assert [why for _, why in tuner.rejected()] == [
        "failed: RuntimeError: CUDA out of memory", "failed: MemoryError: no message",
        "failed: ValueError: too few tokens", "energy is nan at initialisation",
    ]  # fmt: skip
    assert [g for g, _ in tuner.rejected()] == tuner.ranking.top(20)[1:5]
    assert len(tuner.shortlisted()) == 16 and len(tuner.state.archive) == 6
    tuner.results_summary()
    assert "4 of the shortlist rejected; the first: failed: RuntimeError" in " ".join(capsys.readouterr().out.split())
    again = Untrained(stop=0)  # what failed is known, as a trial of an evolution is
    monkeypatch.setattr(shortlist, "evaluate", again)
    search(tmp_path).search(arrays())


@pytest.mark.parametrize("mistake", [TypeError("no such argument"), keras_tuner.errors.FatalError("stop")])
def test_a_mistake_in_code_stops_the_search_and_blames_no_network(tmp_path, monkeypatch, mistake):
    monkeypatch.setattr(shortlist, "evaluate", Untrained(raises={3: mistake}))
    tuner = search(tmp_path)
    with pytest.raises(keras_tuner.errors.FatalError, match=str(mistake)):
        tuner.search(arrays())
    assert tuner.rejected() == [] and len(tuner.state.archive) == 0
    mended = Untrained()  # and once it is mended, the search goes on
    monkeypatch.setattr(shortlist, "evaluate", mended)
    tuner = search(tmp_path)
    tuner.search(arrays())
    assert mended.calls == tuner.ranking.top(20)[2:] and len(tuner.state.archive) == 6


def test_interrupted_it_goes_on_where_it_stood(tmp_path, monkeypatch):
    first = Untrained(stop=7)
    monkeypatch.setattr(shortlist, "evaluate", first)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path).search(arrays())
    rest = Untrained()
    monkeypatch.setattr(shortlist, "evaluate", rest)
    resumed = search(tmp_path)
    resumed.search(arrays())
    assert first.calls + rest.calls == resumed.ranking.top(20)
    whole = search(tmp_path, project_name="whole")
    whole.search(arrays())
    assert essence(resumed) == essence(whole)
    again = Untrained(stop=0)
    monkeypatch.setattr(shortlist, "evaluate", again)
    finished = search(tmp_path)
    assert essence(finished) == essence(whole)
    finished.search(arrays())
    assert essence(finished) == essence(whole)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"score": "params"}, "score: 'flops' in the project, 'params' now"),
        ({"tie_break": None}, "tie_break"),
        ({"energy_weight": 0.5}, "energy_weight: None in the project, 0.5 now"),
        ({"shortlist": 30}, "shortlist: 20 in the project, 30 now"),
        ({"constraints": {"timesteps": (None, 1)}}, "constraints.timesteps"),
        ({"convention": "spikingformer"}, "convention"),
    ],
)
def test_a_project_opened_with_other_settings_is_refused_by_name(tmp_path, untrained, options, message):
    search(tmp_path)
    with pytest.raises(ValueError, match=f"started differently.*{message}"):
        search(tmp_path, **options)


def test_other_images_are_refused_also_in_the_middle_of_a_shortlist(tmp_path, monkeypatch):
    monkeypatch.setattr(shortlist, "evaluate", Untrained(stop=7))
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path).search(arrays())
    monkeypatch.setattr(shortlist, "evaluate", Untrained())
    for _ in range(2):
        with pytest.raises(ValueError, match="data:.*in the project"):
            search(tmp_path).search(arrays(seed=3))
        search(tmp_path).search(arrays())


@pytest.mark.parametrize(
    "options, says",
    [
        ({"score": "syn_flow"}, "did you mean 'synflow'"),
        ({"tie_break": "head"}, "Unknown score 'head'"),
        ({"constraints": {"accuracy": (0.5, None)}}, "no accuracy can be constrained"),
        ({"seeds": 0}, "seeds must be a whole number"),
        ({"max_trials": 0}, "max_trials must be a whole number"),
        ({"max_trials": 10**9}, "max_trials must be at most 100,000"),
        ({"shortlist": 10**9}, "shortlist must be at most 100,000"),
        ({"constraints": {"parameters": (None, 10)}}, "No network of space 'tiny'.*smallest network has"),
        ({"score": "naswot", "fitness": "autost", "ld": 0.1}, "takes no score='naswot'"),
        ({"convention": "spikformr"}, "did you mean 'spikformer'"),
    ],
)
def test_mistakes_are_named_before_work_starts(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        search(tmp_path, **options)
    assert not (tmp_path / "free").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"energy_weight": 0.5},
        {"score": "naswot"},
        {"tie_break": "energy"},
        {"constraints": {"energy_mj": (None, 1.0)}},
        {"fitness": "autost", "ld": 0.1},
    ],
)
def test_what_is_measured_needs_images(tmp_path, options):
    with pytest.raises(ValueError, match="measured on real images"):
        search(tmp_path, **options).search()


def test_images_and_labels_are_taken_one_by_one(tmp_path, untrained):
    together, apart = search(tmp_path, project_name="together"), search(tmp_path, project_name="apart")
    together.search(arrays())
    apart.search(*arrays())
    assert [c.genome for c in apart.shortlisted()] == [c.genome for c in together.shortlisted()]
    for arguments, named, message in (
        ((arrays()[0],), {}, "images have no labels"),
        ((arrays(), arrays(24)), {}, "training data alone"),
        (arrays(), {"validation_data": arrays(24), "epochs": 2}, "takes no validation_data, epochs: .*untrained"),
    ):
        with pytest.raises(ValueError, match=message):
            apart.search(*arguments, **named)


def test_bounds_on_energy_hold_on_the_shortlist(tmp_path, untrained):
    bound = float(np.median([energy_of(g) * 1.005 for g in search(tmp_path).ranking.top(20)]))
    tuner = search(tmp_path, constraints={"energy_mj": (None, bound)}, project_name="bound")
    tuner.search(arrays())
    assert len(tuner.shortlisted()) < 20 and all(c.energy_mj <= bound for c in tuner.shortlisted())
    assert all("outside" in why for _, why in tuner.rejected())


def test_the_summary_says_how_the_order_came_about(tmp_path, untrained, capsys):
    tuner = search(tmp_path, energy_weight=0.5, verbose=1)
    tuner.search(arrays())
    shown = capsys.readouterr().out
    assert "ranked by flops exactly" in shown and "tie for the best flops: broken by attention" in shown
    assert "shortlist 20/20: energy" in shown
    tuner.results_summary(4)
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "a shortlist, not the space",
        "normalised over the shortlist",
        "Pareto front of the shortlist",
        "Best first",
    ):
        assert part in shown
    assert "exact: every network" not in shown
    tuner = search(tmp_path, project_name="counted", verbose=0)
    tuner.search()
    tuner.results_summary()
    assert "exact: every network was ranked" in " ".join(capsys.readouterr().out.split())


def test_a_space_too_rich_is_sampled_and_everything_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cells, "MOST_CELLS", 10)
    tuner = search(tmp_path, verbose=1)
    tuner.search()
    tuner.results_summary()
    shown = " ".join(capsys.readouterr().out.split())
    assert "too many costs to rank the whole: a random sample ranked by flops" in shown
    assert "ranked by flops, of a random sample" in shown and "why a sample: it has more than 10 different" in shown
    page = tuner.report().read_text()
    assert "of a random sample" in page and "exact" not in page.split("<h2>")[0].split("</style>")[1]
    assert [c.flops for c in tuner.best_candidates()] == sorted((c.flops for c in tuner.state.archive), reverse=True)


def test_the_record_and_the_table_are_whole(tmp_path, untrained):
    tuner = search(tmp_path, energy_weight=0.5)
    tuner.search(arrays())
    record = json.loads(json.dumps(tuner.search_record()))
    assert record["method"] == "zero-cost" and len(record["trials"]) == 6
    assert tuners.Genome.from_dict(record["genome"], SPACE) == tuner.best_candidates(1)[0].genome
    assert record["budget"]["networks_built"] == 20 and record["budget"]["networks_ranked"] == SPACE.size()
    lines = tuner.to_csv(tmp_path / "shortlist.csv").read_text().splitlines()
    assert len(lines) == 21 and "energy_mj_std" in lines[0]
    assert tuner.plot(tmp_path / "front.png").stat().st_size > 1000


def test_the_page_shows_the_front_how_exact_the_ranking_was_ties_and_what_was_rejected(tmp_path, monkeypatch):
    silent = lambda genome: genome.to_config().v_threshold["fc1"][0] == 1.0
    monkeypatch.setattr(shortlist, "evaluate", Untrained(silent=silent))
    tuner = search(tmp_path)
    assert "No network has been ranked" in tuner.report().read_text()
    tuner.search(arrays())
    page = tuner.report(num_trials=4).read_text()
    shown, edge = tuner.shortlisted(), tuner.pareto_front()
    for part in (
        "ranked by flops, every one of them; what is measured, on a shortlist alone",
        "tie for the best flops: broken by attention", "a shortlist, not the space",
        f"{len(shown)} networks measured and kept, {20 - len(shown)} rejected; {len(edge)} on the front", "The front",
        "Best networks", "Genes that matter", "Rejected", "silent at initialisation (seed 1)",
    ):  # fmt: skip
        assert part in page
    every = len(tuner.ranking.costs(1500)) + len({(c.parameters, c.flops) for c in shown})
    assert page.count("<circle") == len(shown) + len(edge) + every
    assert page.count('class="spread"') == len(shown)
    assert tuner.report() == tmp_path / "free" / "report.html"


def test_the_page_of_a_ranking_without_images_shows_what_was_ranked(tmp_path, untrained):
    tuner = search(tmp_path, score="params", tie_break=None)
    tuner.search()
    page = tuner.report().read_text()
    assert "What was ranked" in page and "Score and expected energy" not in page and "Rejected" not in page
    assert f"{tuner.best_candidates(1)[0].parameters:,}" in page
