"""Networks with int8 weights: int64 decides every spike of them alike, whatever the backend adds up in which order."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import kspike
from kspike import components
from kspike.components import parts
from kspike.export import Quantization
from kspike.export.folding import places_of, units
from kspike.export.looking import calls
from kspike.layers.int8 import Int8Policy
from kspike.layers.neuron import SpikingNeuron
from tests.components.own import temporary as temporary
from tests.export.networks import CONFIGS, NIR, ONNX, SMALL, awake, images, network, nir_network
from tests.helpers import BACKEND, to_numpy

#: Every stem's kind of input, mixers with and without a neuron before a product, and all kinds of neurons.
QUICK = ("sdt", "levels")


@pytest.fixture(scope="module")
def digits():
    """(a network of tau 2, the same of int8, images)."""
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), depth=1, stem="single_conv", timesteps=2, **SMALL)
    model = awake(kspike.Spikformer(config))
    given = images(model, 12)
    return model, kspike.quantize(model, (given, np.arange(12) % 4)), given


def convolved(x, q, layer):
    """The convolution in int64."""
    (height, width), stride = layer.kernel_size, layer.strides[0]
    side = height // 2 if layer.padding == "same" else 0
    x = np.pad(x, [(0, 0), (side, side), (side, side), (0, 0)])
    rows, columns = ((n - k) // stride + 1 for n, k in ((x.shape[1], height), (x.shape[2], width)))
    each = isinstance(layer, keras.layers.DepthwiseConv2D)
    return sum(
        x[:, i : i + stride * rows : stride, j : j + stride * columns : stride] * q[i, j, :, 0]
        if each
        else x[:, i : i + stride * rows : stride, j : j + stride * columns : stride] @ q[i, j]
        for i in range(height)
        for j in range(width)
    )


def whole(x):
    """Whole numbers as int64; nothing else."""
    assert np.array_equal(x, np.rint(x))
    return x.astype("int64")


def product(layer, x, levels):
    """What a product gives, from int64 sums: sum of x q + b in units of 2^-(k + 14) / levels."""
    x = np.asarray(x, "float64")
    if layer.rounds:
        x, levels = np.clip(np.rint(x.astype("float32") * to_numpy(layer.per_step)), -127, 127), 1
    x, q = whole(x * levels), np.asarray(ops.convert_to_numpy(layer._kernel), "int64")
    unit = to_numpy(layer.scale).astype("float64").reshape(-1)
    y = x @ q if isinstance(layer, keras.layers.Dense) else convolved(x, q, layer)
    finer = 2**14  # of the biases
    bias = 0 if not layer.use_bias else whole(to_numpy(layer.bias) / unit * finer) * levels
    return (y * finer + bias) * unit / levels / finer


def fired(layer, x, component):
    """The spikes of LIF and IF neurons in int64: potentials in units of 2^-(14 + T), the currents' and a bit a step."""
    divided = not component.constants and layer.decay_input
    tau = 1 if component.constants else int(layer.tau)
    unit = 2.0 ** (18 + x.shape[1])
    rest, threshold = (int(np.rint(unit * value)) for value in (layer.v_reset or 0.0, layer.v_threshold))
    x, v, out = whole(x.astype("float64") * unit), np.full(x[:, 0].shape, rest), []
    for t in range(x.shape[1]):
        leak = (v - rest) // tau if not component.constants else 0
        h = v + (x[:, t] - (v - rest)) // tau if divided else v - leak + x[:, t]
        out.append(h >= threshold)
        v = np.where(out[-1], rest if layer.v_reset is not None else h - threshold, h)
    return np.stack(out, axis=1)


