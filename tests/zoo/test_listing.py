import json
import shutil
import sys
import types
import warnings

import pytest
from typer.testing import CliRunner

import kspike
from kspike.cli import app

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def zoo(released, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("list")
    shutil.copytree(released, folder / released.name)
    for name in ("bare", "bare", "nine", "nine.v10"):
        kspike.zoo.publish(model, name, directory=folder, license="cc0-1.0")
    return folder


def test_the_table_is_a_sequence_of_the_newest_versions(zoo):
    table = kspike.zoo.list_models(directory=zoo)
    assert list(table) == ["bare.v2", "nine.v10", "tiny_digits.v1"] == table
    assert len(table) == 3 and table[0] == "bare.v2" and list(table[1:]) == ["nine.v10", "tiny_digits.v1"]
    assert "tiny_digits" in table and "tiny_digits.v1" in table and "bare.v1" not in table and "tiny" not in table


def test_it_filters_by_glob_data_set_and_size(zoo, model):
    parameters = kspike.cost.parameters(model.config)
    assert kspike.zoo.list_models("*digits*", directory=zoo) == ["tiny_digits.v1"]
    assert kspike.zoo.list_models("*.v10", directory=zoo) == ["nine.v10"]
    assert kspike.zoo.list_models(data_set="digits", directory=zoo) == ["tiny_digits.v1"]
    assert len(kspike.zoo.list_models(max_parameters=parameters, directory=zoo)) == 3
    assert len(kspike.zoo.list_models(max_parameters=parameters - 1, directory=zoo)) == 0
    assert kspike.zoo.list_models("bare*", directory=zoo, all_versions=True) == ["bare.v1", "bare.v2"]


@pytest.mark.once
def test_it_filters_and_sorts_by_what_the_cards_say(zoo, model):
    card = kspike.zoo.card("tiny_digits", directory=zoo)
    accuracy, energy = card["accuracy"], card["energy_mj"]

    def names(**asked):
        return list(kspike.zoo.list_models(directory=zoo, **asked))

    every = ["bare.v2", "nine.v10", "tiny_digits.v1"]
    assert names(min_accuracy=accuracy) == names(max_energy_mj=energy) == names(data="digits") == ["tiny_digits.v1"]
    assert names(min_accuracy=accuracy + 1e-9) == names(max_energy_mj=energy * 0.999) == names(timesteps=3) == []
    assert names(timesteps=model.config.timesteps) == names(data_set=None) == every
    assert names(sort="accuracy") == names(sort="energy_mj") == ["tiny_digits.v1", "bare.v2", "nine.v10"]
    assert names(sort="name") == names(sort="parameters") == names(sort="timesteps") == every
    assert names(all_versions=True) == ["bare.v1", "bare.v2", "nine.v1", "nine.v10", "tiny_digits.v1"]
    assert {row["timesteps"] for row in kspike.zoo.list_models(directory=zoo).rows} == {model.config.timesteps}
    every = kspike.zoo.list_models(sort="accuracy", all_versions=True).rows
    assert [row["accuracy"] for row in every] == sorted((row["accuracy"] for row in every), reverse=True)
    every = kspike.zoo.list_models(sort="energy_mj", all_versions=True).rows
    assert [row["energy_mj"] for row in every] == sorted(row["energy_mj"] for row in every)


@pytest.mark.once
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"min_accuracy": 90}, "as a share, 0.9 for 90 %"),
        ({"min_accuracy": "0.9"}, "min_accuracy to be a number"),
        ({"min_accuracy": float("nan")}, "min_accuracy to be a number"),
        ({"max_energy_mj": -1}, "max_energy_mj to be a number of 0 or more"),
        ({"timesteps": 4.0}, "timesteps to be a whole number"),
        ({"max_parameters": True}, "max_parameters to be a whole number"),
        ({"sort": "acuracy"}, "did you mean 'accuracy'"),
        ({"sort": None}, "Unknown key to sort by"),
        ({"data": 3}, "data to be the name of a data set"),
        ({"data": "digits", "data_set": "cifar10"}, "which mean the same"),
    ],
)
def test_what_cannot_be_asked_is_told(zoo, asked, said):
    with pytest.raises(ValueError, match=said):
        kspike.zoo.list_models(directory=zoo, **asked)


@pytest.mark.once
def test_the_command_takes_the_same(zoo, released):
    def listed(*asked):
        arguments = ["zoo", "list", "--json", "--directory", str(zoo), *asked]
        return [row["name"] for row in json.loads(CliRunner().invoke(app, arguments).stdout)]

    energy = repr(kspike.zoo.card(released)["energy_mj"])
    for asked in (["--min-accuracy", "0"], ["--max-energy-mj", energy], ["--data", "digits"], ["--data-set", "digits"]):
        assert listed(*asked) == ["tiny_digits.v1"]
    assert listed("--timesteps", "3") == [] and listed("--sort", "accuracy")[0] == "tiny_digits.v1"
    refused = CliRunner().invoke(app, ["zoo", "list", "--min-accuracy", "90"])
    assert refused.exit_code == 2 and "a share" in refused.stderr


