"""PyTorch's files, read without PyTorch: every form that it writes, and what claims more than it holds."""

import argparse
import collections
import difflib
import io
import json
import pathlib
import pickle
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from kspike.convert import from_spikformer
from kspike.convert.checkpoint import read_checkpoint
from tests.convert import reference

pytestmark = pytest.mark.once
torch = pytest.importorskip("torch")
ARGUMENTS = {"num_heads": 4, "input_shape": (16, 16, 3)}
LIMIT = 2**24
DATA = pathlib.Path(__file__).parent / "data"


@pytest.fixture
def tensors():
    return reference.official(reference.network(3, depth=1))


def refused(source, message=None):
    """What a source is refused with, while Python and NumPy take no more memory than any of these files is worth."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            from_spikformer(source, **ARGUMENTS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT, f"{peak:,} bytes"
    return str(caught.value)


def as_torch(tensors):
    return {name: torch.as_tensor(np.array(value)) for name, value in tensors.items()}


def changed(path, change):
    """An archive with its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members:
            archive.writestr(member.filename, change(content) if member.filename.endswith("data.pkl") else content)


def everything():
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    named = {
        "plain": base,
        "view": base[1, 1:, ::2],
        "turned": base.permute(2, 0, 1),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base + 1),
        "bfloat16": torch.tensor([1.5, -0.25, 3.0]).bfloat16(),
        "half": base.half(),
        "double": base.double() / 3,
        **{str(d): base.to(d) for d in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16)},
        "bool": base > 3,
    }
    module = torch.nn.BatchNorm1d(3)
    marked = torch.ones(2)
    marked.note = "an attribute of its own"
    return {**named, "marked": marked, **{f"norm.{name}": value for name, value in module.state_dict().items()}}


@pytest.mark.parametrize("form", ["archive", "old", 3, 4, 5, "without CRC-32"])
def test_every_tensor_is_read_as_it_was_written(tmp_path, form, monkeypatch):
    named = everything()
    options = {"pickle_protocol": form} if isinstance(form, int) else {}
    if form == "old":
        options = {"_use_new_zipfile_serialization": False}
        del named["torch.uint16"]  # cannot be written so
    torch.serialization.set_crc32_options(form != "without CRC-32")
    try:
        torch.save(collections.OrderedDict(named), tmp_path / "w.pth", **options)
    finally:
        torch.serialization.set_crc32_options(True)
    expected = {k: v.detach().float().numpy() if v.is_floating_point() else v.numpy() for k, v in named.items()}
    monkeypatch.setitem(sys.modules, "torch", None)
    read = read_checkpoint(tmp_path / "w.pth").tensors
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        assert read[name].shape == value.shape, name
        np.testing.assert_array_equal(np.asarray(read[name]).astype(value.dtype), value, name)


def test_what_else_training_scripts_save_is_left_out(tmp_path, tensors, monkeypatch):
    # by hand: torch.optim loads the compiler and with it Triton, which ends a process where TensorFlow came first
    optimizer = {
        "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 2)}, 140_245_871_204_672: {}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "maximize": False, "fused": None, "params": [0]}],
    }
    torch.save(
        {
            "state_dict": as_torch(tensors),
            "optimizer": optimizer,
            "scaler": {"scale": 65536.0, "growth_interval": 2000, "_growth_tracker": 1},
            "args": argparse.Namespace(num_heads=4, img_size=16, time_step=2, lr=(1e-3, 2), device=torch.device("cpu")),
            "milestones": collections.Counter({30: 1, 60: 1}),
            "metric": np.float64(95.5),
            "state": torch.get_rng_state(),
            "complex": torch.ones(2, dtype=torch.complex64),
            "size": torch.Size([1, 2]),
            (1, 2): {1, 2},
            "a long number": 2**200,
        },
        tmp_path / "w.pth",
    )
    monkeypatch.setitem(sys.modules, "torch", None)
    found = read_checkpoint(tmp_path / "w.pth")
    assert found.tensors.keys() == tensors.keys()
    assert (found.args["num_heads"], found.args["lr"]) == (4, (1e-3, 2))


def test_learned_time_constants_of_a_torch_file(tmp_path):
    with np.load(DATA / "spikingjelly_learned_tau.npz") as data:
        tensors = {key[2:]: data[key] for key in data.files if key.startswith("w/")}
        arguments = json.loads(str(data["config"])) | {"input_shape": data["images"].shape[1:]}
    torch.save(as_torch(tensors), tmp_path / "w.pth")
    models = from_spikformer(tmp_path / "w.pth", **arguments), from_spikformer(tensors, **arguments)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


# -- tensors that are no array of numbers ------------------------------------------------------------------------------


def odd_tensors():
    plain = torch.ones(16, 16)
    return {
        "expanded": (torch.ones(()).expand(500_000, 50_000), "its storage holds 4: it was expanded"),
        "sparse": (plain.to_sparse(), "sparse"),
        "compressed": (plain.to_sparse_csr(), "sparse"),
        "quantised": (torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8), "a quantised tensor"),
        "meta": (torch.empty(500_000, 50_000, device="meta"), "a meta tensor"),
        "complex": (torch.ones(16, dtype=torch.complex64), "[cC]omplex"),
    }


@pytest.mark.parametrize("kind", ["expanded", "sparse", "compressed", "quantised", "meta", "complex"])
@pytest.mark.parametrize("where", ["archive", "old", "mapping"])
def test_tensors_that_are_no_array_of_numbers(tmp_path, tensors, kind, where):
    tensor, message = odd_tensors()[kind]
    if where == "old" and kind == "meta":
        pytest.skip("PyTorch does not write it")
    state = {**as_torch(tensors), "head.weight": tensor}
    source = state
    if where != "mapping":
        source = tmp_path / "w.pth"
        torch.save(state, source, _use_new_zipfile_serialization=where == "archive")
    refused(source, f"Entry 'head.weight'.*{message}")


