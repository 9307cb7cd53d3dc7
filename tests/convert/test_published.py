"""Networks of the published families, made from state dicts, against what the official code gave.

Spikes exactly, logits to 1e-4, gradients to 1e-3 of their largest entry, running statistics.
"""

import functools
import hashlib
import json

import keras
import numpy as np
import pytest

import kspike
from kspike.components.parts import Neuron, Norm
from kspike.convert import families, published
from kspike.convert.families.family import Read
from tests.convert import reference
from tests.golden import networks
from tests.helpers import BACKEND, input_gradient, run, to_numpy, traced, weight_gradients

#: Constructor's arguments that no tensor says; the others are read off.
TOLD = ("num_heads", "pooling_stat", "dvs_mode")
FAMILIES = {
    "sdt_cifar": "sdt", "sdt_events": "sdt", "sdt_v2": "sdt_v2", "sdt_v3": "sdt_v3",
    "spikingformer_cifar": "spikingformer", "spikingformer_events": "spikingformer",
    "qkformer_cifar": "qkformer", "qkformer_events": "qkformer", "ms_qkformer_cifar": "ms_qkformer",
    "maxformer_cifar": "max_former", "maxformer_events": "max_former",
}  # fmt: skip


def named(often):
    """The networks as tests are told: compiled, each is a program of half a minute, and those not `often` are proof."""
    marks = lambda name: () if BACKEND == "torch" else pytest.mark.slow if name in often else pytest.mark.proof
    return [pytest.param(name, marks=marks(name)) for name in FAMILIES]


each = pytest.mark.parametrize("name", named(("maxformer_cifar", "sdt_v3")))
#: Of training, where the program of V3's blocks of three branches takes a minute.
TRAINED = named(("maxformer_cifar",))
each_trained = pytest.mark.parametrize("name", TRAINED)


def golden(name):
    return networks.load(name)


def described(name):
    return json.loads(str(golden(name)["meta"]))


def told(name):
    return {k: v for k, v in json.loads(str(golden(name)["config"])).items() if k in TOLD}


def tensors(name):
    return {key[2:]: value for key, value in golden(name).items() if key.startswith("w/")}


def pixels(name):
    found = golden(name)
    return (found["images"] if "images" in found else found["frames"]).astype("float32")


def options(name):
    return {} if FAMILIES[name] in ("max_former", "ms_qkformer") else told(name)


@functools.cache
def model_of(name):
    x = pixels(name)
    steps = described(name)["T"] or 1
    return kspike.convert.from_checkpoint(
        tensors(name), timesteps=steps, input_shape=x.shape[1:], options=options(name)
    )


@functools.cache
def places(name):
    """Path of a part -> (part, official modules), of everything that the checkpoint speaks of."""
    model, x = model_of(name), pixels(name)
    family = families.families()[FAMILIES[name]]
    read = Read(tensors(name), options(name), model.config.timesteps, x.shape[1:])
    names = family.names(model.config, read)
    return {
        path: (part, np.atleast_1d(names[path]).tolist())
        for path, part in published._parts(model.config)
        if path in names
    }


@functools.cache
def spikes(name, training):
    """(logits, official neuron -> its spikes, time first, channels before space)."""
    inner = {
        path: published.layer_at(model_of(name), path)
        for path, (part, _) in places(name).items()
        if isinstance(part, Neuron)
    }
    logits, seen = traced(model_of(name), inner, pixels(name), training=training)
    found = {}
    for path in inner:
        modules = places(name)[path][1]
        for module, fired in zip(modules, np.split(seen[path][1], len(modules), axis=-1), strict=True):
            found[module] = np.moveaxis(fired.swapaxes(0, 1), -1, 2)
    return logits, found


def split(name, key):
    """A golden array; of QKFormer that in which no image sees another, where it is so."""
    found = golden(name)
    return found.get(f"split/{key}", found.get(key))


def levels(name):
    return 4 if FAMILIES[name] == "sdt_v3" else 1


