"""Files changed at random: each is refused with a ValueError, in little memory, or gives a model of finite weights."""

import argparse
import functools
import io
import random
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from kspike.convert import from_spikformer
from kspike.convert import spikformer as converting
from tests.convert import reference
from tests.convert.test_checkpoint import safetensors_bytes

pytestmark = pytest.mark.once
#: Bytes that Python and NumPy may take for a file of 30 KB.
LIMIT = 2**25
EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f"]
NUMBERS = ["0", "-1", "1", "2147483648", "18446744073709551616", "1e9", "9" * 30, "true", "[]", "null", '"F64"', "(2,)"]


@pytest.fixture(scope="module")
def files():
    """A small network in every form that is read."""
    tensors = reference.official(reference.network(3, dim=8, depth=1, hidden=12), dead=False)
    found = {".safetensors": safetensors_bytes(tensors)}
    for kind, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        written = io.BytesIO()
        save(written, **tensors)
        found[f"{kind}.npz"] = written.getvalue()
    try:
        import torch
    except ImportError:
        return found
    state = {name: torch.as_tensor(np.array(value)) for name, value in tensors.items()}
    args = argparse.Namespace(num_heads=4, time_step=4, img_size=16)
    for name, content, new in (
        ("archive.pth", state, True),
        ("old.pt", state, False),
        ("wrapped.pth.tar", {"state_dict": state, "args": args, "epoch": 3}, True),
        ("old.pth.tar", {"state_dict": state, "args": args, "epoch": 3}, False),
    ):
        written = io.BytesIO()
        torch.save(content, written, _use_new_zipfile_serialization=new)
        found[name] = written.getvalue()
    return found


# -- changes: bytes and a source of chance in, bytes out ---------------------------------------------------------------


def flip(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def extreme(content, rng):
    new, at = rng.choice(EXTREMES), rng.randrange(len(content))
    return content[:at] + new + content[at + len(new) :]


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def drop(content, rng):
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.choice([1, 4, 64]) :]


def repeat(content, rng):
    at = rng.randrange(len(content))
    return content[: at + 64] + content[at : at + 64] * rng.choice([1, 9]) + content[at + 64 :]


def move(content, rng):
    start, at = rng.randrange(len(content)), rng.randrange(len(content))
    return content[:at] + content[start : start + 100] + content[at:]


def number(content, rng):
    """Another number, or no number, where digits stand."""
    places = list(re.finditer(rb"\d+", content))
    if not places:
        return flip(content, rng)
    found = rng.choice(places)
    return content[: found.start()] + rng.choice(NUMBERS).encode() + content[found.end() :]


def word(content, rng):
    """One name in the place of another."""
    places = list(re.finditer(rb"[A-Za-z_.]{4,}", content))
    if not places:
        return flip(content, rng)
    old, new = rng.choice(places), rng.choice(places)
    return content[: old.start()] + new[0] + content[old.end() :]


CHANGES = [flip, extreme, cut, drop, repeat, move, number, word]


def rewritten(content, rng, change):
    """An archive with one member changed and every sum right again: what is behind the sums is reached."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    pickled = [i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")]
    chosen = rng.choice(pickled) if pickled and rng.random() < 0.7 else rng.randrange(len(members))
    written = io.BytesIO()
    with zipfile.ZipFile(
        written, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    ) as archive:
        for i, (name, inside) in enumerate(members):
            archive.writestr(name, change(inside, rng) if i == chosen and inside else inside)
    return written.getvalue()


def reheaded(content, rng, change):
    """A .safetensors file with its header changed and the header's length right again."""
    (length,) = struct.unpack("<Q", content[:8])
    head = change(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(head)) + head + content[8 + length :]


def mutated(name, content, rng):
    change = rng.choice(CHANGES)
    if rng.random() < 0.3:
        return change(content, rng)
    if content[:2] == b"PK":
        return rewritten(content, rng, change)
    if name.endswith(".safetensors"):
        return reheaded(content, rng, change)
    end = content.rindex(b".") if rng.random() < 0.5 else 8000  # the pickles of the older form stand in front
    return change(content[:end], rng) + content[end:]


COUNTS = [pytest.param(200, marks=pytest.mark.slow), pytest.param(2000, marks=pytest.mark.proof)]


@pytest.mark.parametrize("count", COUNTS)
def test_changed_files_are_refused_or_give_a_whole_model(tmp_path, files, monkeypatch, count):
    build = functools.lru_cache(converting.Spikformer)  # the same few networks come again and again
    monkeypatch.setattr(converting, "Spikformer", build)
    seen = {"refused": 0, "converted": 0}
    for seed in range(count):
        rng = random.Random(seed)
        name = rng.choice(sorted(files))
        path = tmp_path / f"w{name}" if name.startswith(".") else tmp_path / name
        path.write_bytes(mutated(name, files[name], rng))
        tracemalloc.start()
        try:
            model = from_spikformer(path, num_heads=4, input_shape=(16, 16, 3))
        except ValueError as error:
            seen["refused"] += 1
            assert len(str(error)) < 5000, (seed, name)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}: {type(error).__name__}: {error}") from error
        else:
            seen["converted"] += 1
            for weight in model.get_weights():
                assert np.isfinite(weight).all(), (seed, name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LIMIT, f"seed {seed}, {name}: {peak:,} bytes"
    assert min(seen.values()) > count // 20, seen  # else nothing is reached, or nothing found out
