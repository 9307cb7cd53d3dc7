import shutil

import pytest

import kspike


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


def test_a_damaged_entry_is_left_out_and_named(zoo, tmp_path):
    shutil.copytree(zoo / "bare.v1", tmp_path / "bare.v1")
    shutil.copytree(zoo / "nine.v1", tmp_path / "nine.v1")
    (tmp_path / "nine.v1" / "metadata.json").write_text("{")
    with pytest.warns(UserWarning, match=r"nine\.v1 is damaged"):
        assert kspike.zoo.list_models(directory=tmp_path) == ["bare.v1"]


def test_markup_in_a_card_styles_nothing(entry, rewrite):
    rewrite(entry, {"license": "[link=https://example.org]free[/link]"})
    assert "[link=https://example.org]" in str(kspike.zoo.list_models(directory=entry.parent))


def test_a_directory_that_is_none_is_told(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        kspike.zoo.list_models(directory=tmp_path / "nowhere")
