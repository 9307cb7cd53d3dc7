"""The supernet's proof over words: stems, mixers and neurons as genes, beside all others.

In `make test` the whole space on torch, on slices and under masks; where it is compiled a small one, and the whole in
`make proof`.
"""

import contextlib
import functools

import keras
import numpy as np
import pytest

from kspike import SpikformerConfig, components
from kspike.ops import compilation_counter
from kspike.space import SearchSpace
from kspike.supernet.elastic import Statistics
from tests.components.written import ALIF, Gate, WrongGate
from tests.helpers import BACKEND, to_numpy, weight_gradients
from tests.supernet import proof
from tests.supernet.proof import FORMS

TORCH = BACKEND == "torch"
BASE = SpikformerConfig(input_shape=(16, 16, 1), num_classes=3, timesteps=2)
NUMBERS = {"embed_dim": (16, 32), "depth": (1, 2), "timesteps": (1, 2), "num_heads": (1, 2), "mlp_ratio": (1, 2)}
PATCH = {"name": "single_conv", "stride": 4}
SPACES = {
    "whole": SearchSpace(
        BASE,
        mixer=("ssa", "token_qk", "identity", "dwconv3", "written_gate", Gate(bias=False)),
        neuron=("lif", ALIF(beta=0.3), "plif"),
        stem=("sps", PATCH),
        **NUMBERS,
    ),
    "small": SearchSpace(
        BASE.replace(stem=PATCH), mixer=("token_qk", "dwconv3"), neuron=("lif", ALIF(beta=0.3)), **NUMBERS
    ),
}
#: Networks that together have every choice of every word, in every block where that is told apart.
WORDS = {
    "whole": [
        {"depth": 2, "mixer": ("token_qk", "ssa"), "neuron": "lif", "stem": "sps", "num_heads": (1, 2)},
        {"depth": 2, "mixer": ("dwconv3", Gate(bias=False)), "neuron": ALIF(beta=0.3), "stem": PATCH},
        {"depth": 2, "mixer": ("written_gate", "identity"), "neuron": "plif", "stem": "sps"},
        {"depth": 1, "mixer": "ssa", "neuron": "plif", "stem": PATCH, "num_heads": 2},
    ],
    "small": [
        {"depth": 2, "mixer": ("token_qk", "dwconv3"), "neuron": "lif", "num_heads": 2},
        {"depth": 2, "mixer": ("dwconv3", "token_qk"), "neuron": ALIF(beta=0.3), "num_heads": 1},
    ],
}
# Compiled, a space takes half a minute, or minutes.
SMALL, WHOLE = pytest.param("small", marks=pytest.mark.slow), pytest.param("whole", marks=pytest.mark.proof)
EACH = ["whole"] if TORCH else [SMALL, WHOLE]


def networks(name, **numbers):
    """Narrow networks of one step and networks of two, so that every axis has an inactive part."""
    space = SPACES[name]
    for i, words in enumerate(WORDS[name]):
        yield space.genome(**{"embed_dim": 16, "timesteps": 1 + i % 2, "mlp_ratio": 1, **words, **numbers})


@functools.lru_cache(maxsize=2)
def trained(name, masked):
    images, labels = proof.images_of(SPACES[name], 32)
    supernet = proof.trained(SPACES[name], images, labels, masked=masked)
    for i, variable in enumerate(supernet.trainable_variables):
        if variable.name.endswith("plif_w"):  # a plif of tau 2 is a lif
            variable.assign(np.full(variable.shape, (0.5, -0.5)[i % 2], "float32"))
    return supernet, images


@contextlib.contextmanager
def training(supernet):
    """A call trains the active network, and not one that is drawn."""
    supernet._forced = Statistics(batch=True, rate=0.1)
    try:
        yield
    finally:
        supernet._forced = None


def arrays(supernet):
    """id -> value of every weight and moment."""
    return {id(v): np.array(to_numpy(v)) for v in supernet.variables if v.dtype == "float32"}


def numbered(supernet):
    """Gives every number of the supernet a value of its own; returns them by id."""
    at, found = 1, {}
    for variable in supernet.variables:
        if variable.dtype == "float32":
            found[id(variable)] = np.arange(at, at + np.prod(variable.shape)).reshape(variable.shape)
            at += int(np.prod(variable.shape))
            variable.assign(found[id(variable)].astype("float32"))
    assert at < 2**24  # float32 tells them apart
    return found


