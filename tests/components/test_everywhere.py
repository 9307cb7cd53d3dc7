"""A mixer and a neuron of a user's file, through every public function that takes a model, config, space or genome.

Which functions those are is read from their annotations. `CALLS` says how each is called; what it gives is compared
with what is built. A function that is neither there nor among `EXCEPTIONS` fails the test: add it where it belongs.
"""

import importlib
import inspect
import json
import pkgutil
import re
import types

import keras
import keras_tuner
import numpy as np
import pytest

import kspike
from kspike import cost, tuners
from kspike.space import Genome, SearchSpace
from kspike.supernet import Sandwich, SinglePath
from kspike.tuners import scores
from tests.components import own

#: Types of what a function is called with, and names that say so where the type is Any.
TYPES = re.compile(r"\b(SpikformerConfig|Spikformer|Supernet|keras\.Model|SearchSpace|Genome)\b")
NAMES = {"config", "configs", "model", "space", "genome", "genomes", "network"}
FIELDS = {
    "input_shape": (8, 8, 1), "num_classes": 4, "timesteps": 2, "embed_dim": 16, "depth": 2, "num_heads": 2,
    "mlp_ratio": 2.0, "stem_pool": (False, False, True, True),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All that the calls need; the components are forgotten at the end."""
    back, patch = own.forget(), pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("everywhere")
    own.write(folder, "anywhere")
    module = own.imported(folder, "anywhere", patch)
    w = types.SimpleNamespace(folder=folder)
    w.config = kspike.SpikformerConfig(**FIELDS, mixer=("anywhere_gate", module.Gate(bias=False)), neuron=module.ALIF())
    base = kspike.SpikformerConfig(**{**FIELDS, "depth": 1})
    w.space = SearchSpace(
        base, depth=(1, 2), mixer=("anywhere_gate", "ssa", module.Gate(bias=False)), neuron=(module.ALIF(), "lif"),
        mlp_ratio=(1, 2), name="everywhere",
    )  # fmt: skip
    w.genome = w.space.genome(depth=2, mixer=("anywhere_gate", "ssa"), mlp_ratio=1, neuron=module.ALIF())
    w.other = w.space.genome(depth=1, mixer="ssa", mlp_ratio=2, neuron="lif")
    w.model = awake(kspike.Spikformer(w.config))
    rng = np.random.default_rng(0)
    w.labels = (np.arange(32) % 4).astype("int32")
    w.images = rng.normal(0.3, 1.0, (32, 8, 8, 1)).astype("float32")
    w.data = (w.images, w.labels)
    w.rng = rng
    yield w
    patch.undo()
    back()


def awake(model):
    """Its neurons fire: a silent network would agree with anything."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "beta":
            variable.assign(rng.uniform(0.3, 1.2, variable.shape).astype("float32"))
    return model


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def logits(model, w):
    return keras.ops.convert_to_numpy(model.predict_on_batch(w.images))


# -- how each is called ---------------------------------------------------------------------------------------------


def made_from_config(w):
    again = kspike.Spikformer.from_config(w.model.get_config())
    again.set_weights(w.model.get_weights())
    np.testing.assert_array_equal(logits(again, w), logits(w.model, w))


def supernet(w):
    if not hasattr(w, "supernet"):
        w.supernet = awake(kspike.Supernet(w.space))
    return w.supernet


def extracted(w):
    whole = supernet(w)
    whole.activate(w.genome)
    whole.calibrate(w.images)
    taken = whole.extract(w.genome)
    assert taken.config == w.genome.to_config() and trainable(taken) == cost.parameters(w.genome)
    assert np.median(np.abs(logits(taken, w) - logits(whole, w)).max(axis=1)) < 1e-5


def supernet_from_config(w):
    again = kspike.Supernet.from_config(supernet(w).get_config())
    assert again.space == w.space


def rows(w):
    table = cost.table(w.config)
    assert {"block_0/attention/proj", "block_1/attention/proj"} <= {row.name for row in table}
    assert sum(row.parameters for row in table) == trainable(w.model)


def energy(w):
    report = cost.measure(w.model, w.data)
    assert {"block_0/attention/proj", "block_1/attention/proj"} <= {row.name for row in report.rows}
    assert {row.name for row in report.neurons} >= {"block_0/attention/gate_neuron", "block_1/attention/proj_neuron"}
    assert report.parameters == trainable(w.model) and report.energy_mj > 0


def population(w):
    indices = np.stack([w.space.encode(g) for g in (w.genome, w.other)])
    sizes = cost.Sizes.of_space(w.space, indices)
    assert list(cost.parameters(sizes)) == [cost.parameters(g.to_config()) for g in (w.genome, w.other)]


def counted(w):
    for name in scores.names():
        score = scores.get(name)
        if score.counted:
            assert score.of(w.config) > 0 and score.of(w.genome) > 0
    assert scores.FunctionScore(lambda config: config.embed_dim, name="own").of(w.config) == w.config.embed_dim


def measured(w):
    for name in scores.names():
        score = scores.get(name)
        if not score.counted:
            found = score.on(w.model, w.images, w.labels)()
            assert all(np.isfinite(value) for value in found.values())
    other = kspike.Spikformer(w.config.replace(neuron="lif"))
    other.set_weights(w.model.get_weights())
    one, two = (scores.get("synflow").on(m, w.images, w.labels)()["synflow"] for m in (w.model, other))
    assert one == pytest.approx(two)  # neurons are identities to it, whichever they are


def every_step(w):
    answers = keras.ops.convert_to_numpy(kspike.models.anytime(w.model).predict_on_batch(w.images))
    assert answers.shape == (32, 2, 4)
    assert np.median(np.abs(answers[:, -1] - logits(w.model, w)).max(axis=1)) < 1e-5


def stopped_early(w):
    found = kspike.models.early_exit(w.model, w.images, confidence=1.0)
    assert np.median(np.abs(np.asarray(found.logits) - logits(w.model, w)).max(axis=1)) < 1e-5


def streamed(w):
    stream = kspike.models.stream(w.model, batch_size=len(w.images))
    for t in range(w.config.timesteps):
        answers = stream.step(w.images[:, t] if w.config.has_time else w.images)
    answers = keras.ops.convert_to_numpy(answers)
    assert np.median(np.abs(answers - logits(w.model, w)).max(axis=1)) < 1e-5


def calibrated(w):
    model = kspike.Spikformer(w.config)
    kspike.training.calibrate(model, [w.images])
    assert np.isfinite(logits(model, w)).all()


def no_levels(w):
    with pytest.raises(ValueError, match="alif fires 0 and 1"):
        kspike.models.unroll(w.model)


def firing(w):
    model = awake(kspike.Spikformer(w.config))
    metric = kspike.metrics.FiringRate(model)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[metric])
    model.evaluate(*w.data, verbose=0)
    assert 0 < float(metric.result()) < 1


