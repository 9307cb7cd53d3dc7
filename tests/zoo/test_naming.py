import os

import pytest

import kspike
from kspike.zoo import naming

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Upper",
        "a-b",
        "a b",
        "a.v0",
        "a.v01",
        "a.v",
        "a.v1.v2",
        "../a",
        "a/../b",
        "..",
        "a\x00",
        "a\n",
        "é",
        "a" * 81,
        3,
        None,
    ],
)
def test_a_name_is_letters_digits_and_underscores(name):
    with pytest.raises(ValueError, match="Expected the name of an entry"):
        naming.split_name(name)


def test_a_name_may_carry_a_version():
    assert naming.split_name("auto_spikformer_c10.v12") == ("auto_spikformer_c10", 12)
    assert naming.split_name("auto_spikformer_c10") == ("auto_spikformer_c10", None)


@pytest.fixture
def zoo(tmp_path):
    for name in ("net.v1", "net.v2", "net.v10", "other.v1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.json").touch()
    (tmp_path / "net.v11").mkdir()  # without metadata: no entry
    (tmp_path / ".net.publishing.1-aa").mkdir()
    return tmp_path


def test_a_bare_name_is_the_newest_version_by_number(zoo):
    assert naming.resolve("net", zoo).name == "net.v10"
    assert naming.resolve("net.v2", zoo).name == "net.v2"


def test_a_folder_resolves_with_and_without_version(zoo, monkeypatch):
    assert naming.resolve(zoo / "net").name == "net.v10"
    assert naming.resolve(f"{zoo}/net.v1/").name == "net.v1"
    monkeypatch.chdir(zoo)
    assert naming.resolve("./net").name == "net.v10"
    monkeypatch.chdir(zoo / "other.v1")
    assert naming.resolve(".").name == "other.v1"


def test_a_number_is_never_used_twice(zoo):
    assert naming.next_version(zoo, "net") == 12  # net.v11 is incomplete, and taken all the same
    assert naming.next_version(zoo, "fresh") == 1


def test_after_the_last_number_there_is_none(tmp_path, model):
    (tmp_path / "net.v999999").mkdir()
    for name in ("net", "net.v999999"):
        with pytest.raises(ValueError, match="net.v999999"):
            kspike.zoo.publish(model, name, directory=tmp_path, license="mit")
    assert kspike.zoo.publish(model, "net.v7", directory=tmp_path, license="mit").name == "net.v7"
    with pytest.raises(ValueError, match="net.v999999.*the last there can be.*another name"):
        naming.next_version(tmp_path, "net")


def test_an_unknown_name_is_answered_with_the_known_and_the_nearest(zoo):
    with pytest.raises(ValueError, match=r"Known entries: net, other\. Did you mean 'other'\?"):
        kspike.zoo.load("othr", directory=zoo)
    with pytest.raises(ValueError, match="Its versions there: v1, v2, v10"):
        kspike.zoo.load("net.v3", directory=zoo)
    with pytest.raises(ValueError, match="holds no entries"):
        kspike.zoo.load(zoo / "nowhere" / "net")


def test_a_folder_given_as_a_name_is_pointed_out(zoo, monkeypatch):
    monkeypatch.chdir(zoo)
    with pytest.raises(ValueError, match=r"write '\./other\.v1'"):
        naming.resolve("other.v1", zoo / "net.v1")


def test_a_path_and_a_directory_contradict_each_other(zoo):
    with pytest.raises(ValueError, match="Expected a name beside directory"):
        kspike.zoo.load(zoo / "net", directory=zoo)


def test_a_linked_entry_is_refused(zoo):
    (zoo / "linked.v1").symlink_to(zoo / "other.v1")
    with pytest.raises(ValueError, match="received a link"):
        naming.resolve("linked", zoo)


def test_folders_of_ones_own_are_looked_into_after_the_published_zoo(zoo, tmp_path_factory, monkeypatch):
    later = tmp_path_factory.mktemp("later")
    for name in ("net.v3", "net.v20", "third.v1", "auto_spikformer_digits.v9"):
        (later / name).mkdir()
        (later / name / "metadata.json").touch()
    monkeypatch.setenv(naming.OWN, os.pathsep.join([str(zoo), "", str(later)]))
    assert naming.resolve("net") == zoo / "net.v10"  # the first folder that has it, not the newest of all
    assert naming.resolve("net.v3") == later / "net.v3"
    assert naming.resolve("third") == later / "third.v1"
    assert naming.resolve("auto_spikformer_digits").parent == naming.zoo_folder(None)
    assert naming.resolve("auto_spikformer_digits.v9").parent == later
    with pytest.raises(ValueError, match=r"Its versions there: v1, v2, v3, v10, v20\."):
        naming.resolve("net.v4")
    with pytest.raises(ValueError, match=f"{later}.*Did you mean 'third'"):
        naming.resolve("thirt")
    with pytest.raises(ValueError, match=f"entry of the zoo in {zoo}; received"):
        naming.resolve("third", zoo)


def test_a_folder_of_ones_own_that_is_none_is_told_when_it_is_asked(zoo, monkeypatch):
    monkeypatch.setenv(naming.OWN, f"{zoo}{os.pathsep}{zoo / 'nowhere'}")
    assert naming.resolve("auto_spikformer_digits") and naming.resolve("net")
    for ask in (lambda: naming.resolve("third"), kspike.zoo.list_models):
        with pytest.raises(ValueError, match="Expected KSPIKE_ZOO to list folders.*nowhere"):
            ask()
    monkeypatch.setenv(naming.OWN, str(next(zoo.glob("net.v*"))))
    with pytest.raises(ValueError, match="is an entry itself: give the folder that it is in"):
        kspike.zoo.list_models()


def test_the_list_has_all_folders_and_says_which_entry_hides_another(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        path = kspike.zoo.export_zip("auto_spikformer_digits.v1", tmp_path / f"{folder}.zip")
        kspike.zoo.import_zip(path, directory=tmp_path / folder)
    before = list(kspike.zoo.list_models())
    monkeypatch.setenv(naming.OWN, str(tmp_path / "one"))
    with pytest.warns(UserWarning, match=r"digits\.v1 is hidden here: .*one comes later"):
        table = kspike.zoo.list_models()
    assert list(table) == before and [row["state"] for row in table.damaged] == ["hidden"]
    assert kspike.zoo.list_models(directory=tmp_path / "two") == ["auto_spikformer_digits.v1"]