@each
def test_spikes_are_those_of_the_official_code(name):
    _, found = spikes(name, False)
    expected = {neuron["name"]: neuron["shape"] for neuron in described(name)["neurons"]}
    assert set(found) == set(expected)
    for neuron, fired in found.items():
        stored = split(name, f"spikes/{neuron}")
        if levels(name) > 1:
            np.testing.assert_array_equal((fired * levels(name)).reshape(stored.shape), stored, err_msg=neuron)
        else:
            flat = np.unpackbits(stored, count=fired.size)
            np.testing.assert_array_equal(fired.reshape(-1), flat, err_msg=neuron)
    assert sum(fired.mean() > 0.02 for fired in found.values()) >= 0.9 * len(found)  # they do fire


@each_trained
def test_spikes_in_training_are_those_of_the_official_code(name):
    _, found = spikes(name, True)
    leaking = (described(name)["split"] or {"neurons": {}})[
        "neurons"
    ]  # those the official code lets leak between images
    compared = 0
    for neuron in described(name)["neurons"]:
        if neuron["name"] in leaking:
            continue
        fired = (found[neuron["name"]] * levels(name)).astype("uint8")
        stored = fired.reshape(neuron["shape"]) if levels(name) > 1 else np.packbits(fired.reshape(-1))
        assert hashlib.sha256(stored.tobytes()).hexdigest()[:16] == neuron["sha256_training"], neuron["name"]
        compared += 1
    assert compared >= 10


@each
def test_logits_are_those_of_the_official_code(name):
    model, x = model_of(name), pixels(name)
    np.testing.assert_allclose(model.predict(x, verbose=0), split(name, "logits_inference"), rtol=0, atol=1e-4)


@each_trained
def test_logits_in_training_and_of_an_image_alone_are_those_of_the_official_code(name):
    model, x = model_of(name), pixels(name)
    np.testing.assert_allclose(spikes(name, True)[0], split(name, "logits_training"), rtol=0, atol=1e-4)
    alone = np.concatenate([model.predict(x[i : i + 1], verbose=0) for i in range(len(x))])
    np.testing.assert_allclose(alone, golden(name)["logits_inference_each"], rtol=0, atol=1e-4)


def loss_of(name):
    labels = keras.ops.convert_to_tensor(golden(name)["labels"].astype("int32"))
    return lambda logits: keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(labels, keras.ops.cast(logits, "float32"), from_logits=True)
    )


def close(found, expected, what):
    """Within 1e-3 of the largest entry; rounding noise around a true zero is left out."""
    largest = np.abs(expected).max()
    if largest >= 1e-3:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * largest, err_msg=what)
    return largest >= 1e-3


def in_our_layout(name, path, key):
    """The golden arrays of a part that there are: (attribute, which part of it, of how many, array as ours)."""
    part, modules = places(name)[path]
    leaking = described(name)["split"] is not None
    if isinstance(part, Norm):
        pairs, turn = published.NORM_TENSORS.items(), published.float32
    elif isinstance(part, Neuron):
        pairs, turn = [("w", "w")], lambda w: np.atleast_1d(published.float32(w))
    else:
        pairs, turn = [("weight", "kernel"), ("bias", "bias")], None
    for theirs, ours in pairs:
        layout = turn or (published.layout_of(part) if theirs == "weight" else published.float32)
        for i, module in enumerate(modules):
            array = golden(name).get(f"{'split/' if leaking else ''}{key}{module}.{theirs}")
            if array is not None:
                yield ours, i, len(modules), layout(array)


@each_trained
def test_gradients_are_those_of_the_official_code(name):
    model, x = model_of(name), pixels(name)
    _, found = weight_gradients(model, x, loss_of(name))
    seen = []
    for path in places(name):
        layer = published.layer_at(model, path)
        for attribute, i, of, expected in in_our_layout(name, path, "grad/"):
            gradient = found[id(getattr(layer, attribute))].reshape(getattr(layer, attribute).shape)
            own = np.split(gradient, of, axis=-1)[i]
            seen.append(close(own.reshape(-1), expected.reshape(-1), f"{path}/{attribute}"))
    assert sum(seen) >= 4  # of all depths: its first product, its last, one in between