@pytest.mark.once
def test_a_table_becomes_a_data_frame_where_pandas_is(zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_pandas needs pandas.*pip install 'kspike\[pandas\]'"):
        kspike.zoo.list_models(directory=zoo).to_pandas()
    stub = types.ModuleType("pandas")
    stub.DataFrame = lambda rows, columns: (rows, columns)
    monkeypatch.setitem(sys.modules, "pandas", stub)
    table = kspike.zoo.list_models(directory=zoo)
    columns = ["name", "data_set", "timesteps", "accuracy", "energy_mj", "parameters", "license"]
    assert table.to_pandas() == (list(table.rows), columns) and table.to_pandas()[0][0]["name"] == "bare.v2"
    assert kspike.zoo.list_models("nothing", directory=zoo).to_pandas() == ([], columns)
    assert kspike.models.architectures().to_pandas()[0][0]["name"]


@pytest.mark.once
def test_a_changed_config_is_a_damage_that_the_list_shows(zoo, tmp_path):
    shutil.copytree(zoo / "bare.v1", tmp_path / "bare.v1")
    path = tmp_path / "bare.v1" / "config.json"
    path.write_text(path.read_text("utf-8").replace('"timesteps": 2', '"timesteps": 3'))
    with pytest.warns(UserWarning, match=r"bare\.v1 is damaged.*was altered"):
        assert len(kspike.zoo.list_models(directory=tmp_path)) == 0


def test_it_prints_what_a_person_chooses_by(zoo, released):
    card, text = kspike.zoo.card(released), str(kspike.zoo.list_models(directory=zoo))
    for said in (
        "tiny_digits.v1",
        f"{100 * card['accuracy']:.2f} %",
        f"{card['energy_mj']:.4g}",
        f"{card['parameters']:,}",
        "cc0-1.0",
    ):
        assert said in text
    assert "no entries" in str(kspike.zoo.list_models("nothing*", directory=zoo))


def _brackets(path):
    path.write_text("[" * 100_000)


def _name_is_a_number(path):
    metadata = json.loads(path.read_text("utf-8"))
    del metadata["metadata_sha256"], metadata["files"]["README.md"]  # an entry from before, which no hash protects
    path.write_text(json.dumps({**metadata, "data": {"name": 5}}))


def _folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "cut": lambda path: path.write_text("{"),
    "brackets": _brackets,
    "a value of another type": _name_is_a_number,
    "a folder": _folder,
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "one letter": lambda path: path.write_text(path.read_text("utf-8").replace("cc0-1.0", "cc0-1.1")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_no_model_of_the_list_which_shows_it_as_damaged(zoo, tmp_path, damage):
    shutil.copytree(zoo / "bare.v1", tmp_path / "bare.v1")
    shutil.copytree(zoo / "nine.v1", tmp_path / "nine.v1")
    DAMAGES[damage](tmp_path / "nine.v1" / "metadata.json")
    with pytest.warns(UserWarning, match=r"nine\.v1 is damaged"):
        table = kspike.zoo.list_models(directory=tmp_path)
    assert table == ["bare.v1"] and "nine.v1" not in table
    assert [row["name"] for row in table.damaged] == ["nine.v1"] and table.damaged[0]["error"]
    lines = [line.split() for line in str(table).splitlines()]
    assert ["nine.v1", "damaged"] in [[word for word in line if word != "│"][:2] for line in lines]
    with pytest.raises(ValueError, match=r"nine\.v1"):
        kspike.zoo.card("nine", directory=tmp_path)


@pytest.mark.once
def test_the_command_tells_damaged_entries_as_rows_and_lines_and_a_script_sees_them(zoo, tmp_path):
    for name in ("bare.v1", "bare.v2", "nine.v1", "tiny_digits.v1"):
        shutil.copytree(zoo / name, tmp_path / name)
    (tmp_path / "nine.v1" / "metadata.json").write_text("{")
    (tmp_path / "tiny_digits.v1" / "metadata.json").unlink()
    (tmp_path / "bare.v1" / "metadata.json").unlink()  # older than one that is whole: --all-versions alone shows it
    (tmp_path / "empty.v1").mkdir()  # holds nothing of an entry
    arguments = ["zoo", "list", "--directory", str(tmp_path)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown, found = (CliRunner().invoke(app, arguments + more) for more in ([], ["--json"]))
    assert shown.exit_code == found.exit_code == 0 and not found.stderr
    lines = shown.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["nine.v1", "tiny_digits.v1"]
    assert "to hold metadata.json" in lines[1] and "config.json and model.weights.h5 alone" in lines[1]
    assert "UserWarning" not in shown.stderr and ".py" not in shown.stderr and shown.stdout.count("damaged") == 2
    rows = {row["name"]: row for row in json.loads(found.stdout)}
    assert [*rows] == ["bare.v2", "nine.v1", "tiny_digits.v1"]
    assert rows["bare.v2"]["damaged"] is None and rows["bare.v2"]["parameters"] > 0
    assert "metadata.json" in rows["tiny_digits.v1"]["damaged"] and rows["nine.v1"]["damaged"]
    assert len({tuple(row) for row in rows.values()}) == 1 and rows["nine.v1"]["accuracy"] is None
    all_of_them = CliRunner().invoke(app, [*arguments, "--json", "--all-versions"])
    assert "bare.v1" in [row["name"] for row in json.loads(all_of_them.stdout)]


@pytest.mark.once
@pytest.mark.parametrize("left", ["config.json", "model.weights.h5"])
def test_a_folder_without_metadata_says_what_is_missing(zoo, tmp_path, left):
    shutil.copytree(zoo / "bare.v2", tmp_path / "bare.v2")
    shutil.copytree(zoo / "nine.v1", tmp_path / "bore.v1", ignore=lambda folder, names: set(names) - {left})
    for name in (str(tmp_path / "bore.v1"), str(tmp_path / "bore")):
        for command in (["zoo", "show", name], ["energy", name, "--data", "digits"]):
            result = CliRunner().invoke(app, command)
            assert result.exit_code == 2 and "Did you mean" not in result.stderr
            said = " ".join(result.stderr.split())
            assert f"{tmp_path / 'bore.v1'} to hold metadata.json" in said and f"with {left} alone" in said
    with pytest.raises(ValueError, match="to hold metadata.json"):
        kspike.zoo.load("bore", directory=tmp_path)
    with pytest.raises(ValueError, match=r"Its versions there: v2"):
        kspike.zoo.load("bare.v7", directory=tmp_path)
    shutil.copytree(tmp_path / "bore.v1", tmp_path / "bare.v3")  # a part of a newer one takes nothing away
    assert kspike.zoo.card("bare", directory=tmp_path)["version"] == 2


def test_an_entry_that_may_not_be_read_is_damaged_too(zoo, monkeypatch):
    read = kspike.zoo.files.read_bounded

    def refused(path, *args, **kwargs):
        if "nine.v10" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **kwargs)

    monkeypatch.setattr(kspike.zoo.files, "read_bounded", refused)  # root may read anything
    with pytest.warns(UserWarning, match="Permission denied"):
        assert kspike.zoo.list_models(directory=zoo) == ["bare.v2", "tiny_digits.v1"]


def test_a_card_of_the_least_that_an_entry_must_say_is_shown(zoo, tmp_path, rewrite):
    """What may be left out reads as None: nobody need ask first."""
    folder = shutil.copytree(zoo / "bare.v1", tmp_path / "bare.v1")
    least = ("format_version", "name", "version", "files", "parameters", "license", "input")
    metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
    metadata["files"].pop("README.md")
    (folder / "metadata.json").write_text(json.dumps({key: metadata[key] for key in least}))
    card = kspike.zoo.card(folder)
    assert card["accuracy"] is card["data"] is card["energy_mj"] is card["class_names"] is card["search"] is None
    for arguments in (["show", str(folder)], ["list", "--directory", str(tmp_path)]):
        result = CliRunner().invoke(app, ["zoo", *arguments])
        assert result.exit_code == 0 and "bare.v1" in result.stdout and "cc0-1.0" in result.stdout
    for change in ({"data": {"version": "1"}}, {"energy": {"n": 1}, "energy_mj": 1.0}, {"evaluation": {"n": 1}}):
        rewrite(folder, change)
        result = CliRunner().invoke(app, ["zoo", "show", str(folder)])
        assert result.exit_code == 2 and result.stderr.startswith("error: Expected ") and str(folder) in result.stderr
        metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
        (folder / "metadata.json").write_text(json.dumps({key: metadata[key] for key in least}))


def test_markup_in_a_card_styles_nothing(entry, rewrite):
    rewrite(entry, {"license": "[link=https://example.org]free[/link]"})
    assert "[link=https://example.org]" in str(kspike.zoo.list_models(directory=entry.parent))


def test_a_directory_that_is_none_is_told(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        kspike.zoo.list_models(directory=tmp_path / "nowhere")
