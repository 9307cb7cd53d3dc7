"""Entries as zips: read as they are, put into a zoo whole, and everything that is no such zip refused before."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import kspike
from kspike import _files, _zip
from kspike.cli import app
from kspike.zoo import files, sealing, zips
from kspike.zoo.entry import Entry

NAME = "auto_spikformer_digits.v1"
once = pytest.mark.once


@pytest.fixture(scope="module")
def contents():
    """The files of the entry, with the hashes that an older one has not."""
    found = Entry.open(NAME).contents()
    metadata = json.loads(found["metadata.json"])
    metadata["files"]["README.md"] = {}
    found["metadata.json"] = json.dumps(metadata).encode()
    return {name.partition("/")[2]: content for name, content in entry_of(found)}


@pytest.fixture(scope="module")
def folder(contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / NAME
    folder.mkdir()
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def zipped(folder):
    return kspike.zoo.export_zip(folder, folder.parent / f"{NAME}.zip")


def write(path, members, compression=zipfile.ZIP_STORED):
    """A zip of (name or ZipInfo, bytes) pairs."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def entry_of(contents, **changes):
    """The members of the entry's zip, some of them otherwise ("config__json"), and all hashes as they belong."""
    contents = {**contents, **{name.replace("__", "."): content for name, content in changes.items()}}
    metadata = json.loads(contents["metadata.json"])
    for file, record in metadata["files"].items():
        record |= {"bytes": len(contents[file]), "sha256": files.sha256(contents[file])}
    contents["metadata.json"] = json.dumps(sealing.seal(metadata)).encode()
    return [(f"{NAME}/{file}", content) for file, content in contents.items()]


@pytest.mark.shared
def test_an_entry_in_a_zip_is_the_entry(zipped):
    images = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1), dtype="uint8")
    there, here = (kspike.zoo.load(each) for each in (zipped, NAME))
    for one, other in zip(there.get_weights(), here.get_weights(), strict=True):
        assert np.array_equal(one, other)
    normalised = kspike.zoo.preprocess(images, zipped)
    assert np.array_equal(normalised, kspike.zoo.preprocess(images, NAME))


@once
def test_a_zip_is_the_same_every_time_and_unpacks_to_the_entry(zipped, tmp_path):
    again = kspike.zoo.export_zip(zipped, tmp_path / "again.zip")
    assert again.read_bytes() == zipped.read_bytes()
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path)
    assert kspike.zoo.card(tmp_path / NAME) == kspike.zoo.card(zipped)


@once
def test_a_zip_becomes_an_entry_of_a_zoo(zipped, contents, tmp_path):
    folder = kspike.zoo.import_zip(zipped, directory=tmp_path / "zoo")
    assert folder == tmp_path / "zoo" / NAME and [path.name for path in folder.parent.iterdir()] == [NAME]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert kspike.zoo.list_models(directory=folder.parent) == [NAME]
    with pytest.raises(ValueError, match="exists. Entries never change"):
        kspike.zoo.import_zip(zipped, directory=folder.parent)


@once
def test_a_folder_that_was_zipped_by_hand_is_read_too(contents, tmp_path):
    path = write(tmp_path / "By Hand.ZIP", [(f"{NAME}/", b""), *entry_of(contents)], zipfile.ZIP_DEFLATED)
    assert kspike.zoo.card(path)["name"] == "auto_spikformer_digits"
    assert kspike.zoo.import_zip(path, directory=tmp_path / "zoo").is_dir()


@once
def test_an_older_entry_without_a_hash_of_its_card_comes_whole(tmp_path):
    path = kspike.zoo.export_zip("spikformer_c10.v1", tmp_path / "old.zip")
    assert not sealing.is_sealed(kspike.zoo.card(path))
    folder = kspike.zoo.import_zip(path, directory=tmp_path / "zoo")
    assert "README.md" in [each.name for each in folder.iterdir()]