def trained(w):
    recipe = kspike.training.Recipe(epochs=1, batch_size=16)
    model = kspike.Spikformer(w.config)
    kspike.training.make_optimizer(model, recipe, 2)
    kspike.training.train(model, w.data, recipe, directory=w.folder / "run", verbose=0)
    assert kspike.training.load(w.folder / "run").config == w.config


def asked(w):
    pixels = np.random.default_rng(0).integers(0, 256, (60, *w.config.input_shape[-3:]), dtype="uint8")
    data = kspike.data.from_arrays(pixels, np.arange(60) % w.config.num_classes)
    found = kspike.training.teacher_logits(w.model, data, views=1)
    order = {i: k for k, i in enumerate(data.train.ids.tolist())}
    images, _ = data.train.without_augmentation().rebatch(20)[0]
    ids = data.train.without_augmentation().ids.tolist()[:20]
    said = keras.ops.convert_to_numpy(w.model(images))
    np.testing.assert_allclose(found.logits[0, [order[i] for i in ids]], said, rtol=1e-3, atol=1e-3)


def evolved(w):
    tuner = tuners.EvolutionSearch(
        w.space, generations=1, population_size=3, parents=2, finalists=1, directory=w.folder, project_name="evolved",
        verbose=0,
    )  # fmt: skip
    tuner.train_supernet(w.data, w.data, epochs=1)
    tuner.search(w.data, w.data)
    assert tuner.get_best_models()[0].config in [c.config for c in tuner.state.archive]


def free(w):
    tuner = tuners.ZeroCostSearch(
        w.space, energy_weight=0.5, max_trials=2, shortlist=3, seeds=1, directory=w.folder, project_name="free",
        verbose=0,
    )  # fmt: skip
    tuner.search(w.data)
    assert len(tuner.state.archive) == 2


def hypermodel(w):
    hp = keras_tuner.HyperParameters()
    made = tuners.SpikformerHyperModel(w.space)
    made.declare_hyperparameters(hp)
    hp.values = tuners.EvolutionSearchOracle(w.space).hyperparameters_of(w.genome).values
    model = made.build(hp)
    assert model.config == w.genome.to_config()
    assert made.fit(hp, model, *w.data, epochs=1, batch_size=32, verbose=0).history["loss"]


def evolution(w):
    made = tuners.Evolution(w.space, generations=1, population_size=4, parents=2)
    assert made.space is w.space


def operators(w):
    children = {tuners.Crossover()(tuners.Mutation(rate=0.5)(w.genome, w.rng), w.other, w.rng) for _ in range(30)}
    assert len({child.to_config().mixer for child in children}) > 1


