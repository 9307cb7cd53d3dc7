"""SpikingJelly 2.0's own QKFormer, Max-Former and Spike-driven Transformer, against what they gave.

`tests/convert/data/make_spikingjelly_models.py` wrote the files. Spikes exactly, logits to 1e-4.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

import kspike
from kspike.components.parts import Neuron
from kspike.convert import families, published
from kspike.convert.families.family import Read
from tests.helpers import BACKEND, to_numpy, traced

#: File -> family, and what no tensor says.
FILES = {
    "spikingjelly_qkformer": ("spikingjelly_qkformer", {"num_heads": (4, 8, 2)}),
    "spikingjelly_max_former": ("spikingjelly_max_former", {}),
    "spikingjelly_max_former_large": ("spikingjelly_max_former", {}),
    "spikingjelly_sdt": ("spikingjelly_sdt", {"pooling_stat": "0011"}),
}
# Compiled, each is a program of its own.
OFTEN = "spikingjelly_max_former"
each = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if BACKEND == "torch" or n == OFTEN else pytest.mark.proof) for n in FILES]
)


@functools.cache
def golden(name):
    with np.load(Path(__file__).parent / "data" / f"{name}.npz") as file:
        return dict(file)


def meta(name):
    return json.loads(str(golden(name)["meta"]))


def tensors(name):
    return {key[2:]: value.astype("float32") for key, value in golden(name).items() if key.startswith("w/")}


def pixels(name):
    return golden(name)["images"].astype("float32")


def read_in(name, state=None, **options):
    return kspike.convert.from_checkpoint(
        tensors(name) if state is None else state, timesteps=meta(name)["arguments"]["T"],
        input_shape=pixels(name).shape[1:], options={**FILES[name][1], **options},
    )  # fmt: skip


@functools.cache
def model_of(name):
    return read_in(name)


@each
def test_spikes_and_logits_are_spikingjellys(name):
    model, (family, options) = model_of(name), FILES[name]
    assert model.conversion.family == family and model.conversion.tensors == len(tensors(name))
    read = Read(tensors(name), options, model.config.timesteps, pixels(name).shape[1:])
    names = families.families()[family].names(model.config, read)
    modules = {path: names[path] for path, part in published._parts(model.config) if isinstance(part, Neuron)}
    inner = {path: published.layer_at(model, path) for path in modules}
    logits, seen = traced(model, inner, pixels(name))
    np.testing.assert_allclose(logits, golden(name)["logits"], rtol=0, atol=1e-4)
    assert np.ptp(logits) > 0.1
    found = {}
    for path, (_, fired) in seen.items():
        several = np.atleast_1d(modules[path]).tolist()
        for module, part in zip(several, np.split(fired, len(several), axis=-1), strict=True):
            found[module] = np.moveaxis(part.swapaxes(0, 1), -1, 2)  # time first, channels before space
    assert set(found) == set(meta(name)["shapes"])
    for module, fired in found.items():
        stored = np.unpackbits(golden(name)[f"spikes/{module}"], count=fired.size)
        np.testing.assert_array_equal(fired.reshape(-1), stored, err_msg=module)


@pytest.mark.shared
@pytest.mark.parametrize("name", FILES)
def test_an_images_answer_is_its_own(name):
    x = pixels(name)
    alone = np.concatenate([to_numpy(model_of(name).predict_on_batch(x[i : i + 1])) for i in range(len(x))])
    np.testing.assert_allclose(alone, golden(name)["logits"], rtol=0, atol=1e-4)


@pytest.mark.shared
def test_a_channel_form_is_told_by_an_option_alone():
    name = "spikingjelly_qkformer"
    model = read_in(name, qka_type="channel")
    logits = to_numpy(model.predict_on_batch(pixels(name)))
    np.testing.assert_allclose(logits, golden(name)["logits_channel"], rtol=0, atol=1e-4)
    assert np.abs(logits - golden(name)["logits"]).max() > 0.01


@pytest.mark.once
def test_what_was_read_is_said():
    said = str(model_of("spikingjelly_qkformer").conversion)
    assert "is not in SpikingJelly's" in said and "taken into the mean" in said and "detach_reset" in said
    assert "detach_reset" not in str(model_of("spikingjelly_max_former").conversion)  # there it is set
    large = model_of("spikingjelly_max_former_large").config
    assert large.neuron == "plif" and large.v_threshold.attention[-1] == 1.0  # the one block with attention
    told = read_in("spikingjelly_max_former", cifar=False, depths=(1, 1, 3), embed_dims=64, T=8, tau=3.0, v_reset=None)
    assert [note.split(" was")[0] for note in told.conversion.notes] == [
        "option T=8", "option embed_dims=64", "option depths=(1, 1, 3)", "option cifar=False",
    ]  # fmt: skip
    assert told.config.tau.stem == told.config.tau.head == 3.0 and told.config.v_reset is None


def without(name, *starts):
    return {key: value for key, value in tensors(name).items() if not key.startswith(starts)}


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "lacks", "says"),
    [
        ("spikingjelly_qkformer", "patch_embed1.conv2.bias", r"missing: patch_embed1\.conv2\.bias"),
        ("spikingjelly_qkformer", "stage2.0", r"blocks \[1\] of stage2, and lacks \[0\].*stage2\.0\.\*"),
        ("spikingjelly_qkformer", "stage3.", r"no block of stage3"),
        ("spikingjelly_qkformer", ("stage3.", "patch_embed3."), r"takes 32 channels.* stage3 is missing"),
        ("spikingjelly_max_former", "stage2.0.dwconv.bias", r"missing: stage2\.0\.dwconv\.bias"),
        ("spikingjelly_max_former", "stage2.0.dwconv", r"lacks stage2\.0\.dwconv\.weight"),
        ("spikingjelly_max_former", "stage3.1.attn.qkv.", r"missing: .*stage3\.1\.attn\.qkv\.0\.weight"),
        (
            "spikingjelly_max_former_large",
            "patch_embed3.shortcut.0.bias",
            r"missing: .*patch_embed3\.shortcut\.0\.bias",
        ),
        ("spikingjelly_max_former_large", "stage3.0.attn.proj_lif.w", r"missing: .*stage3\.0\.attn\.proj_lif\.w"),
        ("spikingjelly_sdt", "patch_embed.final_stage.0.bias", r"missing: .*patch_embed\.final_stage\.0\.bias"),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused(name, lacks, says):
    with pytest.raises(ValueError, match=says):
        read_in(name, without(name, *np.atleast_1d(lacks)))


@pytest.mark.once
def test_other_values_are_refused():
    with pytest.raises(ValueError, match="qka_type must be 'token' or 'channel', got 'both'"):
        read_in("spikingjelly_qkformer", qka_type="both")
    with pytest.raises(ValueError, match=r"'num_heads'.*is needed.*\(6, 6, 6\)"):
        read_in("spikingjelly_qkformer", num_heads=None)
    state = tensors("spikingjelly_qkformer")
    state["patch_embed1.conv2.bias"] = state["patch_embed1.conv2.bias"][:-1]
    with pytest.raises(ValueError, match=r"misshapen: patch_embed1\.conv2\.bias is \(7,\)"):
        read_in("spikingjelly_qkformer", state)
    with pytest.raises(ValueError, match="not those of the family 'qkformer'.* those of 'spikingjelly_qkformer'"):
        kspike.convert.from_checkpoint(
            tensors("spikingjelly_qkformer"), "qkformer", timesteps=3, input_shape=(32, 32, 3)
        )