@once
def test_what_is_damaged_is_not_exported(folder, tmp_path):
    folder = shutil.copytree(folder, tmp_path / NAME)
    for file in ("README.md", "config.json", "model.weights.h5", "metadata.json"):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
        with pytest.raises(ValueError, match=file):
            kspike.zoo.export_zip(folder, tmp_path / "x.zip")
        (folder / file).write_bytes(content)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    kspike.zoo.export_zip(folder, tmp_path / "x.zip")


@once
def test_a_place_that_does_not_serve_is_told(tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(ValueError, match="exists, and overwrite=False"):
        kspike.zoo.export_zip(NAME, tmp_path / "there.zip")
    with pytest.raises(ValueError, match="exists, and is no file"):
        kspike.zoo.export_zip(NAME, tmp_path / "folder.zip", overwrite=True)
    with pytest.raises(ValueError, match="name of a zip to write"):
        kspike.zoo.export_zip(NAME, tmp_path / "there.tar")
    with pytest.raises(FileNotFoundError, match="no folder"):
        kspike.zoo.export_zip(NAME, tmp_path / "nowhere" / "x.zip")
    assert (tmp_path / "there.zip").read_text() == "mine"
    assert kspike.zoo.card(kspike.zoo.export_zip(NAME, tmp_path / "there.zip", overwrite=True))
    for source in (NAME, tmp_path / "folder", 5):
        with pytest.raises(ValueError, match="Expected the path of a zip, or an address"):
            kspike.zoo.import_zip(source, directory=tmp_path)


def _info(name, **values):
    member = zipfile.ZipInfo(name)
    member.external_attr = values.pop("mode", stat.S_IFREG | 0o644) << 16
    member.create_system = 3
    for key, value in values.items():
        setattr(member, key, value)
    return member


#: Members beside, or in place of, those of the entry, and what is said of them.
MEMBERS = {
    "absolute": ("/etc/passwd", "an absolute path"),
    "a drive": ("C:/x", "an absolute path"),
    "another system's": ("\\\\server\\x", "an absolute path"),
    "climbing": (f"{NAME}/../../x", "climbs out"),
    "climbing backwards": (f"{NAME}\\..\\x", "climbs out"),
    "dots": ("..", "climbs out"),
    "a backslash": (f"{NAME}\\config.json", "is no file of an entry"),
    "a second config": (f"{NAME}/config.json", "stands twice"),
    "another file": (f"{NAME}/run.py", "is no file of an entry"),
    "deeper": (f"{NAME}/x/config.json", "is no file of an entry"),
    "at the top": ("config.json", "is no file of an entry"),
    "a bare file": (NAME, "is no file of an entry"),
    "another entry": ("other.v1/config.json", "it holds auto_spikformer_digits.v1, other.v1"),
    "another folder": ("__MACOSX/", "is no file of an entry"),
    "a terminal's control": (f"{NAME}/\x1b[31m", "is no file of an entry"),
}
#: The entry's own config as a member of another kind.
KINDS = {
    "a link": ({"mode": stat.S_IFLNK | 0o777}, "is a symbolic link"),
    "a pipe": ({"mode": stat.S_IFIFO}, "is no plain file"),
    "a device": ({"mode": stat.S_IFCHR}, "is no plain file"),
    "a folder": ({"mode": stat.S_IFDIR}, "is no plain file"),
    "lzma": ({"compress_type": zipfile.ZIP_LZMA}, "compressed by a method"),
    "bzip2": ({"compress_type": zipfile.ZIP_BZIP2}, "compressed by a method"),
}


def refused(path, tmp_path, match):
    """Neither read nor put anywhere."""
    for use in (
        kspike.zoo.card,
        kspike.zoo.load,
        lambda zipped: kspike.zoo.import_zip(zipped, directory=tmp_path / "zoo"),
    ):
        with pytest.raises(ValueError, match=match) as error:
            use(path)
    assert not (tmp_path / "zoo").exists() and "\x1b" not in str(error.value)


@once
@pytest.mark.parametrize("what", [*MEMBERS, *KINDS, "encrypted"])
def test_a_zip_with_anything_else_in_it_is_refused_before_a_member_is_read(contents, tmp_path, monkeypatch, what):
    members = entry_of(contents)
    if what in MEMBERS:
        added, said = MEMBERS[what]
        members.append((added, b""))
    elif what in KINDS:
        values, said = KINDS[what]
        members = [(_info(name, **values) if name.endswith("config.json") else name, data) for name, data in members]
    with pytest.warns(UserWarning, match="Duplicate") if what == "a second config" else monkeypatch.context():
        path = write(tmp_path / "x.zip", members)
    if what == "encrypted":
        content, said = path.read_bytes(), "is encrypted"
        at = content.index(b"PK\1\2") + 8
        path.write_bytes(content[:at] + b"\1" + content[at + 1 :])

    def opened(*arguments):
        raise AssertionError("a member was opened")

    monkeypatch.setattr(zipfile.ZipFile, "open", opened)
    refused(path, tmp_path, said)


@once
@pytest.mark.parametrize("left_out", ["metadata.json", "config.json", "model.weights.h5", "README.md"])
def test_a_zip_of_a_part_is_refused(contents, tmp_path, left_out):
    path = write(tmp_path / "x.zip", [each for each in entry_of(contents) if not each[0].endswith(left_out)])
    with pytest.raises(ValueError, match=f"{left_out}; the zip has none"):
        kspike.zoo.import_zip(path, directory=tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


@once
def test_a_bomb_is_refused_by_what_it_states(contents, tmp_path, monkeypatch):
    monkeypatch.setattr(_zip, "FREE_BYTES", 1 << 20)
    path = write(tmp_path / "x.zip", entry_of(contents, model__weights__h5=bytes(1 << 24)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    refused(path, tmp_path, r"unpack to at most 1,\d+,\d+ bytes.*it states 1\d,\d+,\d+")
    monkeypatch.undo()
    large = entry_of(contents)
    large = [(name, data + b" " * (9 << 20) if name.endswith("metadata.json") else data) for name, data in large]
    refused(write(tmp_path / "y.zip", large, zipfile.ZIP_DEFLATED), tmp_path, "at most 8,388,608 bytes.*not read")


@once
@pytest.mark.parametrize("stated", [10, 1 << 20])
def test_a_bomb_is_refused_by_what_it_holds(contents, tmp_path, stated):
    """The list says less, or more, than comes out; no more than it says is unpacked."""
    name = f"{NAME}/config.json"
    held = bytes(1 << 22)
    path = write(tmp_path / "x.zip", [*entry_of(contents)[:0], (name, held)], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, stated)
    path.write_bytes(content)
    store = zips.Zip.open(path)
    with pytest.raises(ValueError, match="cannot be read|zip states"):
        store.read("config.json", 1 << 20)


#: What is done to the last 22 bytes of a zip, its end, or before them; and what is said.
ENDS = {
    "millions of members": (lambda end: end[:10] + b"\xff\xff" + end[12:], "it lists more"),
    "a long list": (lambda end: end[:12] + b"\0\0\0\1" + end[16:], "it lists more"),
    "a larger kind": (lambda end: b"PK\6\7" + bytes(16) + end, "it lists more"),
    "cut": (lambda end: end[:-1], "does not end as one"),
    "a comment": (lambda end: end[:-2] + b"\5\0hello", "does not end as one"),
    "another file": (lambda end: b"hello" * 10, "does not end as one"),
}


@once
@pytest.mark.parametrize("what", ENDS)
def test_the_end_of_a_zip_is_read_before_its_list(zipped, tmp_path, monkeypatch, what):
    content, path, (change, said) = zipped.read_bytes(), tmp_path / "x.zip", ENDS[what]
    path.write_bytes(content[:-22] + change(content[-22:]))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    refused(path, tmp_path, said)
    path.write_bytes(b"")
    refused(path, tmp_path, "does not end as one")


@once
def test_what_the_zip_holds_is_checked_as_in_a_folder(contents, tmp_path):
    config = json.loads(contents["config.json"])
    for changed, said in (
        ({**config, "embed_dim": 10**9}, "embed_dim in .* at most"),
        ({**config, "mixer": "nobody_knows"}, "nobody_knows"),
        ({**config, "embed_dim": 2 * config["embed_dim"]}, "parameters"),
    ):
        path = write(tmp_path / "x.zip", entry_of(contents, config__json=json.dumps(changed).encode()))
        with pytest.raises(ValueError, match=said):
            kspike.zoo.import_zip(path, directory=tmp_path / "zoo")
    members = dict(entry_of(contents))
    members[f"{NAME}/model.weights.h5"] = members[f"{NAME}/model.weights.h5"][:-1] + b"x"
    with pytest.raises(ValueError, match="was altered"):
        kspike.zoo.import_zip(write(tmp_path / "x.zip", members.items()), directory=tmp_path / "zoo")
    renamed = [(name.replace(NAME, "mine.v3"), data) for name, data in entry_of(contents)]
    refused(write(tmp_path / "x.zip", renamed), tmp_path, "to describe 'mine.v3'")
    assert not (tmp_path / "zoo").exists()


@once
@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.proof)])
def test_a_damaged_zip_is_refused_or_the_same(zipped, contents, tmp_path, count):
    """Bytes changed, cut out and doubled, most of them where the zip describes itself."""
    rng, path = np.random.default_rng(0), tmp_path / "x.zip"
    whole = zipped.read_bytes()
    listed = whole.index(b"PK\1\2")
    for _ in range(count):
        content = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(listed, len(content)) if rng.random() < 0.8 else rng.integers(len(content)))
            how = rng.random()
            if how < 0.7:
                content[at] ^= 1 << int(rng.integers(8))
            elif how < 0.85:
                del content[at : at + int(rng.integers(1, 30))]
            else:
                content[at:at] = content[at : at + int(rng.integers(1, 30))]
        path.write_bytes(content)
        try:
            found = Entry.open(path).contents()
        except ValueError as error:
            assert "Expected" in str(error)
        else:
            assert found == contents


