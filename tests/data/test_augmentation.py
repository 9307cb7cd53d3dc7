"""Augmentation: what each change does to pixels, that it is repeatable, and that recipes are data."""

import dataclasses
import json

import numpy as np
import pytest

from kspike import data
from kspike.data import policy, transforms
from kspike.data.named_augmentations import as_augmentation

pytestmark = pytest.mark.once

BLACK = np.zeros(3, np.uint8)


def pictures(batch=200, size=16, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (batch, size, size, 3), dtype=np.uint8)


def rng():
    return np.random.default_rng(1)


def test_flip_mirrors_the_stated_share_and_changes_nothing_else():
    images = pictures()
    out = transforms.flip_and_shift(images, 0.5, 0.0, BLACK, rng())
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(out, images, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(out, images, strict=True)])
    assert (mirrored ^ kept).all() and 70 < mirrored.sum() < 130


def test_shift_moves_by_at_most_its_share_and_fills_what_comes_in():
    images = pictures()
    fill = np.array([7, 8, 9], np.uint8)
    out = transforms.flip_and_shift(images, 0.0, 0.125, fill, rng())
    canvas = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    canvas[:] = fill
    canvas[:, 2:18, 2:18] = images
    moves = set()
    for a, b in zip(out, canvas, strict=True):
        fits = [(y, x) for y in range(5) for x in range(5) if np.array_equal(a, b[y : y + 16, x : x + 16])]
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) == 25  # every move occurs


def test_digits_move_by_one_pixel():
    train, plain = data.load("digits", augment="standard").train, data.load("digits").train
    ink, before = train[0][0], plain[0][0]
    background = ink.min()
    np.testing.assert_array_equal(train[0][1], plain[0][1])
    for a, b in zip(ink, before, strict=True):
        padded = np.pad(b, ((1, 1), (1, 1), (0, 0)), constant_values=background)
        assert any(np.array_equal(a, padded[y : y + 8, x : x + 8]) for y in range(3) for x in range(3))


def test_erase_sets_one_rectangle_of_the_stated_area_to_zero():
    images = np.ones((400, 32, 32, 3), np.float32)
    out = transforms.erase(images, 0.25, (0.02, 1 / 3), 0.3, rng())
    gone = (out == 0).all(axis=-1)
    touched = gone.any(axis=(1, 2))
    assert 70 < touched.sum() < 130 and images.all()
    for mask in gone[touched]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns) == np.ptp(rows + 0) * len(columns) + len(columns)
        assert 0.01 * 1024 < mask.sum() < 0.37 * 1024


def test_mix_blends_images_and_labels_by_the_same_share():
    images, labels = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    mixed, soft = transforms.mix(images, labels, 0.5, rng())
    np.testing.assert_array_equal(mixed, soft)
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, atol=1e-6)
    assert 0 < soft[0, 0] < 1 and soft[0, 3] == pytest.approx(1 - soft[0, 0])


def test_cut_and_mix_blends_labels_by_the_area_that_was_put_in():
    images = np.stack([np.full((8, 8, 1), value, np.float32) for value in (1, 2, 3, 4)])
    seen = set()
    for seed in range(20):
        mixed, soft = transforms.cut_and_mix(images, np.eye(4, dtype=np.float32), 1.0, np.random.default_rng(seed))
        other = (mixed[0] == 4).mean()
        assert set(np.unique(mixed[0])) <= {1.0, 4.0} and set(np.unique(mixed[1])) <= {2.0, 3.0}
        np.testing.assert_allclose(soft[0], [1 - other, 0, 0, other], atol=1e-6)
        inside = np.argwhere(mixed[0, ..., 0] == 4)
        assert not len(inside) or len(inside) == np.prod(np.ptp(inside, axis=0) + 1)  # one rectangle
        seen.add(float(other))
    assert len(seen) > 5 and (images[0] == 1).all()


def test_a_batch_is_mixed_in_one_of_two_ways():
    train = data.load("digits", augment=data.Augmentation(mixup=0.5, cutmix=1.0, mixup_until=3)).train
    plain = data.load("digits", augment=None).train
    known = {images.tobytes() for i in range(len(plain)) for images in plain[i][0][:, :1]}  # first rows of images
    whole = [np.mean([row.tobytes() in known for row in train[i][0][:, :1]]) for i in range(len(train))]
    assert max(whole) > 0.9 > 0.5 > min(whole)  # cut batches leave some rows as they were, blended ones none
    assert train[0][1].dtype == np.float32
    assert "cutmix" not in data.Augmentation(mixup=0.5).to_dict()
    both = data.Augmentation(mixup=0.5, cutmix=1.0)
    assert data.Augmentation.from_dict(both.to_dict()) == both


