"""Entries that come from an address: whole or not at all, and from the network once."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import kspike
from kspike.zoo import downloads, fetching, https
from tests.zoo.serving import HOST, answer, file, running

pytestmark = pytest.mark.once
NAME = "auto_spikformer_digits.v1"
URL = f"{HOST}/{NAME}.zip"


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    return kspike.zoo.export_zip(NAME, tmp_path_factory.mktemp("zip") / f"{NAME}.zip")


@pytest.fixture(scope="module")
def other(zipped, tmp_path_factory):
    """The folder of an entry that the published zoo has not: an older one, whose name no hash covers."""
    folder = kspike.zoo.import_zip(zipped, directory=tmp_path_factory.mktemp("zoo"))
    folder = folder.rename(folder.with_name("other.v1"))
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "name": "other"}))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("KSPIKE_OFFLINE", "KSPIKE_ZOO", "KSPIKE_ZOO_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KSPIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "zoo"


@pytest.fixture
def server(zipped, cache, monkeypatch):
    with running(zipped.read_bytes()) as started:
        monkeypatch.setattr(https, "open_request", started.open)
        yield started


def fetch(url=URL, **options):
    return fetching.fetch(url, lambda path: path.read_bytes(), **options)


def kept(cache):
    """Whole files of the cache."""
    return sorted(path.name for path in cache.glob("*.zip"))


def parts(cache):
    return sorted(path.name for path in (cache / "parts").glob("*") if path.suffix != ".lock")


def test_an_address_is_asked_once_and_its_size_is_said_before(server, zipped, cache, monkeypatch, capsys):
    said = []

    def opened(request, timeout):
        response = server.open(request, timeout)
        read = response.read1
        response.read1 = lambda number: said.append(capsys.readouterr().err) or read(number)
        return response

    monkeypatch.setattr(https, "open_request", opened)
    assert kspike.zoo.card(URL) == kspike.zoo.card(NAME)
    assert said[0] == f"downloading {URL}: {zipped.stat().st_size:,} bytes, into {cache}\n"
    assert kept(cache) == [f"{hashlib.sha256(zipped.read_bytes()).hexdigest()}.zip"] and not parts(cache)
    assert kspike.zoo.load(URL, weights=False, offline=True).config.num_classes == 10
    monkeypatch.setenv("KSPIKE_OFFLINE", "1")
    kspike.zoo.decode_predictions([[0.0] * 10], URL)
    assert len(server.asked) == 1 and not capsys.readouterr().err


def test_a_download_that_breaks_goes_on_where_it_stopped(server, zipped):
    server.acts += [file(send=1000), file(send=500), file(stall=True, send=700)]
    assert fetch(timeout=0.1).read_bytes() == zipped.read_bytes()
    ranges = [asked.get("Range") for asked in server.asked]
    assert ranges == [None, "bytes=1000-", "bytes=1500-", "bytes=2200-"]
    assert [asked.get("If-Range") for asked in server.asked[1:]] == ['"first"'] * 3
    assert {asked["Accept-Encoding"] for asked in server.asked} == {"identity"}


def test_what_came_is_kept_for_a_later_call(server, zipped, cache, capsys):
    server.acts += [file(send=1000), answer(503), *[file(send=0, stall=True)] * 2]
    with pytest.raises(OSError, match=r"broke off: the server says 503.*1,000 bytes that came are kept"):
        fetch()
    with pytest.raises(OSError, match="nothing came for a while.*1,000 bytes that came are kept"):
        fetch(timeout=0.05)
    assert not kept(cache)
    server.acts.clear()
    capsys.readouterr()
    assert fetch().read_bytes() == zipped.read_bytes()
    assert "of which 1,000 are here" in capsys.readouterr().err and server.asked[-1]["Range"] == "bytes=1000-"


def test_a_process_that_was_killed_at_the_end_has_nothing_to_fetch_again(server, zipped, cache, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(downloads, "keep", killed)
        fetch()
    assert not kept(cache) and fetch().read_bytes() == zipped.read_bytes() and len(server.asked) == 1


@pytest.mark.parametrize(
    "then", [file(tag='"second"'), file(ranges=False), file(tag=None)], ids=["another file", "no ranges", "no tag"]
)
def test_two_halves_are_never_of_two_files(server, zipped, then):
    server.acts += [file(send=1000), then]
    assert fetch().read_bytes() == zipped.read_bytes()


def test_without_a_tag_it_begins_anew_unless_a_hash_is_asked_for(server, zipped):
    pin = hashlib.sha256(zipped.read_bytes()).hexdigest()
    for url, ranges in ((URL, [None, None]), (f"{URL}?2#sha256={pin}", [None, "bytes=1000-"])):
        server.acts, server.asked = [file(send=1000, tag=None)], []
        if ranges[1] is None:
            server.acts.append(file(send=1000, tag=None))
            with pytest.raises(OSError, match="broke off: the connection ended after 1,000 of"):
                fetch(url)
        else:
            fetch(url)
        assert [asked.get("Range") for asked in server.asked] == ranges


LIES = {
    "longer than it says": [file(length="5000")],
    "shorter than it says": [file(length="999999999")] * 3,
    "no length": [file(length=None)],
    "no number": [file(length="many")],
    "negative": [file(length="-1")],
    "nothing": [file(length="0")],
    "terabytes": [file(length=str(10**13))],
    "encoded": [file(Content_Encoding="gzip")],
    "another part": [file(send=1000), file(span="bytes 0-99/100")],
    "another size": [file(send=1000), file(span="bytes 1000-5000/5001")],
    "a part of nothing": [file(send=1000), file(span="many")],
    "a part that nobody asked for": [answer(206, **{"Content-Range": "bytes 0-9/10", "Content-Length": "10"})],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_leaves_nothing_in_the_cache(server, cache, lie):
    server.acts += LIES[lie]
    expected = (OSError, "after .* of 999,999,999 bytes") if lie.startswith("shorter") else (ValueError, HOST)
    with pytest.raises(expected[0], match=expected[1]):
        kspike.zoo.card(URL)
    assert not kept(cache) and not list(cache.glob("urls/*"))
    if expected[0] is ValueError:
        assert not parts(cache)


def test_redirects_lead_to_https_alone(server, zipped, cache):
    server.acts += [answer(302, Location="/other.zip"), answer(307, Location=f"{HOST}/third.zip?key=1")]
    assert fetch().read_bytes() == zipped.read_bytes()
    secret = zipped.parent / "secret.zip"
    plain = f"http://127.0.0.1:{server.server_port}/x.zip"
    for to in (secret.as_uri(), plain, "ftp://zoo.example/x.zip", "data:,x"):
        server.acts.append(answer(302, Location=to))
        with pytest.raises(ValueError, match="https"):
            fetch(f"{URL}?{len(server.asked)}")
    server.acts += [answer(302, Location=URL)] * 10
    with pytest.raises(ValueError, match="redirects again and again"):
        fetch(f"{URL}?again")
    assert len(kept(cache)) == 1


def test_what_the_server_refuses_is_said(server):
    for status, kind in ((404, ValueError), (403, ValueError), (500, OSError)):
        server.acts.append(answer(status))
        with pytest.raises(kind, match=rf"the server says {status} \w+"):
            fetch()


def test_a_hash_that_is_asked_for_is_checked_and_found_without_asking(server, zipped, cache):
    pin = hashlib.sha256(zipped.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=rf"SHA-256 {'0' * 64}; received {pin}"):
        fetch(f"{URL}#sha256={'0' * 64}")
    assert not kept(cache) and not parts(cache)
    fetch(f"{URL}#sha256={pin}")
    assert fetch(f"{HOST}/elsewhere.zip#sha256={pin}", offline=True).read_bytes() == zipped.read_bytes()
    with pytest.raises(ValueError, match="SHA-256"):
        kspike.zoo.card(f"{zipped.as_uri()}#sha256={'0' * 64}")
    assert kspike.zoo.card(f"{zipped.as_uri()}#sha256={pin}")["name"] == "auto_spikformer_digits"


def test_what_is_no_entry_is_not_kept(server, cache):
    server.content = b"<html>sign in</html>" * 100
    with pytest.raises(ValueError, match="nothing of it was kept. Expected .* to be a zip"):
        kspike.zoo.load(URL)
    assert not kept(cache) and not parts(cache)


def test_a_damaged_copy_here_is_fetched_again(server, zipped, cache):
    path = fetch()
    path.write_bytes(b"half")
    assert fetch().read_bytes() == zipped.read_bytes() and len(server.asked) == 2


def test_a_full_disk_is_told_before_anything_comes(server, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 0, 10))
    with pytest.raises(OSError, match=r"has room for 10\. Make room, or set KSPIKE_CACHE"):
        fetch()
    assert not kept(cache) and not parts(cache)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_nothing_is_asked(server, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("KSPIKE_OFFLINE", "1")
    with pytest.raises(ValueError, match="nothing is downloaded offline"):
        kspike.zoo.load(URL, offline=True if how == "argument" else None)
    assert not server.asked
    if how == "environment":
        assert kspike.zoo.load(URL, weights=False, offline=False) and len(server.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://zoo.example/x.zip", "ftp://zoo.example/x.zip", "hf://zoo/x", "https:///x.zip", "https://[/x.zip",
        "https://me:secret@zoo.example/x.zip", "https://zoo.example/a b.zip", "https://zoo.example/x.zip#md5=1",
        "https://zoo.example/x.zip#sha256=abc", "https://zoo.example:port/x.zip", "file://server/x.zip",
        "file:///x.zip?y", "HTTP://zoo.example/x.zip",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(server, url):
    with pytest.raises(
        ValueError, match="Expected .*address|Expected entries to come by https|Expected the path"
    ) as error:
        kspike.zoo.load(url)
    assert not server.asked and "secret" not in str(error.value)


def test_a_file_address_is_a_zip_or_a_folder_of_this_machine(server, zipped, other):
    assert kspike.zoo.card(zipped.as_uri()) == kspike.zoo.card(zipped) == kspike.zoo.card(NAME)
    assert kspike.zoo.card(other.as_uri()) == kspike.zoo.card(other)
    assert kspike.zoo.card((other.parent / "other").as_uri())["version"] == 1
    with pytest.raises(ValueError, match="there is no such file"):
        kspike.zoo.card((zipped.parent / "nothing.zip").as_uri())
    with pytest.raises(ValueError, match="no such file"):
        kspike.zoo.card(zipped.parent / "nothing.zip")
    with pytest.raises(ValueError, match="beside directory="):
        kspike.zoo.card(zipped.as_uri(), directory=zipped.parent)
    assert not server.asked


def test_another_address_of_entries_is_asked_for_what_no_folder_has(server, other, cache, tmp_path, monkeypatch):
    more = tmp_path / "more"
    more.mkdir()
    kspike.zoo.export_zip(other, more / f"{other.name}.zip")
    monkeypatch.setenv("KSPIKE_ZOO_URL", more.as_uri())
    assert kspike.zoo.card("other.v1") == kspike.zoo.card(other)
    assert kspike.zoo.card(NAME)["version"] == 1
    with pytest.raises(ValueError, match="by name and version, as in 'other.v1'"):
        kspike.zoo.card("other")
    with pytest.raises(ValueError, match=r"Known entries.*Did you mean.*there is no such file"):
        kspike.zoo.card("auto_spikformer_digit.v1")
    with pytest.raises(ValueError, match="Expected an entry of the zoo in"):
        kspike.zoo.card("other.v1", directory=Path(more))
    monkeypatch.setenv("KSPIKE_ZOO_URL", f"{HOST}/")
    server.acts.append(answer(404))
    with pytest.raises(ValueError, match=r"Known entries.*the server says 404"):
        kspike.zoo.card("other.v1")