@pytest.mark.skipif(BACKEND != "torch", reason="the gradient of images follows from the same backward pass")
@each
def test_the_gradient_of_images_is_that_of_the_official_code(name):
    model, x = model_of(name), pixels(name)
    labels = golden(name)["labels"]
    before = [np.array(to_numpy(v)) for v in model.non_trainable_variables]
    logits = split(name, "logits_training")
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    upstream = shifted / shifted.sum(-1, keepdims=True)
    upstream[np.arange(len(labels)), labels] -= 1
    _, found = input_gradient(lambda x: model(x, training=True), x, (upstream / len(labels)).astype("float32"))
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        variable.assign(value)
    expected = split(name, "grad/images")
    if expected is None:
        expected, side = split(name, "grad/frames_centre"), found.shape[2]
        found = found[:, :, (side - 32) // 2 : (side + 32) // 2, (side - 32) // 2 : (side + 32) // 2]
    assert close(found, expected, "images") or np.abs(expected).max() < 1e-3


@pytest.mark.parametrize("name", [n for n in TRAINED if not n.values[0].startswith("qkformer")])  # those it has, leak
def test_running_statistics_are_those_of_the_official_code(name):
    """kspike's variance is the biased one, as Keras'; the golden one is unbiased."""
    model, x = model_of(name), pixels(name)
    norms = {
        path: published.layer_at(model, path) for path, (part, _) in places(name).items() if isinstance(part, Norm)
    }
    before = [np.array(to_numpy(v)) for v in model.non_trainable_variables]
    kept = {path: np.array(to_numpy(norm.moving_variance)) for path, norm in norms.items()}
    sizes, calls, compared = {}, {path: norm.call for path, norm in norms.items()}, 0

    def sized(path, x, *args, **options):
        sizes[path] = int(np.prod(tuple(x.shape)[:-1]))
        return calls[path](x, *args, **options)

    try:
        for path, norm in norms.items():
            norm.call = functools.partial(sized, path)
        run(model, x, training=True)
        for path, norm in norms.items():
            for attribute, i, of, expected in in_our_layout(name, path, "after/"):
                if not attribute.startswith("moving"):
                    continue
                if attribute == "moving_variance":
                    share = 0.9 * np.split(kept[path], of)[i]
                    n = sizes[path]
                    expected = share + (expected - share) * (n - 1) / n
                found = np.split(to_numpy(getattr(norm, attribute)), of)[i]
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=path)
                compared += 1
        assert compared >= 10
    finally:
        for path, norm in norms.items():
            norm.call = calls[path]
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)


@each
def test_parameters_are_those_counted_less_what_never_runs(name):
    model = model_of(name)
    left_out = sum(tensors(name)[n].size for n in model.conversion.unused)
    assert kspike.cost.parameters(model.config) == described(name)["parameters"] - left_out


CONVOLUTIONS = {"kind": "conv", "axes": 1, "mlp_axes": 2}


@pytest.mark.once
@pytest.mark.parametrize("names", [{}, CONVOLUTIONS, {**CONVOLUTIONS, "first_release": True}])
def test_spikformer_is_recognised_beside_the_others(names):
    state = reference.official(reference.network(0, qkv_bias=not names), **names)
    model = kspike.convert.from_checkpoint(state, timesteps=2, input_shape=(48, 48, 3), options={"num_heads": 2})
    assert model.conversion.family == "spikformer" and model.config.timesteps == 2


@pytest.mark.once
def test_what_was_read_is_said():
    model = model_of("spikingformer_cifar")
    said = str(model.conversion)
    assert "a LayerNorm that the code builds and never runs" in said and "spikingformer" in said
    assert all(".norm" in name for name in model.conversion.unused)
    assert "image to image of a batch" in str(model_of("qkformer_cifar").conversion)
    told = kspike.convert.from_checkpoint(
        tensors("sdt_cifar"), timesteps=2, input_shape=(32, 32, 3),
        options={
            "pooling_stat": "0011", "embed_dims": 64, "T": 4, "in_channels": 2, "num_classes": 10, "mlp_ratios": 4,
            "drop_path_rate": 0.2,
        },
    )  # fmt: skip
    said = [note for note in told.conversion.notes if note.startswith("option")]
    assert [note.split(" ")[1] for note in said] == ["T=4", "embed_dims=64", "in_channels=2", "drop_path_rate=0.2"]
    assert any("embed_dims=64" in note and "32" in note for note in told.conversion.notes)
    assert any("T=4" in note for note in told.conversion.notes) and told.config.timesteps == 2