def kept(w):
    limit = tuners.Constraints.of({"parameters": (None, cost.parameters(w.other))})
    assert list(limit.keep(w.space, np.stack([w.space.encode(g) for g in (w.genome, w.other)]))) == [
        cost.parameters(w.genome) <= cost.parameters(w.other), True,
    ]  # fmt: skip
    assert 0 < tuners.Constraints().networks(w.space) == w.space.size()
    assert tuners.Constraints().narrowed(w.space) == w.space
    small = tuners.Constraints.of({"memory_mb": (None, 1.0)})
    assert small.of_network(w.config) == {"memory_mb": cost.memory_mb(w.config)} and small.admits(w.genome)
    small.check_kept([(w.config, {"memory_mb": cost.memory_mb(w.config)})], "here")


def timed(w):
    assert tuners.Latency(calls=1, warm=0)(w.config, lambda: w.model, w.images[:1]) > 0


def quantized(w):
    small = kspike.quantize(w.model, w.images)
    assert small.config == w.config and np.isfinite(logits(small, w)).all()


def proposed(w):
    proposal = tuners.engine.Proposal(0, 0, w.genome)
    assert tuners.engine.Proposal.from_dict(json.loads(json.dumps(proposal.to_dict())), w.space).genome == w.genome


def written(w):
    assert Genome.from_dict(json.loads(json.dumps(w.genome.to_dict())), w.space) == w.genome
    assert Genome(w.space, w.genome.indices) == w.genome
    assert w.space.decode(w.space.encode(w.genome)) == w.genome


def read(w):
    w.space.save(w.folder / "space.json")
    assert SearchSpace.load(w.folder / "space.json") == w.space == SearchSpace.load(w.space)


def drawn(w):
    draw = lambda: w.space.encode(w.genome)
    for policy in (SinglePath(networks=2), Sandwich(networks=1)):
        some = [policy.first(w.space, draw), *policy.others(w.space, draw)]
        assert all(w.space.decode(np.asarray(indices)).space == w.space for indices in some)


def published(w):
    folder = kspike.zoo.publish(w.model, "everywhere", directory=w.folder / "zoo", license="cc0-1.0")
    assert kspike.zoo.card(folder)["parameters"] == trainable(w.model)
    np.testing.assert_array_equal(logits(kspike.zoo.load(folder), w), logits(w.model, w))


def exported(w):
    pytest.importorskip("onnx", reason="pip install 'kspike[onnx]'")
    report = kspike.export.save(w.model, w.folder / "everywhere.onnx", images=w.images[:8])
    equal((0, 0), (report.classes_changed, report.written.unexplained if report.written else 0))


def named_elsewhere(w):
    with pytest.raises(ValueError, match="block_0/attention: the mixer anywhere_gate, where there it is ssa"):
        kspike.convert.to_safetensors(w.model, w.folder / "everywhere.safetensors")


def equal(expected, found):
    assert found == expected


