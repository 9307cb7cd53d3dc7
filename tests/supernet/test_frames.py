"""T as a gene over frames: every network of a space is given the same frames, and runs on those of its own T."""

import keras
import numpy as np
import pytest

import kspike
from kspike import cost
from kspike.space import SearchSpace
from kspike.supernet import supernet as module
from kspike.tuners import scores
from tests.helpers import BACKEND
from tests.supernet import proof

BASE = kspike.SpikformerConfig(
    input_shape=(4, 8, 8, 2), num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True),
)  # fmt: skip


def made(way):
    return SearchSpace(BASE, timesteps=(2, 4), frames_from=way)


def counts(space, n=6):
    rng = np.random.default_rng(0)
    return rng.poisson(0.7, (n, *space.given.input_shape)).astype("float32")


#: In `make test` under torch, both ways on slices, and windows under masks: the other backends compile for a minute.
EACH = [
    pytest.param(way, masked, marks=[] if masked is False or (masked and way == "windows") else [pytest.mark.proof])
    for way in ("recordings", "windows")
    for masked in proof.VIEWS
]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "masked"), EACH)
def test_a_network_of_each_t_runs_on_its_own_frames(way, masked, monkeypatch):
    space = made(way)
    supernet, x = proof.awake(space, masked=masked), counts(space)
    traces, seen = [], module.seen
    monkeypatch.setattr(module, "seen", lambda *args: traces.append(1) or seen(*args))
    row = proof.compare(supernet, space.genome(timesteps=2), x)
    assert row["flipped"] == 0 and row["spread"] > 1e-3
    found, before = supernet.predict(x, verbose=0), len(traces)
    supernet.activate(space.genome(timesteps=4))
    assert np.abs(found - supernet.predict(x, verbose=0)).max() > 1e-3
    if BACKEND != "torch":
        assert len(traces) == before  # nothing was traced again for the other T
    else:
        assert proof.compare(supernet, space.genome(timesteps=4), x)["flipped"] == 0


@pytest.mark.shared
@pytest.mark.parametrize("way", ["recordings", "windows"])
def test_energy_is_that_of_the_network_taken_out_on_its_own_frames(way):
    space = made(way)
    supernet, x = proof.awake(space), counts(space)
    supernet.activate(space.genome(timesteps=2))
    supernet.calibrate([x])
    own = space.frames.of(x, 2)
    inside, outside = cost.measure(supernet, x, progress=False), cost.measure(supernet.extract(), own, progress=False)
    assert inside.energy_mj == pytest.approx(outside.energy_mj, rel=1e-3) and inside.timesteps == 2
    assert inside.rows[0].macs == 0 and inside.rows[0].acs == pytest.approx(outside.rows[0].acs)
    events = float(x.sum() if way == "windows" else x[:, :2].sum()) / len(x)
    assert inside.rows[0].acs == pytest.approx(events * 9 * BASE.stem_channels[0])  # each event once, by 9 weights


@pytest.mark.shared
def test_a_supernet_trains_on_what_is_given_and_refuses_the_frames_of_one_t():
    space = made("recordings")
    supernet, x = proof.awake(space), counts(space)
    supernet.compile("sgd", proof.loss())
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in supernet.trainable_variables]
    supernet.fit(x, np.arange(6) % 3, epochs=2, batch_size=3, verbose=0)
    after = [keras.ops.convert_to_numpy(v) for v in supernet.trainable_variables]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    for call in (supernet.predict, lambda x: supernet.calibrate([x])):
        with pytest.raises(ValueError, match=r"\(batch, 6, 8, 8, 2\)"):
            call(x[:, :4])


@pytest.mark.shared
def test_a_genomes_scores_are_those_of_its_network_on_its_own_frames():
    space = made("windows")
    x, y = counts(space), np.arange(6) % 3
    genome = space.genome(timesteps=2)
    inside = scores.evaluate(genome, (x, y), ["energy"], seeds=1, images=6)
    outside = scores.evaluate(genome.to_config(), (space.frames.of(x, 2), y), ["energy"], seeds=1, images=6)
    assert inside == outside and inside["energy"].mean > 0
