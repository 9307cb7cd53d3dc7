"""NIR out and in: what it can say gives the same spikes again, and what it cannot is refused by the layer's name."""

import itertools

import keras
import numpy as np
import pytest

import kspike
from kspike import components
from kspike.convert import from_nir
from kspike.layers.neuron import SpikingNeuron
from tests.components import own
from tests.export.networks import _NIR, NIR, images, nir_config, nir_network
from tests.helpers import wake

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
@pytest.mark.parametrize("kind", ["one step", "events", "without its head", "partly frozen"])
def test_networks_of_every_kind_are_exact(kind, tmp_path):
    """T of 1, frames that differ from step to step, features in place of logits, layers that do not train."""
    fields = {"timesteps": 1} if kind == "one step" else {"input_shape": (3, 8, 8, 2)} if kind == "events" else {}
    config = nir_config(depth=1, mixer="token_qk", stem="single_conv", **fields)
    model = kspike.Spikformer(config, include_top=kind != "without its head")
    wake(model)
    if kind == "partly frozen":
        model.get_layer("stem").trainable = model.get_layer("head").trainable = False
    report = kspike.export.save(model, tmp_path / "net.nir", images=images(model, 6))
    assert report.written.unexplained == 0 and report.own.unexplained == 0 and report.classes_changed == 0
    assert report.spikes_compared > 3000 and report.spikes_differing <= 2


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
    refused(nir.LIF(**{**good, "tau": one(np.inf)}), "odd .*tau of odd is inf")
    refused(nir.LIF(**{**good, "v_threshold": one(-1.0)}), "The node odd .*v_threshold must be")
    refused(nir.Affine(weight=np.full((2, 2), np.nan), bias=np.zeros(2)), "The node odd .*not finite and real")
    refused(nir.Affine(weight=np.ones((2, 2)) * 1j, bias=np.zeros(2)), "The node odd .*not finite and real")
    refused(nir.Affine(weight=np.ones((2, 2)), bias=np.zeros(3)), "The node odd .*shape")
    for dt in (0, float("nan"), True, "1"):
        with pytest.raises(ValueError, match="Expected dt"):
            from_nir(tmp_path / "odd.nir", timesteps=2, dt=dt)


def chain(*nodes):
    """Nodes one behind the other."""
    import nir

    names = [f"node {i}" for i in range(len(nodes))]
    return nir.NIRGraph(dict(zip(names, nodes, strict=True)), list(itertools.pairwise(names)), type_check=False)


@pytest.mark.once
def test_graphs_that_are_no_single_chain_of_layers_are_refused_not_cut_down(tmp_path):
    """A second output, which nir itself adds behind a node that leads nowhere, was taken for the only one."""
    import nir

    given, gives = nir.Input({"input": np.array([2])}), nir.Output({"output": np.array([2])})
    half, double = (nir.Affine(weight=np.eye(2) * by, bias=np.zeros(2)) for by in (0.5, 2.0))
    nodes = {"in": given, "half": half, "double": double, "out": gives}
    path = tmp_path / "net.nir"
    for edges, said in (
        ([("in", "half"), ("half", "out"), ("in", "double")], "Expected one output"),
        ([("in", "half"), ("half", "out"), ("out", "double")], "double takes what out gives|Expected one output"),
        ([("in", "half"), ("half", "double"), ("double", "half"), ("half", "out")], "circle"),
    ):
        nir.write(str(path), nir.NIRGraph(dict(nodes), edges, type_check=False))
        with pytest.raises(ValueError, match=said):
            from_nir(path, timesteps=1)
    flat = nir.Flatten({"input": np.array([2, 3, 3])}, 1, -1)
    nir.write(str(path), chain(nir.Input({"input": np.array([2, 3, 3])}), flat, nir.Output({"output": [2, 9]})))
    with pytest.raises(ValueError, match=r"node 1 .*flattens to \[2, 9\]"):
        from_nir(path, timesteps=1)


@pytest.mark.once
def test_a_file_that_says_more_numbers_than_it_holds_is_refused_unread(tmp_path):
    """Numbers that were never written cost a file nothing, and its reader all its memory."""
    import h5py
    import nir

    path = tmp_path / "net.nir"
    nir.write(str(path), chain(nir.Input({"input": np.array([2])}), nir.Output({"output": np.array([2])})))
    with h5py.File(path, "a") as file:
        file.create_dataset("node/nodes/weight", shape=(10**5, 10**5), dtype="float64")
    with pytest.raises(ValueError, match="bytes of numbers, more than its size allows"):
        from_nir(path, timesteps=1)
    with h5py.File(path, "a") as file:
        del file["node/nodes/weight"]
        file["node/nodes/weight"] = h5py.ExternalLink("other.h5", "/weight")
    with pytest.raises(ValueError, match="in another file"):
        from_nir(path, timesteps=1)


@pytest.mark.shared
def test_sums_are_whole_and_flattened_channels_come_first(tmp_path):
    """Names of nodes may be anything; no two layers have one name."""
    import nir

    rng = np.random.default_rng(0)
    spikes = rng.integers(0, 2, (3, 2, 6, 6, 2)).astype("float32")
    sides = np.array([3, 3])
    nodes = [
        nir.Input({"input": np.array([2, 6, 6])}), nir.SumPool2d(sides, sides, np.array([0, 0])),
        nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1), nir.Output({"output": np.array([8])}),
    ]  # fmt: skip
    nir.write(str(tmp_path / "sum.nir"), chain(*nodes))
    found = keras.ops.convert_to_numpy(from_nir(tmp_path / "sum.nir", timesteps=2)(spikes))
    sums = spikes.reshape(3, 2, 2, 3, 2, 3, 2).sum(axis=(3, 5))
    np.testing.assert_array_equal(found, sums.transpose(0, 1, 4, 2, 3).reshape(3, 2, 8))
    names = ["in", "a.b", "a_b", "Größe 1", "out"]
    eye = lambda: nir.Affine(weight=np.eye(2), bias=np.zeros(2))
    ends = nir.Input({"input": np.array([2])}), nir.Output({"output": np.array([2])})
    graph = nir.NIRGraph(
        dict(zip(names, [ends[0], eye(), eye(), eye(), ends[1]], strict=True)), list(itertools.pairwise(names))
    )
    nir.write(str(tmp_path / "names.nir"), graph)
    model = from_nir(tmp_path / "names.nir", timesteps=1)
    assert [layer.name for layer in model.layers] == ["in", "a_b", "a_b_2", "Gr__e_1"]
    assert keras.ops.convert_to_numpy(model(np.ones((1, 1, 2), "float32"))).tolist() == [[[1.0, 1.0]]]