def check_whole(small, given):
    """Every product, normalisation and neuron of a network beside int64; gives how many of each were seen."""
    neuron = small.config.neuron_component
    levels = neuron.levels if neuron.binary is not None else 1
    layers = {layer.path: layer for layer in small._flatten_layers()
              if hasattr(layer, "rounds") or isinstance(layer, SpikingNeuron)}  # fmt: skip
    seen = []
    with calls(layers, lambda *call: seen.append(call)):
        small(given, training=False)
    count = [0, 0]
    for name, x, y in seen:
        layer, x, y = layers[name], to_numpy(x), to_numpy(y)
        if name == "head":
            continue
        if hasattr(layer, "rounds"):
            np.testing.assert_array_equal(y, product(layer, x, levels), err_msg=name)
            count[0] += 1
        elif neuron.one_pass and name not in small.quantization["inexact"]:
            np.testing.assert_array_equal(y, fired(layer, x, neuron), err_msg=name)
            count[1] += 1
    return count


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def test_int64_gives_what_every_product_and_neuron_gives(name):
    model = network(name)
    given = images(model, 3)
    small = kspike.quantize(model, given)
    products, _ = check_whole(small, given)
    assert products == len(places_of(small)) - 1
    found = Quantization.from_dict(small.quantization)
    assert found.largest_sum < 2**24 and found.images == 3 and found.spikes_compared > 1000
    assert found.spikes_changed < 0.1 * found.spikes_compared
    assert set(found.inexact) <= set(found.spikes)


def test_a_network_of_tau_2_is_decided_by_integers_alone(digits):
    model, small, given = digits
    products, neurons = check_whole(small, given)
    assert products == 5 and neurons == sum(isinstance(layer, SpikingNeuron) for layer in small._flatten_layers())
    found = Quantization.from_dict(small.quantization)
    assert found.inexact == {} and "integers decide every spike" in str(found)
    assert found.labels == 12 and 0 < found.spikes_changed < 0.05 * found.spikes_compared
    logits = [to_numpy(each(given)) for each in (small, model)]
    assert np.abs(logits[0] - logits[1]).max() < 0.2 * np.abs(logits[1]).max()
    assert all(v.dtype == "float32" for v in model.weights)  # which is left as it was


def test_it_is_saved_in_int8_and_loaded(digits, tmp_path):
    model, small, given = digits
    small.save(tmp_path / "small.keras")
    read = keras.models.load_model(tmp_path / "small.keras")
    assert read.quantized and read.quantization == small.quantization and read.config == model.config
    np.testing.assert_array_equal(to_numpy(read(given)), to_numpy(small(given)))
    assert len({v.path for v in read.weights}) == len(read.weights)
    before, after = (small.quantization[name] for name in ("bytes_before", "bytes"))
    assert after < before / 2
    with zipfile.ZipFile(tmp_path / "small.keras") as file:
        config = json.loads(file.read("config.json"))
        assert file.getinfo("model.weights.h5").file_size and config["config"]["quantization"]["weights"] > 0


@pytest.mark.shared
def test_it_is_for_inference(digits):
    model, small, given = digits
    read = kspike.Spikformer.from_config(small.get_config())
    read.set_weights(small.get_weights())
    read.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="int8 weights, which no gradient moves"):
        read.fit(given, np.zeros(12), verbose=0)
    np.testing.assert_array_equal(read.predict(given, verbose=0), to_numpy(small(given)))
    for refuses, match in (
        (lambda: small.quantize("int8"), "kspike.quantize"),
        (lambda: kspike.training.calibrate(small, given), "int8 weights"),
        (lambda: kspike.zoo.publish(small, "small", license="mit"), "int8 weights"),
        (lambda: kspike.convert.to_safetensors(small, "small.safetensors"), "int8 weights"),
        (lambda: kspike.quantize(small, given), "already"),
    ):
        with pytest.raises(ValueError, match=match):
            refuses()


@pytest.mark.shared
def test_it_is_measured_with_int8_costs(digits):
    _, small, given = digits
    report = kspike.cost.measure(small, given, progress=False)
    assert report.convention.name == "int8"
    assert report.energy_mj == pytest.approx((0.03 * report.total("ac") + 0.23 * report.total("mac")) * 1e-9)
    same = kspike.cost.measure(small, given, "spikformer", progress=False)
    assert same.total("ac") == report.total("ac") > 0 and same.energy_mj > 5 * report.energy_mj