def taken_out(supernet):
    """id -> which numbers of each variable the active network, taken out, has."""
    before = arrays(supernet)
    numbers = numbered(supernet)
    alone = supernet.extract()
    for variable in supernet.variables:
        if id(variable) in before:
            variable.assign(before[id(variable)])
    found = np.concatenate([to_numpy(v).ravel() for v in alone.variables if v.dtype == "float32"])
    return {key: np.isin(values, found) for key, values in numbers.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", FORMS)
def test_a_subnet_is_the_network_taken_out(name, masked):
    supernet, images = trained(name, masked)
    space = SPACES[name]
    genomes = [*networks(name), *(space.sample(seed=seed) for seed in range(4))]
    if not TORCH:  # each is a program of its own
        genomes = [genomes[1], space.smallest()] if name == "small" else genomes[:6]
    rows = [proof.compare(supernet, genome, images) for genome in genomes]
    assert all(row["spread"] > 1e-3 for row in rows)  # a silent network would prove nothing
    assert sum(row["flipped"] for row in rows) <= (proof.allowed(rows) if supernet.masked else 0)


@pytest.mark.skipif(not TORCH, reason="operation by operation, it takes long on the others")
@pytest.mark.parametrize("masked", FORMS)
def test_a_neuron_that_fires_otherwise_is_found(masked):
    """The proof above forgives a spike within rounding alone: one that differs for another reason is named."""
    supernet, images = trained("whole", masked)
    for genome in networks("whole"):
        supernet.activate(genome)
        supernet.calibrate([images])
        alone = supernet.extract()
        assert not proof.explain(supernet, alone, images[:1])
        norm = alone.get_layer(f"block_{genome.to_config().depth - 1}").mlp.fc1_norm
        norm.beta.assign(norm.beta + 1.0)
        with pytest.raises(AssertionError, match="mlp/fc1_neuron fires differently"):
            proof.explain(supernet, alone, images[:1])


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", FORMS)
def test_gradients_are_zero_outside_the_active_part(name, masked):
    supernet, images = trained(name, masked)
    for genome in list(networks(name))[: None if TORCH else 1]:
        supernet.activate(genome)
        active = taken_out(supernet)
        with training(supernet):
            _, gradients = weight_gradients(supernet, images, lambda y: keras.ops.sum(y * y), training=False)
        reached = 0
        for variable in supernet.trainable_variables:
            gradient, mine = gradients[id(variable)], active[id(variable)]
            gradient = np.zeros(variable.shape) if gradient is None else gradient
            assert np.isfinite(gradient).all()
            assert not gradient[~mine].any(), (genome, variable.path)
            reached += bool(gradient[mine].any())
        assert reached > sum(mine.any() for mine in active.values()) / 4  # moments, and biases before them, have none


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", FORMS)
def test_statistics_outside_the_active_part_are_untouched(name, masked):
    supernet, images = trained(name, masked)
    for genome in (*list(networks(name))[: None if TORCH else 1], SPACES[name].smallest()):
        supernet.activate(genome)
        supernet.restore_statistics([values + 0.1 for values in supernet.statistics()])  # none is right already
        active, before = taken_out(supernet), arrays(supernet)
        supernet.calibrate([images])
        for variable in supernet.variables:
            if id(variable) not in before:
                continue
            changed, mine = to_numpy(variable) != before[id(variable)], active[id(variable)]
            assert not changed[~mine].any(), (genome, variable.path)
            if variable.name in ("moving_mean", "moving_variance") and mine.any():
                assert changed[mine].any(), (genome, variable.path)
            elif not variable.name.startswith("moving"):
                assert not changed.any(), (genome, variable.path)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", FORMS[-1:])
def test_every_gene_acts_or_is_not_expressed(name, masked):
    supernet, images = trained(name, masked)
    space, images = SPACES[name], images[:8] if TORCH else images  # as many as are compiled already

    def logits(genome):
        supernet.activate(genome)
        supernet.calibrate([images])
        return supernet.predict(images, verbose=0)

    acted = set()
    for base in list(networks(name, embed_dim=32, timesteps=2, mlp_ratio=2))[:2]:
        reference = logits(base)
        for at, slot in enumerate(space.slots):
            for other in set(range(slot.cardinality)) - {base.indices[at]}:
                changed = space.decode([*base.indices[:at], other, *base.indices[at + 1 :]])
                same = np.array_equal(logits(changed), reference)
                assert same == (changed.to_config() == base.to_config()), (base, slot.name)
                if not same:
                    acted.add(slot.name)
    assert acted == {slot.name for slot in space.slots}


@pytest.mark.skipif(TORCH, reason="torch compiles nothing")
@pytest.mark.parametrize("name", EACH)
def test_one_program_serves_every_choice(name):
    supernet, images = trained(name, None)
    calls, forward = [], supernet._forward

    def counted(*args, **kwargs):
        calls.append(args)
        return forward(*args, **kwargs)

    labels = (np.arange(len(images)) % 3).astype("int32")

    def visit(genome):
        supernet.activate(genome)
        supernet.calibrate([images])
        supernet.predict(images, verbose=0)
        supernet.fit(images, labels, batch_size=len(images), epochs=2, verbose=0)  # draws two networks of its own

    first, *others = [*networks(name), *(SPACES[name].sample(seed=seed) for seed in range(4))]
    weights = supernet.get_weights()
    visit(first)
    before = compilation_counter()
    object.__setattr__(supernet, "_forward", counted)
    try:
        for genome in others:
            visit(genome)
    finally:
        object.__delattr__(supernet, "_forward")
        supernet.set_weights(weights)
    assert compilation_counter() == before and not calls


OWN = [
    (role, word)
    for role in components.ROLES
    for word in components.names(role)
    if type(components.get(role, word)).__module__.startswith("kspike.")  # other files of tests register theirs
]
#: Those that a setting makes another computation of.
SETTINGS = [
    ("stem", {"name": "peds", "events": True}),
    ("stem", {"name": "embed_max", "events": True}),
    ("mixer", {"name": "sdsa1", "events": True}),
    ("mixer", {"name": "ssa", "chunk": 2}),
    ("downsample", {"name": "peds", "pool_first": True}),
]
#: Stems of a grid of their own, so that each were a space of its own: in `proof` alone.
LARGE = [("stem", {"name": name, "large": True}) for name in ("peds", "embed_max")]


def own_of(role):
    """(base, words): networks for kspike's own components of a role, those together that may be one gene's choices."""
    found = {}
    stages = (32, 32) if role == "downsample" else 32
    for word in [word for each, word in (*OWN, *SETTINGS) if each == role]:
        residual = getattr(components.get(role, word), "residuals", ("add",))[0]
        usual = {"stem": "spikingformer" if residual == "membrane" else "sps"}
        usual |= {"downsample": "strided"} if residual == "membrane" and role == "downsample" else {}
        base = SpikformerConfig(
            input_shape=(16, 16, 1), num_classes=3, timesteps=2, num_heads=2, residual=residual,
            embed_dim=stages, depth=(1, 1) if role == "downsample" else 1, **{**usual, role: word},
        )  # fmt: skip
        found.setdefault((residual, base.grids), (base, []))[1].append(word)
    return found.values()


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="proof checks each of them on every backend")
@pytest.mark.parametrize("masked", FORMS)
@pytest.mark.parametrize("role", ["stem", "downsample", "mixer", "mlp", "neuron"])
def test_components_of_kspike_are_choices_of_one_space(role, masked):
    """Each of them, under both views, is the network taken out: a supernet a role, where `proof` makes one for each."""
    for base, words in own_of(role):
        each = (lambda value: {0: value, 1: value}) if base.stages > 1 else (lambda value: value)
        genes = {"embed_dim": each((16, 32)), "mlp_ratio": (1, 2), "num_heads": (1, 2)}
        genes |= {role: tuple(words)} if len(words) > 1 else {}
        space = SearchSpace(base, name="own", **genes)
        supernet, (images, _) = proof.awake(space, masked=masked), proof.images_of(space, 16)
        for word in words:
            chosen = {role: {1: word} if base.stages > 1 else word} if role in genes else {}
            genome = space.genome(embed_dim=each(16), mlp_ratio=1, num_heads=1, **chosen)
            row = proof.compare(supernet, genome, images)
            assert row["spread"] > 1e-3, word
            assert row["flipped"] <= (1 if masked else 0), word


@pytest.mark.proof
@pytest.mark.parametrize("role, word", [*OWN, *SETTINGS, *LARGE])
def test_components_of_kspike_are_checked(role, word):
    assert components.check(word, role) < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="proof checks kspike's own, and the space above holds these")
@pytest.mark.parametrize("component", [Gate(), Gate(bias=False), ALIF()], ids=lambda c: c.label)
def test_components_of_ones_own_are_checked(component):
    assert components.check(component) < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="the same words on every backend, after a minute of compiling")
@pytest.mark.parametrize("how", ["channels", "time", "one minus", "heads"])
def test_a_component_that_is_wrong_under_masks_is_refused_by_name(how):
    message = "it does not run" if how == "heads" else "under masks its network is off by .* from the plain one"
    with pytest.raises(ValueError, match=rf"(?s)^mixer written_wrong_gate.*: {message}.*sizes\.attend"):
        components.check(WrongGate(how=how))