def test_tensors_that_lie_on_each_other(tmp_path, tensors):
    tied = torch.ones(2**20)
    few = as_torch(tensors) | {"head.bias": tied[:5], "head.weight": tied[:80].reshape(5, 16)}
    torch.save(few, tmp_path / "few.pth")
    assert from_spikformer(tmp_path / "few.pth", **ARGUMENTS).count_params() > 0  # within reason they may
    torch.save({f"block.{i}.attn.q_linear.weight": tied for i in range(100)}, tmp_path / "many.pth")
    refused(tmp_path / "many.pth", "lie on each other")


# -- files that claim more than they hold ------------------------------------------------------------------------------

SHORT, LONG = b"K\x04", b"J\x00\x00\x00\x10"  # four numbers, and 268 million


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"q\x06" + SHORT, b"q\x06" + LONG, "would hold 268,435,456 numbers"),
        (b"K\x00" + SHORT + b"\x85", b"K\x00" + LONG + b"\x85", "reaches beyond its storage"),
        (b"K\x00" + SHORT + b"\x85", SHORT + SHORT + b"\x85", "reaches beyond its storage"),
        (b"K\x00" + SHORT + b"\x85", b"K\x00J\xff\xff\xff\xff\x85", "natural numbers"),
        (b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x001", "the file has 0 bytes of it"),
        (b"}", b"]", "entries for a list"),
        (b"q\x00", b"h\x63", r"byte 3 \(BINGET\)"),
        (b"torch._utils\n_rebuild_tensor_v2", b"builtins\neval", "needs builtins.eval.*nothing was run"),
        (b"torch._utils\n_rebuild_tensor_v2", b"torch\nload", "needs torch.load"),
        (b"collections\nOrderedDict", b"collections\nCounter.update", "needs collections.Counter.update"),
    ],
)
def test_pickles_that_were_changed(tmp_path, old, new, message):
    torch.save({"a": torch.arange(4.0)}, tmp_path / "w.pth")

    def change(content):
        assert content.count(old) == 1
        return content.replace(old, new)

    changed(tmp_path / "w.pth", change)
    refused(tmp_path / "w.pth", rf"w\.pth .*{message}")


def test_the_older_form_claims_more_than_it_holds(tmp_path):
    torch.save({"a": torch.arange(4.0)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "w.pth").read_bytes()
    count = whole.rindex(struct.pack("<q", 4))
    for claim in (5, 2**40, -1):
        (tmp_path / "w.pth").write_bytes(whole[:count] + struct.pack("<q", claim) + whole[count + 8 :])
        refused(tmp_path / "w.pth", r"w\.pth is not a whole")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_packed_archives_are_refused(tmp_path, compression):
    torch.save({"a": torch.zeros(4)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "w.pth", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content if name != "w/data/0" else b"\0" * 2**20)
    refused(tmp_path / "w.pth", r"w\.pth is not a whole PyTorch file \(its members claim|compressed")


def test_an_altered_storage_is_found_out(tmp_path, tensors):
    torch.save(as_torch(tensors), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    at = whole.index(np.asarray(tensors["head.weight"]).tobytes())
    (tmp_path / "w.pth").write_bytes(whole[:at] + b"\x01\x02\x03\x04" + whole[at + 4 :])
    refused(tmp_path / "w.pth", r"w\.pth is not a whole PyTorch file.*CRC-32")


def pickled(*parts):
    """An archive whose pickle is these opcodes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02" + b"".join(parts) + b".")
    return written.getvalue()


HOSTILE = {
    "memo far out": pickled(b"}r\xff\xff\xff\xff"),
    "deep": pickled(b"]" * 20_000, b"a" * 19_999),
    "deep tuples": pickled(b")", b"\x85" * 20_000),
    "a name of a megabyte": pickled(b"}X", struct.pack("<I", 2**20), b"x" * 2**20, b"K\x01s"),
    "a text that is not there": pickled(b"X\xff\xff\xff\xff"),
    "a number of a megabyte": pickled(b"}\x8b", struct.pack("<I", 2**20), b"\x7f" * 2**20, b"K\x01s"),
    "prefixes": pickled(b"}X", struct.pack("<I", 700_000), b"module." * 100_000, b"K\x01s"),
    "itself": pickled(b"}q\x00X\x01\x00\x00\x00ah\x00s"),
    "nothing": pickled(b""),
    "a mark": pickled(b"((t"),
    "colliding keys": pickled(
        b"}(", *(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"K\x01" for i in range(1, 9999)), b"u"
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles(tmp_path, kind):
    (tmp_path / "w.pth").write_bytes(HOSTILE[kind])
    assert len(refused(tmp_path / "w.pth")) < 2000


@pytest.mark.slow
def test_unknown_names_are_compared_for_the_few_that_are_shown(monkeypatch):
    compared = []
    plain = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda *a, **k: compared.append(len(a[1])) or plain(*a, **k))
    names = [f"block.{i}.attn.q_liner.weight" for i in range(2000)]
    with pytest.raises(ValueError, match=r"unknown \(2000\).*did you mean.*and 1992 more"):
        from_spikformer(dict.fromkeys(["block.0.attn.q_linear.weight", *names], np.zeros(())), **ARGUMENTS)
    assert len(compared) == 8 and max(compared) <= 1000