@pytest.mark.once
@ONNX
def test_it_is_exported_with_every_spike(digits, tmp_path):
    _, small, given = digits
    report = kspike.export.save(small, tmp_path / "small.onnx", images=given)
    assert report.spikes_differing == 0 and report.written.difference == 0.0 and report.own.spikes_differing == 0


@pytest.mark.once
@NIR
def test_nir_cannot_say_that_the_image_is_rounded(tmp_path):
    model = nir_network("if")
    small = kspike.quantize(model, images(model, 4))
    with pytest.raises(ValueError, match="stem: it takes real numbers that conv rounds to int8"):
        kspike.export.save(small, tmp_path / "small.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_scales_are_powers_of_two_that_int8_allows():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 7)) * 10.0 ** np.arange(-6, 1)
    kernel[..., 3] = 0
    found = units(kernel, (7,))
    assert np.array_equal(np.log2(found), np.rint(np.log2(found)))
    whole = np.abs(np.clip(np.rint(kernel / found), -127, 127)).max((0, 1, 2))
    assert whole.max() <= 127 and found.min() == 2.0**-14
    assert (whole[(found > 2.0**-14) & (whole > 0)] >= 63).all()
    lost = lambda unit: np.square(np.clip(np.rint(kernel / unit), -127, 127) * unit - kernel).sum((0, 1, 2))
    assert (lost(found) <= lost(2 * found) + 1e-12).all() and found[3] == 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Twice(components.Mixer):
    """Normalises what is no product."""

    def parts(self):
        return {"norm": parts.Norm("width"), "neuron": parts.Neuron("proj", "width")}

    def forward(self, part, x, sizes):
        return part.neuron(x, norm=part.norm)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Halved(components.Mixer):
    """Does to the product's output what its parts do not say."""

    def parts(self):
        return {
            "fc": parts.Dense("width", "width"), "norm": parts.Norm("width"), "neuron": parts.Neuron("proj", "width"),
        }  # fmt: skip

    def forward(self, part, x, sizes):
        return part.neuron(part.fc(x) / 3.0, norm=part.norm)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Third(_Halved):
    """Does to the spikes what its parts do not say."""

    def forward(self, part, x, sizes):
        return part.neuron(part.fc(x / 3.0), norm=part.norm)


@pytest.mark.once
@pytest.mark.parametrize(
    "cls, match",
    [
        (_Twice, r"block_0/attention/norm normalises what no product gives \(what comes in\)"),
        (_Halved, "block_0/attention/norm normalises something else than block_0/attention/fc gives"),
        (_Third, "Real numbers come into block_0/attention/fc"),
    ],
)
def test_what_its_parts_do_not_say_is_refused_by_name(cls, match, temporary):
    components.register("mixer", cls.__name__.strip("_").lower())(cls)
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), depth=1, timesteps=2, mixer=cls(), **SMALL)
    model = awake(kspike.Spikformer(config))
    with pytest.raises(ValueError, match=match):
        kspike.quantize(model, images(model, 2))


@pytest.mark.once
def test_mistakes_are_named(digits):
    model, _, given = digits
    half = kspike.Spikformer(model.config, dtype="mixed_bfloat16")
    broken = kspike.Spikformer(model.config)
    broken.get_layer("head").bias.assign(np.full(4, np.nan))
    for arguments, match in (
        ((keras.Sequential([keras.layers.Dense(1)]), given), "Expected a kspike.Spikformer"),
        ((half, given), "dtype float32"),
        ((broken, given), "head/bias holds NaN"),
        ((model, given[:0]), "received none"),
        ((model, (given * 255).astype("uint8")), "raw pixels"),
        ((model, given[0]), "batch axis is missing"),
        ((model, np.where(given > 2, np.nan, given)), "hold NaN"),
        ((model, "images"), "received str"),
        ((kspike.models.ann_twin(model), given), "Real numbers come into"),
    ):
        with pytest.raises(ValueError, match=match):
            kspike.quantize(*arguments)
    with pytest.raises(ValueError, match="batches: expected"):
        kspike.quantize(model, given, batches=0)
    assert Int8Policy() == Int8Policy() != keras.DTypePolicy("float32")
    assert BACKEND == keras.backend.backend()
