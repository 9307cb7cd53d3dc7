"""Files and wrappers: what can be read, and what is refused without harm."""

import argparse
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from kspike.convert import from_spikformer
from kspike.convert.checkpoint import read_checkpoint
from tests.convert import reference
from tests.helpers import to_numpy

pytestmark = pytest.mark.shared

ARGUMENTS = {"num_heads": 4, "input_shape": (16, 16, 3)}


@pytest.fixture(scope="module")
def net():
    return reference.network(3, depth=1)


@pytest.fixture(scope="module")
def tensors(net):
    return reference.official(net)


def safetensors_bytes(tensors, metadata=True):
    """The public format, written by hand."""
    codes = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "uint16": "BF16"}
    header, body = {"__metadata__": {"format": "pt"}} if metadata else {}, b""
    for name, array in tensors.items():
        array = np.asarray(array)
        data = array.tobytes()
        header[name] = {
            "dtype": codes[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + body


def same_head(model, tensors):
    np.testing.assert_array_equal(to_numpy(model.get_layer("head").kernel), tensors["head.weight"].T)


def test_npz_and_safetensors_read_alike(tmp_path, tensors):
    np.savez(tmp_path / "w.npz", **tensors)
    (tmp_path / "w.safetensors").write_bytes(safetensors_bytes(tensors))
    for name in ("w.npz", "w.safetensors"):
        read = read_checkpoint(tmp_path / name).tensors
        assert read.keys() == tensors.keys()
        assert all(np.array_equal(read[key], tensors[key]) for key in tensors)
        same_head(from_spikformer(str(tmp_path / name), **ARGUMENTS), tensors)


def test_safetensors_of_the_reference_library(tmp_path, tensors):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({key: np.asarray(value) for key, value in tensors.items()}, tmp_path / "w.safetensors")
    read = read_checkpoint(tmp_path / "w.safetensors").tensors
    assert all(np.array_equal(read[key], tensors[key]) for key in tensors)


def test_half_precision_is_widened_exactly(tmp_path):
    halves = np.array([1.5, -0.25, 3.0], "float32")
    stored = {"bf16": (halves.view("uint32") >> 16).astype("uint16"), "f16": halves.astype("float16")}
    (tmp_path / "w.safetensors").write_bytes(safetensors_bytes(stored))
    read = read_checkpoint(tmp_path / "w.safetensors").tensors
    np.testing.assert_array_equal(read["bf16"], halves)
    np.testing.assert_array_equal(read["f16"], halves)


@pytest.mark.parametrize("prefixes", ["module.", "_orig_mod.module.", "model."])
def test_prefixes_fall(tensors, prefixes):
    same_head(from_spikformer({prefixes + key: value for key, value in tensors.items()}, **ARGUMENTS), tensors)


def test_wrappers_and_the_moving_average(tensors):
    average = {key: value + 1 if key == "head.weight" else value for key, value in tensors.items()}
    checkpoint = {
        "epoch": 3,
        "arch": "spikformer",
        "state_dict": tensors,
        "state_dict_ema": {f"module.{key}": value for key, value in average.items()},
        "optimizer": {"state": {}, "param_groups": []},
    }
    same_head(from_spikformer(checkpoint, **ARGUMENTS), tensors)
    same_head(from_spikformer(checkpoint, which="state_dict_ema", **ARGUMENTS), average)
    same_head(from_spikformer({"model": tensors, "epoch": 1}, **ARGUMENTS), tensors)
    with pytest.raises(ValueError, match="No entry 'ema'.*state_dict_ema"):
        from_spikformer(checkpoint, which="ema", **ARGUMENTS)


def test_training_arguments_are_used_where_none_is_given(tensors):
    args = argparse.Namespace(num_heads=8, time_step=2, img_size=16, num_classes=None, mean=[0.5])
    config = from_spikformer({"state_dict": tensors, "args": args}).config
    assert (config.num_heads, config.timesteps, config.input_shape) == ((8,), 2, (16, 16, 3))
    config = from_spikformer({"state_dict": tensors, "args": vars(args)}, num_heads=2, timesteps=3).config
    assert (config.num_heads, config.timesteps) == ((2,), 3)


def test_torch_files(tmp_path, tensors):
    torch = pytest.importorskip("torch")
    state = {f"module.{key}": torch.as_tensor(np.asarray(value)) for key, value in tensors.items()}
    state["module.head.weight"] = torch.nn.Parameter(state["module.head.weight"])
    args = argparse.Namespace(num_heads=4, time_step=4, img_size=16, opt_betas=None, scale=[1.0, 1.0])
    torch.save({"state_dict": state, "args": args, "metric": 95.5}, tmp_path / "best.pth.tar")
    torch.save(state, tmp_path / "plain.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    same_head(from_spikformer(tmp_path / "best.pth.tar"), tensors)
    same_head(from_spikformer(tmp_path / "plain.pt", **ARGUMENTS), tensors)
    same_head(from_spikformer(tmp_path / "old.pth", **ARGUMENTS), tensors)
    same_head(from_spikformer(state, **ARGUMENTS), tensors)  # tensors that need gradients, straight from a module
    half = {key: value.detach().bfloat16() for key, value in state.items()}
    assert from_spikformer(half, **ARGUMENTS).count_params() > 0


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_code_is_refused_and_not_run(tmp_path, tensors):
    trap = str(tmp_path / "trap")
    np.savez(tmp_path / "w.npz", **{**tensors, "extra": np.array([Malicious(trap)], object)})
    with pytest.raises(ValueError, match="Python objects"):
        from_spikformer(tmp_path / "w.npz", **ARGUMENTS)
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {}, "args": Malicious(trap)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="posix.mkdir.*nothing was run|nt.mkdir.*nothing was run"):
        from_spikformer(tmp_path / "w.pth", **ARGUMENTS)
    with open(tmp_path / "raw.pth", "wb") as file:
        pickle.dump(Malicious(trap), file, protocol=2)
    with pytest.raises(ValueError, match=r"raw\.pth"):
        from_spikformer(tmp_path / "raw.pth", **ARGUMENTS)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ValueError, match="Save only the state dict"):
        from_spikformer(tmp_path / "module.pth", **ARGUMENTS)
    assert not os.path.exists(trap)


def test_cut_files(tmp_path, tensors):
    np.savez(tmp_path / "w.npz", **tensors)
    (tmp_path / "w.safetensors").write_bytes(safetensors_bytes(tensors))
    names = ["w.npz", "w.safetensors"]
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.save({key: torch.as_tensor(np.asarray(value)) for key, value in tensors.items()}, tmp_path / "w.pth")
        names.append("w.pth")
    for name in names:
        whole = (tmp_path / name).read_bytes()
        for size in (0, 5, 100, len(whole) // 2, len(whole) - 3):
            (tmp_path / f"cut_{name}").write_bytes(whole[:size])
            with pytest.raises(ValueError, match="is not a whole"):
                from_spikformer(tmp_path / f"cut_{name}", **ARGUMENTS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}, "not fully covered"),
        ({"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}, "overflow"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "invalid shape"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "invalid offset"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}, "invalid value.* line 1 column 6"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "invalid type"),
        ({"dtype": "F32", "shape": [2] + [1] * 100, "data_offsets": [0, 8]}, "dimension"),
        ({"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}, "invalid type: sequence.* line 1 column"),
        ({"dtype": "F8_E5M2", "shape": [8], "data_offsets": [0, 8]}, "dtype 'F8_E5M2'"),
        ({"dtype": "F32", "shape": [1]}, "missing field"),
        ({"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "not fully covered"),
        ([1, 2], "invalid type"),
    ],
)
def test_safetensors_headers_that_lie(tmp_path, entry, message):
    head = json.dumps({"a": entry}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * 8)
    with pytest.raises(ValueError, match=rf"w\.safetensors is not a whole .*{message}"):
        read_checkpoint(tmp_path / "w.safetensors")


DEEP = [b"[" * 100_000, b'{"a": ' * 100_000, b'{"a": {"dtype": "F32", "x": ' + b"[" * 100_000]


@pytest.mark.parametrize("head", [b"[1]", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', *DEEP])
def test_safetensors_headers_that_are_none(tmp_path, head):
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(ValueError, match=r"w\.safetensors is not a whole .*header"):
        read_checkpoint(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 2**60) + head)
    with pytest.raises(ValueError, match="header too large"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_npz_that_claims_more_than_it_holds(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 4)
    with pytest.raises(ValueError, match="claims shape"):
        read_checkpoint(tmp_path / "w.npz")


def npz(path, *members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def npy(header, body=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


PLAIN = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(PLAIN)[:30], "EOF|expected"),
        (npy(PLAIN[:20], b"\0" * 4), ""),
        (npy(b"{'descr': (((", b"\0" * 4), ""),
        (npy(b"(" * 9000, b"\0" * 4), ""),
        (npy(b"-" * 9000 + b"1", b"\0" * 4), ""),
        (npy(b"\xff" * 50, b"\0" * 4), ""),
        (npy(PLAIN.replace(b"(1,)", b"(-1, -1)"), b"\0" * 4), "claims shape"),
        (npy(PLAIN.replace(b"<f4", b"|V0")), "not numbers"),
        (npy(PLAIN.replace(b"<f4", b"<U1"), b"\0" * 4), "not numbers"),
        (b"", ""),
        (b"no array", ""),
    ],
)
def test_npz_with_a_broken_header(tmp_path, content, message):
    npz(tmp_path / "w.npz", ("a.npy", content))
    with pytest.raises(
        ValueError, match=rf"w\.npz is not a whole .npz archive of plain arrays: 'a.npy': .*({message})"
    ):
        read_checkpoint(tmp_path / "w.npz")


def test_npz_that_is_encrypted(tmp_path):
    content = npz(tmp_path / "w.npz", ("a.npy", npy(PLAIN, b"\0" * 4))).read_bytes()
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag, in both of its places
        at = content.index(signature) + place
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.npz is not a whole .*'a.npy': .*encrypted"):
        read_checkpoint(tmp_path / "w.npz")


def test_npz_that_unpacks_to_far_more(tmp_path):
    npz(tmp_path / "w.npz", ("a.npy", b"\0" * 2**27), compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.npz").stat().st_size < 2**18
    with pytest.raises(ValueError, match="would unpack to"):
        read_checkpoint(tmp_path / "w.npz")
    npz(tmp_path / "w.npz", ("a.npy", b"\0" * 100), compression=zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="as NumPy never does"):
        read_checkpoint(tmp_path / "w.npz")


def test_numbers_that_float32_does_not_hold(tensors):
    for value in (1e39, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"not finite \(NaN or infinity\) \(1\): head.bias"):
            from_spikformer({**tensors, "head.bias": np.full(5, value)}, **ARGUMENTS)


@pytest.mark.parametrize("bad", [[[1], [1, 2]], "text", 1j, None, object(), {1: 2}])
def test_entries_that_are_no_numbers(tensors, bad):
    with pytest.raises(ValueError, match="Entry 'head.bias' is .*, not an array of numbers"):
        from_spikformer({**tensors, "head.bias": bad}, **ARGUMENTS)
    with pytest.raises(ValueError, match="names of parameters"):
        from_spikformer({**tensors, 5: np.zeros(5)}, **ARGUMENTS)


def test_other_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        from_spikformer(tmp_path / "nowhere.npz")
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.safetensors, \.npz, \.pth"):
        from_spikformer(tmp_path / "w.onnx")
    with pytest.raises(ValueError, match="mapping from parameter name"):
        from_spikformer(3)
    with pytest.raises(ValueError, match="'optimizer' is dict.*state dict"):
        from_spikformer({"optimizer": {}, "net": {}})