def without(name, *patterns):
    return {key: value for key, value in tensors(name).items() if not any(p in key for p in patterns)}


@pytest.mark.once
@pytest.mark.parametrize(
    ("state", "given", "says"),
    [
        (lambda: tensors("sdt_cifar"), {"family": "qkformer"}, "not those of the family 'qkformer'.*those of 'sdt'"),
        (lambda: tensors("sdt_cifar"), {"family": "sdt_v4"}, r"Unknown family 'sdt_v4'.*did you mean 'sdt_v"),
        (lambda: {"fc.weight": np.zeros((2, 3))}, {}, "of no known family"),
        (lambda: without("sdt_cifar", "block.1.mlp.fc2_bn"), {}, r"missing: .*block\.1\.mlp\.fc2_bn\.bias"),
        (lambda: {**tensors("sdt_cifar"), "odd.weight": np.zeros(3)}, {}, r"unknown: .*odd\.weight"),
        (lambda: tensors("sdt_cifar"), {"options": {}}, "'pooling_stat'.*is needed"),
        (lambda: tensors("sdt_cifar"), {"options": {"pooling_stat": "001"}}, "pooling_stat must be four"),
        (lambda: tensors("sdt_cifar"), {"options": {"heads": 2}}, "Unknown option of the family 'sdt'"),
        (lambda: tensors("sdt_cifar"), {"input_shape": (32, 32, 1)}, "takes 3; channels come last"),
        (
            lambda: {**tensors("sdt_cifar"), "head.bias": np.full(10, np.nan, "float32")},
            {},
            "head.bias holds numbers that are not finite",
        ),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused(state, given, says):
    arguments = {"timesteps": 2, "input_shape": (32, 32, 3), "options": {"pooling_stat": "0011"}, **given}
    with pytest.raises(ValueError, match=says):
        kspike.convert.from_checkpoint(state(), **arguments)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "lacks", "says"),
    [
        # a bias that the published code has is no choice of the checkpoint
        ("maxformer_events", "stage1.0.mixer.conv.bias", r"missing: stage1\.0\.mixer\.conv\.bias"),
        (
            "maxformer_events",
            "stage2.0.attn.proj_conv.bias",
            r"missing: stage2\.0\.attn\.proj_conv\.",
        ),
        ("qkformer_cifar", "mlp1_conv.bias", r"missing: stage1\.0\.mlp\.mlp1_conv\.bias"),
        ("sdt_cifar", "proj_conv.bias", r"missing: block\.0\.attn\.proj_conv\.bias"),
        ("spikingformer_cifar", "mlp2_conv.bias", r"missing: block\.0\.mlp\.mlp2_conv\.bias"),
        ("sdt_v2", "fc2_conv.bias", r"missing: block3\.0\.mlp\.fc2_conv\.bias"),
        # a block, what it mixes by, or a whole stage
        ("sdt_v2", "block4.", r"no block of block4: there is no tensor block4\.0\.\*"),
        ("sdt_v3", "ConvBlock2_2.", r"no block of ConvBlock2_2"),
        ("maxformer_cifar", "stage2.", r"no block of stage2"),
        (
            "maxformer_cifar",
            ("stage3.", "patch_embed3."),
            r"takes 32 channels.*has 16: stage3 is missing",
        ),
        ("qkformer_cifar", "stage3.0.", r"the blocks \[1\] of stage3, and lacks \[0\]"),
        ("maxformer_cifar", "stage2.0.mixer.", r"lacks what mixes the tokens of stage2\.0"),
        ("maxformer_events", "stage1.0.mixer.", r"lacks what mixes the tokens of stage1\.0"),
        (
            "maxformer_cifar",
            "stage3.1.attn.v_",
            r"stage3\.1 mixes .*'token_qk', stage3\.0 by 'ssa'",
        ),
        ("qkformer_cifar", "stage3.1.ssa.v_", r"missing: .*stage3\.1\.ssa\.v_conv\.weight"),
        ("maxformer_cifar", "stage2.0.mlp.", r"lacks stage2\.0\.mlp\.fc1_conv\.weight"),
    ],
)
def test_what_the_published_code_has_and_the_checkpoint_lacks_is_refused_by_name(name, lacks, says):
    weights = without(name, *np.atleast_1d(lacks))
    assert len(weights) < len(tensors(name))
    with pytest.raises(ValueError, match=says):
        kspike.convert.from_checkpoint(
            weights, timesteps=described(name)["T"] or 1, input_shape=pixels(name).shape[1:], options=options(name)
        )


