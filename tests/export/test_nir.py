"""NIR out and in: what it can say gives the same spikes again, and what it cannot is refused by the layer's name."""

import keras
import numpy as np
import pytest

import kspike
from kspike import components
from kspike.convert import from_nir
from kspike.layers.neuron import SpikingNeuron
from tests.components import own
from tests.export.networks import _NIR, NIR, images, nir_config, nir_network

pytestmark = NIR


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", [name if name in ("add", "if") else pytest.param(name, marks=pytest.mark.slow) for name in _NIR]
)
def test_a_file_read_again_gives_the_same_spikes(name, tmp_path):
    model = nir_network(name)
    report = kspike.export.save(model, tmp_path / "net.nir", images=images(model, 20))
    written = report.written
    assert written.unexplained == 0 and report.classes_changed == 0 and report.images == 20
    assert len(written.neurons) == sum(isinstance(layer, SpikingNeuron) for layer in model._flatten_layers())
    assert written.spikes_differing <= 1e-4 * written.spikes_compared and written.spikes_compared > 3000
    if not written.spikes_differing:
        assert written.ulp < 100


@pytest.mark.once
def test_ties_at_the_threshold_fire(tmp_path):
    """token_qk's gate reaches 0.5 exactly with one spike of a head: h = 1 / 2."""
    import nir

    graph = nir.NIRGraph(
        nodes={
            "input": nir.Input(input_type={"input": np.array([1, 1, 1])}),
            "tie": nir.LIF(
                tau=np.full((1, 1, 1), 2e-4), r=np.ones((1, 1, 1)), v_leak=np.zeros((1, 1, 1)),
                v_threshold=np.full((1, 1, 1), 0.5), v_reset=np.zeros((1, 1, 1)),
            ),
            "output": nir.Output(output_type={"output": np.array([1, 1, 1])}),
        },
        edges=[("input", "tie"), ("tie", "output")],
    )  # fmt: skip
    nir.write(str(tmp_path / "tie.nir"), graph)
    model = from_nir(tmp_path / "tie.nir", timesteps=3)
    frames = np.array([1.0, 0.999, 1.0], "float32").reshape(1, 3, 1, 1, 1)
    assert keras.ops.convert_to_numpy(model(frames)).ravel().tolist() == [1.0, 0.0, 1.0]
    assert model.get_layer("tie").tau == 2.0


@pytest.mark.once
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {},
            r"cannot say block_0/attention: it takes the product of two moving tensors, q k\^T v. token_qk, .* can say",
        ),
        ({"mixer": "identity", "v_reset": None}, r"cannot say stem: .*soft reset \(neuron_0.*v_reset=0.0 can be said"),
        ({"mixer": "identity", "pool_after": "norm"}, "cannot say stem: .*max-pool of real numbers; one of spikes can"),
        ({"mixer": "identity", "neuron": "integer", "stem": "single_conv"}, "cannot say stem: .*neurons integer"),
        (
            {"mixer": "max_pool", "residual": "membrane", "stem": "single_conv"},
            "cannot say block_0/attention: .*max-pool",
        ),
    ],
)
def test_what_nir_cannot_say_is_refused_by_the_layers_name(fields, said, tmp_path):
    model = kspike.Spikformer(nir_config(depth=1, **fields))
    with pytest.raises(ValueError, match=said):
        kspike.export.save(model, tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_components_of_the_users_are_read_or_refused_by_name(tmp_path, monkeypatch):
    back = own.forget()
    try:
        own.write(tmp_path, "elsewhere_nir")
        module = own.imported(tmp_path, "elsewhere_nir", monkeypatch)
        adaptive = kspike.Spikformer(nir_config(depth=1, mixer="identity", neuron=module.ALIF(), stem="single_conv"))
        with pytest.raises(ValueError, match=r"cannot say stem: it takes neurons elsewhere_nir_alif \(neuron\)"):
            kspike.export.save(adaptive, tmp_path / "net.nir")
        model = kspike.Spikformer(nir_config(depth=1, mixer=components.get("mixer", "elsewhere_nir_gate")))
        try:
            report = kspike.export.save(model, tmp_path / "net.nir", images=images(model))
            assert report.written.unexplained == 0
        except ValueError as error:
            assert "cannot say block_0/attention" in str(error)
    finally:
        back()


@pytest.mark.once
def test_files_of_others(tmp_path):
    import nir

    with pytest.raises(FileNotFoundError, match="No .nir file"):
        from_nir(tmp_path / "none.nir", timesteps=2)
    (tmp_path / "text.nir").write_text("no network")
    with pytest.raises(ValueError, match="is no .nir file that can be read here"):
        from_nir(tmp_path / "text.nir", timesteps=2)
    with pytest.raises(ValueError, match="timesteps"):
        from_nir(tmp_path / "text.nir", timesteps=0)
    one = lambda value: np.full((2,), value)

    def refused(node, said):
        graph = nir.NIRGraph(
            nodes={
                "input": nir.Input(input_type={"input": np.array([2])}), "odd": node,
                "output": nir.Output(output_type={"output": np.array([2])}),
            },
            edges=[("input", "odd"), ("odd", "output")],
        )  # fmt: skip
        nir.write(str(tmp_path / "odd.nir"), graph)
        with pytest.raises(ValueError, match=said):
            from_nir(tmp_path / "odd.nir", timesteps=2)

    good = {"tau": one(2e-4), "r": one(1.0), "v_leak": one(0.0), "v_threshold": one(1.0), "v_reset": one(0.0)}
    refused(nir.LIF(**{**good, "tau": np.array([2e-4, 3e-4])}), "tau of odd has 2 values")
    refused(nir.LIF(**{**good, "v_leak": one(0.1)}), "v_leak of odd")
    refused(nir.LIF(**{**good, "r": one(7.0)}), "r of odd is 7")
    refused(nir.Scale(scale=one(2.0)), "The node odd is a Scale, which has no layer here")
