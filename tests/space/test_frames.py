"""T as a gene over frames: what all networks are given, and what each T runs on, by hand."""

import json

import numpy as np
import pytest

import kspike
from kspike.space import SearchSpace
from kspike.space.frames import GivenFrames

pytestmark = pytest.mark.once

BASE = kspike.SpikformerConfig(input_shape=(4, 8, 8, 2), embed_dim=16, depth=1, num_heads=2)


def given(way, choices=(1, 2, 4)):
    """Frame s of two images holds s + 1, and ten times as much."""
    frames = GivenFrames(way, choices, (1, 1, 2))
    values = np.arange(1.0, frames.number + 1).reshape(1, -1, 1, 1, 1)
    return frames, np.concatenate([values, 10 * values]) * np.ones((1, 1, 1, 1, 2))


@pytest.mark.parametrize(
    ("way", "wanted"),
    [
        ("recordings", {1: [1], 2: [2, 3], 4: [4, 5, 6, 7]}),  # the frames of T=1, of T=2, of T=4
        ("windows", {1: [1 + 2 + 3 + 4], 2: [1 + 2, 3 + 4], 4: [1, 2, 3, 4]}),
    ],
)
def test_each_t_has_its_own_frames(way, wanted):
    frames, values = given(way)
    assert frames.input_shape == (len({"recordings": range(7), "windows": range(4)}[way]), 1, 1, 2)
    for at, (t, each) in enumerate(wanted.items()):
        found = frames.of(values, t)
        assert found.shape == (2, t, 1, 1, 2)
        np.testing.assert_array_equal(found[:, :, 0, 0, 1], [each, [10 * n for n in each]])
        sums = [values[0, first:last, 0, 0, 0].sum() for first, last in frames.bounds[at]]
        assert sums == each + [0] * (4 - t)  # as a compiled program takes them


def test_recordings_framed_for_several_t_are_those_of_each_t():
    recording = kspike.events.Recording(
        t=np.arange(100) ** 2, x=np.arange(100) % 3, y=np.arange(100) % 2, p=np.arange(100) % 2, sensor_size=(2, 3)
    )
    framing = kspike.events.Framing(timesteps=(1, 2, 4), by="count", hot_pixels=100)
    assert framing.shape((2, 3)) == (7, 2, 3, 2)
    assert kspike.events.Framing.from_dict(json.loads(json.dumps(framing.to_dict()))) == framing
    stack, frames = framing.frames(recording)[None], GivenFrames("recordings", (1, 2, 4), (2, 3, 2))
    for t in (1, 2, 4):
        alone = kspike.events.Framing(timesteps=t, by="count", hot_pixels=100).frames(recording)
        np.testing.assert_array_equal(frames.of(stack, t)[0], alone)
    for steps in ((4, 2), (2, 2), (), (2, 0), (2, "4")):
        with pytest.raises(ValueError, match="timesteps"):
            kspike.events.Framing(timesteps=steps)


def test_dropping_time_drops_the_same_time_of_every_t():
    augment = kspike.events.EventAugmentation(drop_time=0.9)
    for seed in range(20):
        stack = np.ones((6, 1, 1, 2), np.float32)  # T=2, then T=4
        kept = augment.of_frames(stack, np.random.default_rng(seed), (2, 4))[:, 0, 0, 0]
        alone = [augment.of_frames(np.ones((t, 1, 1, 2), np.float32), np.random.default_rng(seed)) for t in (2, 4)]
        np.testing.assert_array_equal(kept, np.concatenate(alone)[:, 0, 0, 0])


def test_a_space_says_where_frames_are_from_and_keeps_it():
    space = SearchSpace(BASE, timesteps=(2, 4), frames_from="windows")
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    assert space.fingerprint() != SearchSpace(BASE, timesteps=(2, 4), frames_from="recordings").fingerprint()
    assert space.genome(timesteps=2).to_config().input_shape == (2, 8, 8, 2)
    assert SearchSpace(BASE, embed_dim=(16, 32)).given.input_shape == BASE.input_shape
    assert "frames_from" not in SearchSpace(BASE, embed_dim=(16, 32)).to_dict()


def test_what_cannot_be_is_refused():
    still = BASE.replace(input_shape=(8, 8, 2), timesteps=4)
    for base, genes, said in (
        (BASE, {"timesteps": (2, 4)}, "say frames_from='recordings'"),
        (BASE, {"timesteps": (3, 4), "frames_from": "windows"}, "every T must divide the largest, 4; 3 does not"),
        (BASE, {"timesteps": (2, 4), "frames_from": "frames"}, "expects one of 'recordings', 'windows'"),
        (BASE, {"embed_dim": (16, 32), "frames_from": "windows"}, "needs an input_shape .time"),
        (still, {"timesteps": (2, 4), "frames_from": "windows"}, "needs an input_shape .time"),
    ):
        with pytest.raises(ValueError, match=said):
            SearchSpace(base, **genes)


@pytest.mark.parametrize(("name", "number"), [("kspike_nmnist", 2 + 4 + 8), ("kspike_gesture", 16)])
def test_the_published_spaces_of_events(name, number):
    space = SearchSpace.load(name)
    assert space.given.input_shape == (number, *space.base.image_shape)
    assert {space.sample(seed=seed).to_config().timesteps for seed in range(20)} == set(space.choices("timesteps"))
