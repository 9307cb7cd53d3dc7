"""Every way in which an entry can be wrong is told before anything is built or opened."""

from __future__ import annotations

import json
import os

import h5py
import numpy as np
import pytest

import kspike
from kspike.zoo import weights as storage

pytestmark = pytest.mark.once


@pytest.fixture
def unopened(monkeypatch):
    """Fails the test if the weights reach h5py, or a model is built."""

    def opened(*args, **kwargs):
        raise AssertionError("the entry was opened before it was checked")

    monkeypatch.setattr(h5py, "File", opened)
    monkeypatch.setattr(storage, "build", opened)


def _flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.weights.h5", "config.json"])
@pytest.mark.parametrize("offset", [0, 100, -1])
def test_one_flipped_bit_is_found_in_the_hash(entry, monkeypatch, file, offset):
    monkeypatch.setattr(h5py, "File", None)
    _flip(entry / file, offset)
    with pytest.raises(ValueError, match="was altered"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("seed", range(84))
def test_one_flipped_bit_of_the_metadata_is_found_in_its_hash(entry, unopened, seed):
    path, rng = entry / "metadata.json", np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    at = int(rng.choice([i for i, byte in enumerate(content) if chr(byte) not in " \n"]))
    content[at] ^= 1 << int(rng.integers(7))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"metadata\.json|received a folder without it"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("key", ["mean", "std", "class_names", "accuracy", "notes", "metadata_sha256"])
def test_what_a_card_says_is_covered(entry, key):
    path = entry / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    (metadata["input"] if key in ("mean", "std") else metadata)[key] = {"mean": [0.5], "std": [0.5]}.get(key, "mine")
    path.write_text(json.dumps(metadata), "utf-8")
    for read in (kspike.zoo.card, kspike.zoo.load, lambda name: kspike.zoo.preprocess(np.zeros((1, 8, 8, 1)), name)):
        with pytest.raises(ValueError, match="SHA-256 that it states of itself.*altered or damaged"):
            read(entry)


@pytest.mark.parametrize("taken", [["metadata_sha256"], ["files", "README.md"]])
def test_half_of_the_hashes_is_no_entry_from_before(entry, taken):
    path = entry / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    holder = metadata["files"] if len(taken) > 1 else metadata
    del holder[taken[-1]]
    path.write_text(json.dumps(metadata), "utf-8")
    with pytest.raises(ValueError, match="altered or damaged"):
        kspike.zoo.card(entry)


def test_spaces_and_order_of_the_metadata_are_not_covered(entry):
    path = entry / "metadata.json"
    before = kspike.zoo.card(entry)
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text("utf-8")).items())), indent=7), "utf-8")
    assert kspike.zoo.card(entry) == before


def test_another_readme_is_told_by_verify_and_by_nothing_that_does_not_read_it(entry, digits):
    with open(entry / "README.md", "a") as file:
        file.write("100 % of the test images.\n")
    with pytest.raises(ValueError, match=r"README\.md.*was altered"):
        kspike.zoo.verify(entry, data=digits)
    assert kspike.zoo.load(entry).config.embed_dim == 16
    (entry / "README.md").unlink()
    with pytest.raises(ValueError, match=r"README\.md.*incomplete"):
        kspike.zoo.verify(entry, data=digits)


def test_an_entry_from_before_is_read_as_ever(entry, model):
    path = entry / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    del metadata["metadata_sha256"], metadata["files"]["README.md"]
    path.write_text(json.dumps(metadata), "utf-8")
    (entry / "README.md").unlink()
    assert kspike.zoo.load(entry).config == model.config
    assert [check.what for check in kspike.zoo.verify(entry).checks[:3]] == [
        "SHA-256 of config.json",
        "SHA-256 of model.weights.h5",
        "test images",
    ]