DAMAGED = {
    "negative_variance": ("patch_embed1.proj_bn.running_var", lambda v: -v - 1, "negative, for a variance: {name}"),
    "short_norm": ("stage3.1.attn.v_bn.bias", lambda v: v[:-1], r"misshapen: {name} is \(31,\)"),
    "norm_of_no_axis": ("patch_embed1.proj_bn.weight", lambda v: np.float32(1), r"misshapen: {name} is \(\)"),
    "norm_of_two_axes": ("stage3.1.attn.v_bn.bias", lambda v: np.stack([v, v], 1), r"misshapen: {name} is \(32, 2\)"),
    "short_value": ("stage3.0.attn.v_conv.weight", lambda v: v[:-1], r"misshapen: {name} is \(31, 32, 1\)"),
    "flat_value": ("stage3.0.attn.v_conv.weight", lambda v: v.ravel(), r"misshapen: {name} is \(1024,\)"),
    "wide_kernel": ("stage3.1.attn.proj_conv.weight", lambda v: np.repeat(v, 2, 2), r"misshapen: {name} is"),
    "head_of_no_axis": ("head.weight", lambda v: np.float32(1), r"{name} is of shape \(\)"),
}


@pytest.mark.once
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_tensor_that_does_not_fit_is_named(kind):
    name, damage, message = DAMAGED[kind]
    weights = tensors("maxformer_cifar")
    weights[name] = damage(weights[name])
    with pytest.raises(ValueError, match=message.format(name=name)):
        kspike.convert.from_checkpoint(weights, timesteps=2, input_shape=(32, 32, 3))


@pytest.mark.once
@pytest.mark.parametrize("given", [{"options": 5}, {"input_shape": None}, {"timesteps": None}])
def test_an_argument_that_is_none_is_refused_before_work(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} must be"):
        kspike.convert.from_checkpoint({}, **{"timesteps": 2, "input_shape": (32, 32, 3), **given})


@pytest.mark.once
def test_a_learned_time_constant_is_one_number():
    weights = tensors("sdt_cifar")
    modules = [m for path, (part, found) in places("sdt_cifar").items() if isinstance(part, Neuron) for m in found]
    weights |= {f"{module}.w": np.zeros((), "float32") for module in modules}
    weights["block.0.attn.q_lif.w"] = np.zeros(2, "float32")
    with pytest.raises(ValueError, match=r"misshapen: block\.0\.attn\.q_lif\.w is \(2,\)"):
        kspike.convert.from_checkpoint(weights, timesteps=2, input_shape=(32, 32, 3), options={"pooling_stat": "0011"})


@pytest.mark.once
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "sdt_v3" else ()) for n in FAMILIES])
def test_the_order_of_the_tensors_says_nothing(name):
    """A .safetensors file holds them sorted."""
    weights = dict(sorted(tensors(name).items()))
    model = kspike.convert.from_checkpoint(
        weights, timesteps=described(name)["T"] or 1, input_shape=pixels(name).shape[1:], options=options(name)
    )
    assert model.config == model_of(name).config
    for ours, theirs in zip(model.weights, model_of(name).weights, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))