@once
def test_a_file_is_no_zoo_folder_to_import_into(zipped, tmp_path):
    (tmp_path / "zoo").write_text("a file")
    with pytest.raises(ValueError, match="received .*zoo, which is a file"):
        kspike.zoo.import_zip(zipped, directory=tmp_path / "zoo")


def test_an_import_that_fails_leaves_nothing(zipped, tmp_path, monkeypatch):
    written = files.write_synced

    def fills_up(path, content):
        if path.name == "model.weights.h5":
            raise OSError(28, "No space left on device")
        written(path, content)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(files, "write_synced", fills_up)
        kspike.zoo.import_zip(zipped, directory=tmp_path / "zoo")
    assert not list((tmp_path / "zoo").iterdir())
    with _files.folder_aside(tmp_path / "zoo", "net.importing") as aside:
        left = aside.with_name(aside.name.replace(aside.name.split("-")[0].rpartition(".")[2], "999999999"))
        shutil.copytree(aside, left)  # of a process that is no more
        kspike.zoo.import_zip(zipped, directory=tmp_path / "zoo")
        assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == [aside.name, NAME]


@once
def test_from_the_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = lambda *arguments: CliRunner().invoke(app, ["zoo", *arguments])
    made = run("export", NAME, "x.zip")
    assert made.exit_code == 0 and f"sha256={_files.sha256('x.zip')}" in made.stdout
    assert run("export", NAME, "x.zip").exit_code == 2
    assert run("export", NAME, "x.zip", "--overwrite").exit_code == 0
    came = run("import", "x.zip", "--directory", "mine")
    assert came.exit_code == 0 and came.stdout == f"imported: {Path('mine') / NAME}\n"
    for source in ("x.zip", (tmp_path / "x.zip").as_uri()):
        assert json.loads(run("show", source, "--json").stdout)["name"] == "auto_spikformer_digits"
    refused = run("import", "https://zoo.example/x.zip", "--offline")
    assert refused.exit_code == 2 and "nothing is downloaded offline" in refused.stderr
    assert "--offline" in refused.stderr and "offline=True" not in refused.stderr
