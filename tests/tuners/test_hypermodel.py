"""The search space as KerasTuner hyperparameters, under our tuner and KerasTuner's own."""

import keras
import keras_tuner
import numpy as np
import pytest

from kspike.tuners import EvolutionSearchOracle, SearchSpace, SpikformerHyperModel
from kspike.tuners.hypermodel import genome_of, hyperparameters, values_of
from tests.helpers import BACKEND
from tests.tuners.fakes import SPACE, arrays

pytestmark = pytest.mark.shared


def test_genomes_and_hyperparameters_are_two_forms_of_one():
    for name in ("digits", "kspike_c10_small", "auto_spikformer"):
        space = SearchSpace.load(name)
        for seed in range(10):
            genome = space.sample(seed=seed)
            values = values_of(genome)
            assert genome_of(values, space) == genome
            assert all(type(v) in (int, float) for v in values.values())  # NumPy's cannot be stored
            rounded = {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in values.items()}
            assert genome_of(rounded, space) == genome  # as it arrives over KerasTuner's gRPC protocol


def test_only_expressed_blocks_are_active():
    genome = SPACE.genome(embed_dim=8, depth=1, timesteps=1, num_heads=1, mlp_ratio=1, v_threshold=1.0)
    hp = hyperparameters(SPACE)
    assert {p.name for p in hp.space} == {slot.name for slot in SPACE.slots}
    assert "mlp_ratio/0" in values_of(genome) and "mlp_ratio/1" not in values_of(genome)
    hp.values = values_of(genome)
    assert hp.is_active("mlp_ratio/0") and not hp.is_active("mlp_ratio/1")


def test_a_value_outside_the_space_is_refused():
    with pytest.raises(ValueError, match="embed_dim must be one of"):
        genome_of({"embed_dim": 9}, SPACE)


def test_build_gives_the_compiled_network_of_the_values():
    genome = SPACE.sample(seed=4)
    hp = keras_tuner.HyperParameters()
    hp.values = values_of(genome)
    model = SpikformerHyperModel(SPACE).build(hp)
    assert model.config == genome.to_config()
    assert isinstance(model.optimizer, keras.optimizers.AdamW)


#: One shows that a backend trains what the hypermodel builds; the others, that it builds what other tuners ask for.
OTHERS = [
    pytest.param(each, marks=[pytest.mark.once, pytest.mark.proof]) for each in ("BayesianOptimization", "Hyperband")
]


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["RandomSearch", *OTHERS])
def test_keras_tuners_own_tuners_take_it(tuner, tmp_path):
    options = {"max_epochs": 2, "hyperband_iterations": 1} if tuner == "Hyperband" else {"max_trials": 2}
    search = getattr(keras_tuner, tuner)(
        SpikformerHyperModel(SPACE), objective="val_accuracy", seed=1, directory=tmp_path, project_name="p", **options
    )
    search.search(*arrays(16), validation_data=arrays(8, seed=1), epochs=1, verbose=0)
    best = search.get_best_hyperparameters()[0]
    assert search.hypermodel.build(best).config.embed_dim in (8, 16)


@pytest.mark.slow if BACKEND == "torch" else pytest.mark.proof  # every network is compiled
def test_the_oracle_alone_searches_by_training_from_scratch(tmp_path):
    def tuner():
        oracle = EvolutionSearchOracle(
            SPACE, objective=keras_tuner.Objective("val_accuracy", "max"), generations=1, population_size=2, parents=1
        )
        return keras_tuner.Tuner(oracle, SpikformerHyperModel(SPACE), directory=tmp_path, project_name="p")

    first = tuner()
    first.search(*arrays(16), validation_data=arrays(8, seed=1), epochs=1, verbose=0)
    assert [c.completed for c in first.oracle.state.archive] == [True] * 4
    best = first.get_best_hyperparameters()[0]
    assert genome_of(best, SPACE) == first.oracle.state.best().genome
    again = tuner()
    again.search(*arrays(16), validation_data=arrays(8, seed=1), epochs=1, verbose=0)
    assert [c.score for c in again.oracle.state.archive] == [c.score for c in first.oracle.state.archive]
