"""Exported files, each run by its runtime in a process of its own: every neuron's spikes are the writer's."""

import numpy as np
import pytest

import kspike
from kspike.layers.neuron import SpikingNeuron
from tests.export.networks import CONFIGS, LITERT, ONNX, OPENVINO, SMALL, TENSORFLOW, TORCH, images, network
from tests.helpers import BACKEND, wake

WRITES = {"onnx": "torch", "xml": "torch", "pt2": "torch", "tflite": "tensorflow", "folder": "tensorflow"}
MARKS = {"onnx": ONNX, "xml": OPENVINO, "pt2": TORCH, "tflite": LITERT, "folder": TENSORFLOW}


def cases():
    """Every network as ONNX; in each other format, and each way of time, the ones that can show something of it."""
    found = [(name, "onnx", "unrolled") for name in CONFIGS]
    #: In each of these another network shows the way of time, and another way the network.
    twice = {("sps membrane", "onnx", "unrolled"), ("sps membrane", "onnx", "step"), ("events", "onnx", "scan")}
    found += [("events", kind, "unrolled") for kind in ("xml", "pt2", "folder", "tflite")]
    found += [
        (name, kind, time) for name in ("events", "sps membrane") for kind in ("onnx",) for time in ("step", "scan")
    ]
    found += [("events", "xml", "step"), ("sps membrane", "xml", "scan")]
    for name, kind, time in found:
        here = WRITES[kind] == BACKEND
        quick = here and kind == "onnx" and (name, time) in (("events", "unrolled"), ("sps membrane", "scan"))
        # from another backend each starts two processes more, and all take the same way
        first = BACKEND == "jax" and (name, kind, time) == ("events", "onnx", "unrolled")
        often = (here and (name, kind, time) not in twice) or first
        marks = [MARKS[kind], *([] if quick else [pytest.mark.slow if often else pytest.mark.proof])]
        yield pytest.param(name, kind, time, marks=marks, id=f"{name}-{kind}-{time}")


def checked(report, model, count):
    """What every report has to say; spikes that rounding decides are listed, and no others."""
    written = report.written
    assert report.images == count and report.classes_changed == 0 and report.runtime
    assert written.unexplained == 0 and report.own.unexplained == 0
    assert len(written.neurons) == sum(isinstance(layer, SpikingNeuron) for layer in model._flatten_layers())
    differing = sum(each.differing for each in written.neurons.values())
    assert differing <= 1e-4 * report.spikes_compared
    assert all(f"{name}: {n.differing:,} of" in str(report) for name, n in written.neurons.items() if n.differing)
    if not differing:
        assert written.difference <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name, kind, time", list(cases()))
def test_the_runtime_gives_the_spikes_of_the_backend_that_wrote_the_file(name, kind, time, tmp_path):
    model = network(name)
    given = images(model)
    path = tmp_path / ("saved" if kind == "folder" else f"net.{kind}")
    report = kspike.export.save(model, path, images=given, time=time)
    checked(report, model, len(given))
    fired = report.written.neurons
    assert report.writer.startswith(WRITES[kind]) and report.batch is None and report.time == time
    sizes = [each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()]
    assert report.bytes == sum(sizes) and len(fired) > 3


@pytest.mark.slow
@ONNX
@pytest.mark.parametrize("path", ["net.onnx", pytest.param("net.xml", marks=OPENVINO)])
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_raw_pixels_are_scaled_in_the_file_as_kspike_scales_them(path, tmp_path):
    data = kspike.data.load("digits", batch_size=60, seed=0)
    card = kspike.zoo.card("auto_spikformer_digits")
    model = kspike.zoo.load("auto_spikformer_digits")
    report = kspike.export.save(model, tmp_path / path, images=data.validation.subset(40), pixels=card["input"])
    checked(report, model, 40)
    assert report.own.spikes_differing <= 2


