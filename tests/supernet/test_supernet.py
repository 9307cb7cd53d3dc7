"""One set of weights, every network of a space: what a subnet computes is what the extracted network computes."""

import keras
import numpy as np
import pytest

from kspike.config import SpikformerConfig
from kspike.ops import compilation_counter
from kspike.space import SearchSpace
from kspike.supernet import SubnetValidation, Supernet
from tests.supernet.proof import FORMS

TORCH = keras.backend.backend() == "torch"


def make_space(**base):
    tau = {} if base.get("neuron") == "plif" else {"tau": (1.25, 2.0)}
    return SearchSpace(
        SpikformerConfig(
            **{
                "input_shape": (8, 8, 1),
                "num_classes": 5,
                "embed_dim": 24,
                "depth": 2,
                "num_heads": 2,
                "stem_pool": (False, False, True, True),
                **base,
            }
        ),
        embed_dim=(16, 24),
        depth=(1, 2),
        timesteps=(1, 3),
        num_heads=(2, 4),
        mlp_ratio=(1, 2.5),
        v_threshold={"qkv": (0.6, 1.0), "fc1": (0.5, 0.9)},
        **tau,
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(0.5, 1.0, (32, 8, 8, 1)).astype("float32")


def trained(space, images, masked=None, steps=2):
    keras.utils.set_random_seed(1)
    supernet = Supernet(space, seed=3, masked=masked)
    supernet.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.arange(len(images)) % 5
    supernet.fit(images, labels, batch_size=16, epochs=steps, verbose=0, shuffle=False)
    return supernet


@pytest.fixture(scope="module")
def supernet(images):
    return trained(make_space(), images)


def batches(images):
    return [images[i : i + 16] for i in range(0, len(images), 16)]


def same_images(a, b):
    return np.isclose(a, b, rtol=0, atol=1e-5).all(axis=1).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "base",
    [pytest.param({}, marks=pytest.mark.shared), {"residual": "membrane", "neuron": "plif"}],
    ids=["add-lif", "membrane-plif"],
)
@pytest.mark.parametrize("masked", FORMS)
def test_the_extracted_network_computes_what_the_subnet_did(base, masked, images):
    supernet = trained(make_space(**base), images, masked=masked)
    seen, networks = set(), 4 if TORCH else 2  # elsewhere each extracted network is compiled
    for seed in range(networks):
        genome = supernet.space.sample(seed=seed)
        supernet.activate(genome)
        supernet.calibrate(batches(images))
        inside = supernet.predict(images, verbose=0)
        alone = supernet.extract()
        assert alone.config == genome.to_config() == supernet.config
        assert same_images(alone.predict(images, verbose=0), inside) >= 0.96  # a flipped spike on one image of 32
        seen.add(inside.tobytes())
    assert len(seen) == networks


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="only torch computes on slices")
def test_masks_and_slices_compute_the_same(images):
    space = make_space()
    sliced, masked = Supernet(space, masked=False), Supernet(space, masked=True)
    masked.set_weights([w if w.dtype != np.int32 else w for w in sliced.get_weights()])
    for seed in range(4):
        genome = space.sample(seed=seed)
        outputs = []
        for supernet in (sliced, masked):
            supernet.activate(genome)
            supernet.calibrate(batches(images))
            outputs.append(supernet.predict(images, verbose=0))
        assert same_images(*outputs) >= 0.96
        for one, other in zip(sliced.statistics(), masked.statistics(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
@pytest.mark.shared
def test_every_gene_acts(supernet, images):
    space = supernet.space
    base = {
        "embed_dim": 24,
        "depth": 2,
        "timesteps": 3,
        "num_heads": 2,
        "mlp_ratio": 2.5,
        "v_threshold": {"qkv": 0.6, "fc1": 0.5},
        "tau": 1.25,
    }

    def logits(genome):
        supernet.activate(genome)
        supernet.calibrate(batches(images))
        return supernet.predict(images, verbose=0)

    living = space.genome(**base)
    reference = logits(living)
    indices = space.encode(living)
    for at, slot in enumerate(space.slots):
        changed = indices.copy()
        changed[at] = (changed[at] + 1) % slot.cardinality
        assert not np.array_equal(logits(space.decode(changed)), reference), slot.name


def test_switching_networks_compiles_nothing(supernet, images):
    def visit(seed):
        supernet.activate(supernet.space.sample(seed=seed))
        supernet.calibrate(batches(images))

    visit(0)
    before = compilation_counter()
    for seed in range(1, 6):
        visit(seed)
    assert compilation_counter() == before


def test_calibration_touches_the_active_part_alone(supernet, images):
    before = supernet.statistics()
    weights = [np.array(v) for v in map(keras.ops.convert_to_numpy, supernet.trainable_variables)]
    supernet.activate(supernet.space.smallest())
    supernet.calibrate(batches(images))
    norm = supernet.blocks[0].attention.qkv_norm
    mean = keras.ops.convert_to_numpy(norm.moving_mean)
    at = next(i for i, layer in enumerate(supernet.norm_layers()) if layer is norm)
    assert not np.allclose(mean[:, :16], before[2 * at][:, :16])
    np.testing.assert_array_equal(mean[:, 16:], before[2 * at][:, 16:])
    deeper = supernet.norm_layers().index(supernet.blocks[1].mlp.fc1_norm)
    np.testing.assert_array_equal(supernet.statistics()[2 * deeper], before[2 * deeper])
    for variable, value in zip(supernet.trainable_variables, weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    supernet.restore_statistics(before)
    for one, other in zip(supernet.statistics(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_do_not_depend_on_what_was_calibrated_before(supernet, images):
    genome = supernet.space.sample(seed=7)
    found = []
    for first in (supernet.space.largest(), supernet.space.smallest()):
        supernet.activate(first)
        supernet.calibrate(batches(images))
        supernet.activate(genome)
        supernet.calibrate(batches(images))
        found.append(supernet.predict(images, verbose=0))
    np.testing.assert_array_equal(*found)


@pytest.mark.shared
def test_arrays_calibrate_as_batches_do(supernet, images):
    """As `fit` takes them: images, or (images, labels); 32 at a time."""
    labels = np.zeros(len(images), "int32")
    many = np.concatenate([images, images[:8] * 0.5])
    found = []
    for data in ([many[:32], many[32:]], many, (many, np.zeros(40)), keras.ops.convert_to_tensor(many)):
        supernet.calibrate(data)
        found.append(supernet.statistics())
    for other in found[1:]:
        for one, same in zip(other, found[0], strict=True):
            np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-7)
    seen = SubnetValidation((images, labels), (images, labels), networks=0)
    assert seen.images.shape == images.shape
    assert seen.labels.shape == labels.shape


def unchanged(supernet, data, message, batches=None):
    before = supernet.statistics()
    with pytest.raises(ValueError, match=message):
        supernet.calibrate(data, batches)
    for one, other in zip(supernet.statistics(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_no_mean_can_be_formed_of_calibrates_nothing(supernet, images):
    """Statistics of NaN would show in no message: every answer of the supernet were NaN from then on."""
    supernet.activate(supernet.space.largest())
    spoilt = images.copy()
    spoilt[20, 3, 3] = np.nan
    infinite = np.where(np.isnan(spoilt), np.inf, spoilt)
    finite = "Expected finite calibration images; 1 of .* the first at"
    unchanged(supernet, spoilt, finite + " 20")
    unchanged(supernet, (infinite, np.zeros(32)), finite)
    unchanged(supernet, keras.ops.convert_to_tensor(spoilt), finite)
    unchanged(supernet, batches(spoilt), finite + " 4")  # the first batch of 16 had counted
    unchanged(supernet, (batch for batch in batches(spoilt)), finite)
    unchanged(supernet, images * 1e25, "Expected finite normalisation statistics")
    for kind in ("uint8", "int64", "int32", "uint16"):
        unchanged(supernet, images.astype(kind), f"calibration images are {kind}")
        unchanged(supernet, [images, images.astype(kind)], f"calibration images are {kind}")

    for count in (0, -1, 2.0, "2", True, [1]):
        unchanged(supernet, images, "batches must be at least 1, a whole number, or None", count)
    unchanged(supernet, images, r"activate\(genome\) first", supernet.space.smallest())

    def breaks():
        yield images
        raise KeyboardInterrupt

    before = supernet.statistics()
    with pytest.raises(KeyboardInterrupt):
        supernet.calibrate(breaks())
    for one, other in zip(supernet.statistics(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    supernet.calibrate([images, spoilt], batches=1)  # what is not read is not looked at
    assert np.isfinite(supernet.predict(images, verbose=0)).all()


@pytest.mark.shared
def test_one_image_text_and_objects_are_told_what_was_expected(supernet, images):
    unchanged(supernet, images[0], r"one image alone, of shape \(8, 8, 1\): its batch axis is missing. Give images\[N")
    unchanged(supernet, [images[0]], "its batch axis is missing")
    ragged = ([[1.0], [1.0, 2.0]], np.zeros(2))
    for data in (["abc"], np.array(["abc"]), [object()], [{"images": images}], np.array([None]), [ragged]):
        unchanged(supernet, data, "Expected the calibration images to be an array of numbers, a batch; received")
    with pytest.raises(ValueError, match="its batch axis is missing"):
        supernet.predict(images[0], verbose=0)


@pytest.mark.shared
def test_validation_images_are_looked_at_before_the_supernet_trains(images):
    supernet = trained(make_space(), images, steps=1)
    weights = supernet.get_weights()
    for bad, message in (
        (images * np.nan, "Expected finite validation images"),
        (images.astype("uint8"), "validation images are uint8"),
        (images[:, :4], "Expected images of shape"),
    ):
        watch = SubnetValidation((images, np.zeros(32)), (bad, np.zeros(32)), networks=0)
        with pytest.raises(ValueError, match=message):
            supernet.fit(images, np.zeros(32), verbose=0, callbacks=[watch])
    for one, other in zip(supernet.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_of_another_size_do_not_calibrate(supernet):
    before = supernet.statistics()
    for data in (
        np.zeros((4, 16, 16, 1), "float32"),
        [np.zeros((4, 16, 16, 1), "float32")],
        (np.zeros(4), np.zeros(4)),
    ):
        with pytest.raises(ValueError, match="Expected images of shape"):
            supernet.calibrate(data)
    for one, other in zip(supernet.statistics(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_travel_without_the_choice_of_a_network(supernet, images, tmp_path):
    supernet.activate(supernet.space.smallest())
    supernet.calibrate(batches(images))
    supernet.save_weights(tmp_path / "s.weights.h5")
    other = Supernet(supernet.space)
    other.load_weights(tmp_path / "s.weights.h5")
    assert other.genome == other.space.largest()
    other.activate(supernet.genome)
    np.testing.assert_allclose(other.predict(images, verbose=0), supernet.predict(images, verbose=0), atol=1e-6)


@pytest.mark.shared
def test_a_saved_supernet_loads_with_its_space(supernet, tmp_path):
    supernet.save(tmp_path / "s.keras")
    loaded = keras.models.load_model(tmp_path / "s.keras")
    assert loaded.space == supernet.space
    for one, other in zip(loaded.statistics(), supernet.statistics(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.shared
def test_bad_input_is_refused(supernet):
    other = SearchSpace(supernet.space.base, depth=(1, 2))
    with pytest.raises(ValueError, match="belongs to space"):
        supernet.activate(other.sample(seed=0))
    with pytest.raises(ValueError, match="belongs to space"):
        supernet.extract(other.sample(seed=0))
    with pytest.raises(ValueError, match="expects a Genome"):
        supernet.activate({"depth": 1})
    with pytest.raises(ValueError, match="at least one batch"):
        supernet.calibrate([])
    with pytest.raises(ValueError, match="Unknown search space 'digit'"):
        Supernet("digit")
    if not TORCH:
        with pytest.raises(ValueError, match="masked=False is for torch"):
            Supernet(supernet.space, masked=False)