#: Function -> its call.
CALLS = {
    "kspike.Spikformer": lambda w: equal(cost.parameters(w.config), trainable(kspike.Spikformer(w.config))),
    "kspike.Spikformer.from_config": made_from_config,
    "kspike.Supernet": supernet,
    "kspike.Supernet.activate": extracted,
    "kspike.Supernet.extract": extracted,
    "kspike.Supernet.from_config": supernet_from_config,
    "kspike.convert.to_safetensors": named_elsewhere,
    "kspike.cost.Sizes.of_configs": lambda w: equal(
        [cost.parameters(w.config)] * 2, list(cost.parameters(cost.Sizes.of_configs([w.config] * 2)))
    ),
    "kspike.cost.Sizes.of_space": population,
    "kspike.cost.ann_twin": lambda w: equal(True, cost.ann_twin(w.config).float32_mj > 0),
    "kspike.cost.flops": lambda w: equal(
        sum(row.flops("full") for row in cost.table(w.config)), cost.flops(w.config, counting="full")
    ),
    "kspike.cost.measure": energy,
    "kspike.cost.memory_mb": lambda w: equal(True, cost.memory_mb(w.config) > 0),
    "kspike.cost.neurobench": lambda w: equal(True, len(cost.neurobench(w.model, w.data)) > 0),
    "kspike.cost.parameters": lambda w: equal(trainable(w.model), cost.parameters(w.config)),
    "kspike.cost.table": rows,
    "kspike.export.save": exported,
    "kspike.metrics.FiringRate": firing,
    "kspike.models.ann_twin": lambda w: equal(w.config.mixer, kspike.models.ann_twin(w.config).config.mixer),
    "kspike.models.anytime": every_step,
    "kspike.models.early_exit": stopped_early,
    "kspike.models.exit_curve": lambda w: equal(True, kspike.models.exit_curve(w.model, w.data) is not None),
    "kspike.models.Stream": streamed,
    "kspike.models.stream": streamed,
    "kspike.models.unroll": no_levels,
    "kspike.quantize": quantized,
    "kspike.space.Genome": written,
    "kspike.space.Genome.from_dict": written,
    "kspike.space.SearchSpace": lambda w: equal(w.config, SearchSpace(w.config, mlp_ratio=(1, 2)).base),
    "kspike.space.SearchSpace.encode": written,
    "kspike.space.SearchSpace.load": read,
    **{f"kspike.supernet.{name}": drawn for name in ("Sandwich.first", "Sandwich.others")},
    **{f"kspike.supernet.{name}": drawn for name in ("SinglePath.first", "SinglePath.others")},
    "kspike.training.calibrate": calibrated,
    "kspike.training.make_optimizer": trained,
    "kspike.training.teacher_logits": asked,
    "kspike.training.train": trained,
    **{
        f"kspike.tuners.Constraints.{name}": kept for name in ("admits", "check_kept", "keep", "narrowed", "of_network")
    },
    "kspike.tuners.Constraints.networks": kept,
    "kspike.tuners.Crossover.__call__": operators,
    "kspike.tuners.Mutation.__call__": operators,
    "kspike.tuners.Evolution": evolution,
    "kspike.tuners.EvolutionSearch": evolved,
    "kspike.tuners.EvolutionSearchOracle": hypermodel,
    "kspike.tuners.EvolutionSearchOracle.hyperparameters_of": hypermodel,
    "kspike.tuners.Latency.__call__": timed,
    "kspike.tuners.SpikformerHyperModel": hypermodel,
    "kspike.tuners.SpikformerHyperModel.fit": hypermodel,
    "kspike.tuners.ZeroCostSearch": free,
    "kspike.tuners.ZeroCostSearchOracle": free,
    "kspike.tuners.engine.SearchState.sizes": evolved,
    "kspike.tuners.scores.FunctionScore.of": counted,
    "kspike.tuners.scores.Score.of": counted,
    "kspike.tuners.scores.Score.on": measured,
    "kspike.tuners.scores.evaluate": free,
    "kspike.tuners.engine.Proposal": proposed,
    "kspike.tuners.engine.Proposal.from_dict": proposed,
    "kspike.zoo.publish": published,
}
#: Function -> why it is not called.
EXCEPTIONS: dict[str, str] = {}


# -- which those are ------------------------------------------------------------------------------------------------


def public():
    """(path, object) of everything in the `__all__` of kspike and its packages; each object once."""
    found = {}
    names = [i.name for i in pkgutil.walk_packages(kspike.__path__, "kspike.", onerror=lambda name: None)]
    for name in ("kspike", *names):
        if "._" in name or name.startswith(("kspike.ops.", "kspike.cli", "kspike.data.files")):
            continue  # kspike.ops: of tensors; the rest is no library
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", ()):
            thing = getattr(module, each)
            if not inspect.ismodule(thing):
                found.setdefault(id(thing), (f"{name}.{each}", thing))
    return list(found.values())


def callables():
    for path, thing in public():
        if inspect.isclass(thing):
            yield path, thing
            for name in vars(thing):
                function = getattr(thing, name)
                method = inspect.isroutine(function) and callable(function)
                if method and (not name.startswith("_") or name == "__call__"):
                    yield f"{path}.{name}", function
        elif callable(thing):
            yield path, thing


def takes(function):
    """Whether it is called with a model, a config, a space or a genome."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return False  # a built-in
    for p in parameters:
        said = p.annotation if isinstance(p.annotation, str) else getattr(p.annotation, "__name__", str(p.annotation))
        if TYPES.search(said) or (p.name in NAMES and said not in ("str", "int", "float", "bool")):
            return True
    return False


def found():
    return sorted({path for path, function in callables() if takes(function)})


@pytest.mark.once
def test_every_public_function_that_takes_a_network_is_called_here():
    missing = [path for path in found() if path not in CALLS and path not in EXCEPTIONS]
    assert not missing, f"add a call, or the reason why there is none: {missing}"
    assert not [path for path in (*CALLS, *EXCEPTIONS) if path not in found()]


#: Those that train or search: seconds each where a backend compiles.
SLOW = {evolved, free, trained, measured, extracted, exported}
ONE_A_CALL = sorted({call: path for path, call in reversed(CALLS.items())}.values())


@pytest.mark.shared
@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=pytest.mark.slow) if CALLS[p] in SLOW else p for p in ONE_A_CALL]
)
def test_it_knows_a_component_of_the_users(world, path):
    CALLS[path](world)