@pytest.mark.slow
@ONNX
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_the_file_says_what_it_is_and_takes_any_batch(tmp_path):
    import json

    import onnx

    model = network("events")
    names = ["a", "b", "c", "d"]
    kspike.export.save(model, tmp_path / "net.onnx", class_names=names, card="A card.", opset=15)
    file = onnx.load(str(tmp_path / "net.onnx"))
    notes = {each.key: each.value for each in file.metadata_props}
    assert json.loads(notes["kspike.classes"]) == names and notes["kspike.card"] == "A card."
    assert kspike.SpikformerConfig.from_dict(json.loads(notes["kspike.config"])) == model.config
    assert notes["kspike.version"] == kspike.__version__ and file.opset_import[0].version == 15
    assert [each.name for each in file.graph.output] == ["logits"]
    dims = file.graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch" and [each.dim_value for each in dims[1:]] == [3, 8, 8, 2]


@pytest.mark.slow
@ONNX
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_a_loop_over_time_is_onnx_of_the_opset_that_was_asked_for(tmp_path):
    """onnx's own check refused opsets 13 and 14, in which Shape gives all sizes alone."""
    import onnx

    kspike.export.save(network("events"), tmp_path / "net.onnx", time="scan", opset=13)
    file = onnx.load(str(tmp_path / "net.onnx"))
    assert file.opset_import[0].version == 13 and any(node.op_type == "Scan" for node in file.graph.node)


@ONNX
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_a_batch_may_be_fixed(tmp_path):
    model = network("events")
    report = kspike.export.save(model, tmp_path / "net.onnx", images=images(model, 5), batch=2)
    checked(report, model, 5)
    assert report.batch == 2 and "batch fixed at 2" in str(report)


@pytest.mark.slow
@ONNX
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_other_spikes_are_refused_and_nothing_is_written_unless_allowed_by_name(tmp_path, monkeypatch):
    from kspike.export import torch_files

    model = network("events")
    given = images(model)
    kernel = next(v for v in model.weights if v.name == "kernel")
    write = torch_files.write_onnx

    def another(*args):
        before = kspike.export.saving.keras.ops.convert_to_numpy(kernel)
        kernel.assign(before * 1.5)
        try:
            return write(*args)
        finally:
            kernel.assign(before)

    monkeypatch.setattr(torch_files, "write_onnx", another)
    path = tmp_path / "net.onnx"
    path.write_text("before")
    with pytest.raises(ValueError, match=r"(?s)was not written: [\d,]+ spikes differ beyond rounding.*stem/neuron"):
        kspike.export.save(model, path, images=given)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    report = kspike.export.save(model, path, images=given, allow=("spikes",))
    assert report.written.unexplained > 0 and path.read_bytes() != b"before"
    assert (
        np.isfinite(report.written.ulp) and report.to_dict()["written"]["spikes_differing"] == report.spikes_differing
    )


@pytest.mark.proof
@ONNX
@pytest.mark.parametrize("kind", ["twin", "unrolled"])
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_networks_made_of_others(kind, tmp_path):
    fields = {"input_shape": (8, 8, 1), "depth": 1, "mixer": "identity", "residual": "membrane", **SMALL}
    config = kspike.SpikformerConfig(**fields, stem="spikingformer", timesteps=1, neuron="integer")
    levels = kspike.Spikformer(config)
    wake(levels)
    model = kspike.models.ann_twin(config.replace(neuron="lif")) if kind == "twin" else kspike.models.unroll(levels)
    checked(kspike.export.save(model, tmp_path / "net.onnx", images=images(model, 3)), model, 3)


@pytest.mark.proof
@pytest.mark.parametrize("path", [pytest.param(f"net.{k}", marks=MARKS[k], id=k) for k in ("onnx", "xml", "pt2")])
@pytest.mark.parametrize("entry", ["auto_spikformer_digits", "auto_spikformer_c10", "autost_c10", "spikformer_c10"])
@pytest.mark.skipif(BACKEND != "torch", reason="the same way on each backend; torch writes it")
def test_published_entries(entry, path, tmp_path):
    """On random images: the data sets need not be there."""
    model = kspike.zoo.load(entry)
    checked(kspike.export.save(model, tmp_path / path, images=images(model, 16)), model, 16)