def test_truncated_weights_are_refused(entry, unopened):
    path = entry / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_though_their_hash_is_right(entry, rewrite, number):
    with h5py.File(entry / "model.weights.h5", "r+") as file:
        found = []
        file.visititems(lambda _, child: found.append(child) if isinstance(child, h5py.Dataset) else None)
        found[0][..., 0] = number
    rewrite(entry, **{"model.weights.h5": (entry / "model.weights.h5").read_bytes()})
    for read in (kspike.zoo.load, kspike.zoo.verify):
        with pytest.raises(ValueError, match=r"tiny_digits.v1; .* holds NaN or infinity"):
            read(entry)


def test_a_git_lfs_pointer_is_no_weight_file(entry, unopened):
    (entry / "model.weights.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="truncated or not the"):
        kspike.zoo.load(entry, weights=False)


@pytest.mark.parametrize("file", ["model.weights.h5", "config.json"])
def test_a_missing_file_is_named(entry, unopened, file):
    (entry / file).unlink()
    with pytest.raises(ValueError, match=f"{file}.*incomplete"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("file", ["model.weights.h5", "config.json", "metadata.json"])
def test_symbolic_links_are_refused(entry, unopened, tmp_path, file):
    (entry / file).rename(tmp_path / "elsewhere")
    (entry / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="symbolic link"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("file", ["model.weights.h5", "config.json", "metadata.json"])
def test_hard_links_are_refused(entry, unopened, tmp_path, file):
    os.link(entry / file, tmp_path / "other_name")
    with pytest.raises(ValueError, match="hard link"):
        kspike.zoo.load(entry)


def test_the_zoo_of_the_package_may_be_hard_linked_by_an_installer(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(kspike.zoo.naming._resources, "published", lambda name: entry.parent)
    os.link(entry / "model.weights.h5", tmp_path / "cache_of_uv")
    assert kspike.zoo.load("tiny_digits").config.embed_dim == 16


def test_a_named_pipe_does_not_hang(entry, unopened):
    (entry / "model.weights.h5").unlink()
    os.mkfifo(entry / "model.weights.h5")
    with pytest.raises(ValueError, match="plain file"):
        kspike.zoo.load(entry)


def test_a_file_swapped_while_it_is_read_is_not_what_gets_loaded(entry, model, monkeypatch):
    """What was hashed is what is used: the path is not opened a second time."""
    path, read = entry / "model.weights.h5", kspike.zoo.files.read_bounded

    def swapped(opened, *args, **kwargs):
        content = read(opened, *args, **kwargs)
        if opened == path:
            path.write_bytes(b"something else")
        return content

    monkeypatch.setattr(kspike.zoo.files, "read_bounded", swapped)
    loaded = kspike.zoo.load(entry)
    assert path.read_bytes() == b"something else"
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# A hostile author writes hashes that fit; then sizes, links and contents are checked.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth", 10**9),
        ("embed_dim", 10**12),
        ("input_shape", [10**6, 10**6, 3]),
        ("timesteps", 10**9),
        ("num_classes", 10**15),
        ("num_heads", [2] * 100_000),
        ("stem_channels", [10**9] * 3),
        ("mlp_ratio", 1e300),
        ("tau", {"stem": [2.0] * 100_000}),
        ("input_shape", [4000, 4000, 64]),
    ],
)
def test_absurd_sizes_in_the_config_are_refused(entry, rewrite, unopened, monkeypatch, key, value):
    raw = json.loads((entry / "config.json").read_text())
    rewrite(entry, config__json=json.dumps({**raw, key: value}).encode())
    monkeypatch.setattr(kspike.SpikformerConfig, "from_dict", lambda raw: pytest.fail("the config was made"))
    with pytest.raises(ValueError, match="Expected"):
        kspike.zoo.load(entry)


def test_a_config_larger_than_its_weights_is_refused(entry, rewrite, unopened):
    raw = json.loads((entry / "config.json").read_text())
    rewrite(entry, config__json=json.dumps({**raw, "embed_dim": 4096}).encode())
    with pytest.raises(ValueError, match="do not belong together"):
        kspike.zoo.load(entry)


def test_a_config_of_other_parameters_than_the_card_is_refused(entry, rewrite, unopened):
    raw = json.loads((entry / "config.json").read_text())
    rewrite(entry, config__json=json.dumps({**raw, "mlp_ratio": [2.0]}).encode())
    with pytest.raises(ValueError, match="parameters of its card"):
        kspike.zoo.load(entry)


def test_an_unknown_key_in_the_config_is_refused(entry, rewrite, unopened):
    raw = json.loads((entry / "config.json").read_text())
    rewrite(entry, config__json=json.dumps({**raw, "embed_dims": 16}).encode())
    with pytest.raises(ValueError, match="embed_dims"):
        kspike.zoo.load(entry)


def test_a_class_named_in_a_file_is_never_imported(entry, rewrite, unopened):
    keras_config = {"module": "os", "class_name": "system", "config": {"command": "false"}, "registered_name": None}
    rewrite(entry, config__json=json.dumps(keras_config).encode())
    with pytest.raises(ValueError, match="module"):
        kspike.zoo.load(entry)


def _h5(entry, edit) -> bytes:
    path = entry / "edited.h5"
    path.write_bytes((entry / "model.weights.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        edit(file, _kernel(file))
    return path.read_bytes()


def _kernel(file) -> str:
    """The path of the largest array."""
    found = []
    file.visititems(lambda name, item: found.append((item.size, name)) if isinstance(item, h5py.Dataset) else None)
    return max(found)[1]


def _replace(file, path, make):
    shape = file[path].shape
    del file[path]
    make(shape)


EDITS = {
    "soft link": lambda file, path: _replace(file, path, lambda shape: file.__setitem__(path, h5py.SoftLink("/vars"))),
    "external link": lambda file, path: _replace(
        file, path, lambda shape: file.__setitem__(path, h5py.ExternalLink("/etc/passwd", "/"))
    ),
    "external storage": lambda file, path: _replace(
        file,
        path,
        lambda shape: file.create_dataset(path, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]),
    ),
    "virtual": lambda file, path: _replace(
        file, path, lambda shape: file.create_virtual_dataset(path, h5py.VirtualLayout(shape, "f4"))
    ),
    "shape bomb": lambda file, path: _replace(
        file, path, lambda shape: file.create_dataset(path, (2**40,), "f4", chunks=(1024,), compression="gzip")
    ),
    "never written": lambda file, path: _replace(file, path, lambda shape: file.create_dataset(path, shape, "f4")),
    "compressed": lambda file, path: _replace(
        file, path, lambda shape: file.create_dataset(path, data=np.zeros(shape, "f4"), compression="gzip")
    ),
    "other shape": lambda file, path: _replace(
        file, path, lambda shape: file.create_dataset(path, data=np.zeros(shape[::-1], "f4"))
    ),
    "other type": lambda file, path: _replace(
        file, path, lambda shape: file.create_dataset(path, data=np.zeros(shape, "f8"))
    ),
    "text": lambda file, path: _replace(file, path, lambda shape: file.create_dataset(path, data="pickle")),
    "missing": lambda file, path: _replace(file, path, lambda shape: None),
    "one too many": lambda file, path: file.create_dataset("more", data=np.zeros(3, "f4")),
    "a ring of groups": lambda file, path: file.__setitem__("ring", file["/"]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_keras_did_not_write_is_refused(entry, rewrite, monkeypatch, edit):
    import keras

    content = _h5(entry, EDITS[edit])
    rewrite(entry, model__weights__h5=content)
    monkeypatch.setattr(keras.Model, "load_weights", lambda *args: pytest.fail("the weights reached Keras"))
    with pytest.raises(ValueError, match="the weights of tiny_digits.v1"):
        kspike.zoo.load(entry)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"\x80\x04pickle"])
def test_what_is_no_hdf5_is_refused(entry, rewrite, content):
    size = (entry / "model.weights.h5").stat().st_size
    rewrite(entry, model__weights__h5=content + b"\0" * (size - len(content)))
    with pytest.raises(ValueError, match="cannot be read"):
        kspike.zoo.load(entry)