def test_equalize_is_pillows():
    pillow = pytest.importorskip("PIL.Image")
    from PIL import ImageOps

    narrow = (pictures(20) // 7 + 30).astype(np.uint8)
    flat = np.full((1, 16, 16, 3), 90, np.uint8)
    for image in (*pictures(20), *narrow, *flat):
        expected = np.asarray(ImageOps.equalize(pillow.fromarray(image)))
        np.testing.assert_array_equal(policy.equalize(image[None])[0], expected)


def test_equalize_stays_within_the_range_of_the_digits():
    digits = data.load("digits").test.images
    out = policy.equalize(digits, top=16)
    assert out.max() == 16 and out.dtype == np.uint8 and not np.array_equal(out, digits)


def test_affine_agrees_with_pillow_where_no_edge_is_near():
    pillow = pytest.importorskip("PIL.Image")
    smooth = np.add.outer(np.arange(16.0) * 6, np.arange(16.0) * 9)[..., None].repeat(3, axis=-1).astype(np.uint8)
    matrix = np.array([[0.9, 0.2, 0.7], [-0.1, 1.1, -0.4]])
    out = policy.affine(smooth[None], matrix[None], BLACK)[0]
    expected = pillow.fromarray(smooth).transform((16, 16), pillow.Transform.AFFINE, matrix.ravel(), 2)
    difference = np.abs(out.astype(int) - np.asarray(expected).astype(int))[3:12, 3:12]
    assert difference.max() <= 1 and smooth[3:12, 3:12].std() > 10


def test_whole_moves_and_turns_are_exact():
    images = pictures(3, size=8)
    moved = policy.affine(images, policy._matrices("translate_x", np.full(3, 2 / 8 / 0.45), 8, 8), BLACK)
    np.testing.assert_array_equal(moved[:, :, :6], images[:, :, 2:])
    assert not moved[:, :, 6:].any()
    turned = policy.affine(images, policy._matrices("rotate", np.full(3, 90 / 30), 8, 8), BLACK)
    np.testing.assert_array_equal(turned, np.rot90(images, -1, axes=(1, 2)))


def test_the_policy_touches_the_stated_share():
    images = pictures(400, size=8)
    out = policy.distort(images, policy.OPERATIONS, 0.5, (9.0, 0.4), BLACK, 255, rng())
    changed = (out != images).any(axis=(1, 2, 3)).mean()
    assert 0.4 < changed < 0.6


@pytest.mark.parametrize("name", data.augmentations())
def test_named_recipes_repeat_themselves_and_change_no_stored_image(name):
    def epoch(e):
        train = data.load("digits", augment=as_augmentation(name)).train
        kept = train.images.copy()
        train.set_epoch(e)
        batches = [train[i] for i in range(3)]
        np.testing.assert_array_equal(train.images, kept)
        assert all(images.dtype == np.float32 and np.isfinite(images).all() for images, _ in batches)
        return np.stack([images for images, _ in batches])

    np.testing.assert_array_equal(epoch(2), epoch(2))
    assert not np.array_equal(epoch(2), epoch(3))


def test_mixing_stops_at_its_epoch_and_labels_stay_soft():
    train = data.load("digits", augment=data.Augmentation(mixup=0.5, mixup_until=3)).train
    train.set_epoch(2)
    assert train[0][1].max(axis=1).min() < 1
    train.set_epoch(3)
    assert train[0][1].shape == (64, 10) and (train[0][1].max(axis=1) == 1).all()


def test_recipes_are_data():
    recipe = data.Augmentation(flip=0.5, distort=0.5, erase=0.25, mixup=0.5, mixup_until=200, fill="mean")
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert data.Augmentation.from_dict(stored) == recipe
    assert hash(recipe) == hash(data.Augmentation.from_dict(stored))
    assert data.load("digits", augment=stored).train.augmentation == recipe
    with pytest.raises(ValueError, match="Did you mean 'erase'"):
        data.Augmentation.from_dict({"erases": 0.1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.flip = 0.1


def test_digits_are_never_mirrored_by_name():
    assert as_augmentation("standard", mirrored=False).flip == 0
    assert as_augmentation("spikformer", mirrored=False).flip == 0
    with pytest.raises(ValueError, match="other signs"):
        data.load("digits", augment="flip_shift")
    assert data.load("digits", augment=data.Augmentation(flip=0.5)).train.augmentation.flip == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": 1.5},
        {"shift": 0.5},
        {"erase": -0.1},
        {"erase_area": (0.5, 0.1)},
        {"operations": ("spin",)},
        {"operations": ()},
        {"magnitude": 11},
        {"mixup": -1.0},
        {"cutmix": -1.0},
        {"mixup_until": -1},
        {"fill": "white"},
    ],
)
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match=f"Augmentation: {next(iter(wrong))} expected"):
        data.Augmentation(**wrong)
