"""A user's own pictures through every command: trained, extended, measured, searched, published, verified."""

import json

import numpy as np
import pytest
from PIL import Image

import kspike
from tests.cli.test_cli import fails, kspike_command

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 3), num_classes=10, timesteps=1, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip
CLASSES = ("ant", "bee", "cow")


def picture(i, size=10):
    """Each class has a colour of its own."""
    image = np.random.default_rng(i).integers(0, 100, (size, size + i % 3, 3), dtype="uint8")
    image[..., i % 3] += 120
    return image


def done(*arguments):
    result = kspike_command(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pictures of several sizes, an architecture, and a run."""
    place = tmp_path_factory.mktemp("own")
    for i in range(60):
        path = place / "photos" / CLASSES[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture(i))
        (image.convert("L") if i % 10 == 4 else image).save(path)  # some are grey
    (place / "net.json").write_text(json.dumps(CONFIG.to_dict()))
    shown = done(
        "train", place / "net.json", "--data", place / "photos", "--epochs", 2, "--batch-size", 14,
        "--directory", place / "run",
    )  # fmt: skip
    assert "epoch 2/2" in shown
    return place


def test_a_run_knows_its_images(place):
    about = kspike.training.read_data(place / "run")
    assert about["class_names"] == list(CLASSES) and about["input"]["shape"] == [8, 8, 3] and about["own"]
    settings = json.loads((place / "run" / "settings.json").read_text())
    data = kspike.data.from_directory(place / "photos", image_size=8)
    assert settings["images"] == data.train.hash and settings["validation_images"] == data.validation.hash
    assert settings["model"]["num_classes"] == 3


@pytest.mark.slow
@pytest.mark.shared
def test_a_model_gives_pictures_its_size_normalisation_and_classes(place, tmp_path):
    row = json.loads(done("evaluate", place / "run", "--data", place / "photos", "--json"))
    assert row["images"] == 12 and row["data"] == "photos"
    report = json.loads(done("energy", place / "run", "--data", place / "photos", "--json"))
    assert report["images"] == 12
    # other pictures are normalised as those it was trained on, and its classes keep their order
    for i in range(12):
        path = tmp_path / "others" / CLASSES[2 - i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(100 + i, 16) // 4).save(path)
    (tmp_path / "others" / "ant").rename(tmp_path / "others" / "zebra")
    said = fails("evaluate", place / "run", "--data", tmp_path / "others")
    assert "has zebra besides" in said and "has no ant" in said
    (tmp_path / "others" / "zebra").rename(tmp_path / "others" / "ant")
    from kspike.cli.options import open_data

    model, about = kspike.training.load(place / "run"), kspike.training.read_data(place / "run")
    opened = open_data(str(tmp_path / "others"), about, None, False, model.config)
    assert list(opened.mean) == about["input"]["mean"] and opened.input_shape == (8, 8, 3)


@pytest.mark.shared
def test_published_and_verified_with_the_users_own_pictures(place, tmp_path):
    zoo = ("--directory", tmp_path / "zoo")
    done("zoo", "publish", place / "run", "mine", "--data", place / "photos", "--license", "cc0-1.0", *zoo)
    card = kspike.zoo.card(tmp_path / "zoo" / "mine")
    assert card["class_names"] == list(CLASSES) and card["data"]["own"] and card["input"]["fit"] == "crop"
    assert card["evaluation"]["n"] == 12
    assert "agrees with its card" in done("zoo", "verify", tmp_path / "zoo" / "mine", "--data", place / "photos")
    assert "author's own" in fails("zoo", "verify", tmp_path / "zoo" / "mine")
    assert "(3 classes" not in done("evaluate", tmp_path / "zoo" / "mine", "--data", place / "photos")


@pytest.mark.shared
def test_pictures_that_changed_are_noticed(place, tmp_path):
    import shutil

    shutil.copytree(place / "photos", tmp_path / "photos")
    train = kspike.data.from_directory(place / "photos", image_size=8).train
    Image.fromarray(picture(7) // 2).save(tmp_path / "photos" / train.ids[0])
    again = ("train", place / "net.json", "--data", tmp_path / "photos", "--epochs", 2, "--batch-size", 14)
    said = fails(*again, "--directory", place / "run")
    assert "holds a run on other training images" in said and "has changed since the run began" in said
    said = fails("zoo", "publish", place / "run", "mine", "--data", tmp_path / "photos", "--license", "cc0-1.0")
    assert "was trained on other images" in said


@pytest.mark.slow
@pytest.mark.shared
def test_extended_and_fine_tuned_runs_say_where_they_come_from(place, tmp_path):
    photos = ("--data", place / "photos")
    shown = done(
        "train", place / "run", "--extend", 1, *photos, "--learning-rate", 1e-4, "--directory", tmp_path / "more"
    )
    assert "0 taken" not in shown and "fresh" not in shown
    settings = json.loads((tmp_path / "more" / "settings.json").read_text())
    assert settings["recipe"]["epochs"] == 1 and settings["recipe"]["batch_size"] == 14
    assert settings["from"]["training"]["recipe"]["epochs"] == 2
    zoo = ("--directory", tmp_path / "zoo", "--license", "cc0-1.0")
    done("zoo", "publish", tmp_path / "more", "mine", *photos, *zoo)
    training = kspike.zoo.card(tmp_path / "zoo" / "mine")["training"]
    assert training["recipe"]["learning_rate"] == 1e-4  # both recipes are on the card
    assert training["from"]["training"]["recipe"]["learning_rate"] == 1e-3
    (tmp_path / "wide.json").write_text(json.dumps(CONFIG.replace(input_shape=(16, 16, 3)).to_dict()))
    shown = done(
        "train", tmp_path / "wide.json", "--from", place / "run", *photos, "--freeze", "stem", "--layer-decay", 0.8,
        "--ema", 0.9, "--timesteps", 2, "--epochs", 1, "--batch-size", 14, "--directory", tmp_path / "wide",
    )  # fmt: skip
    assert (
        "taken over" in shown
        and "T 1 -> 2" in shown
        and "2 time steps" in shown
        and "1 epoch into" in shown
        and "(8, 8, 3) -> (16, 16, 3)" in shown
    )
    assert not kspike.training.load(tmp_path / "wide").get_layer("stem").trainable
    settings = json.loads((tmp_path / "wide" / "settings.json").read_text())
    assert settings["recipe"]["ema"] == 0.9 and settings["from"]["name"] == str(place / "run")


@pytest.mark.shared
def test_starts_that_make_no_sense_are_refused(place, tmp_path):
    photos = ("--data", place / "photos")
    run, net = place / "run", place / "net.json"
    assert "give one of them" in fails("train", net, "--from", run, "--weights", *photos)
    assert "--extend goes on from the folder of a run" in fails("train", net, "--extend", 2, *photos)
    assert "at least 1; received 0" in fails("train", run, "--extend", 0, *photos)
    assert "--extend makes a run of its own" in fails("train", run, "--extend", 1, *photos, "--directory", run)
    assert "Nothing of the model trains" in fails(
        "train", net, "--freeze", "*", *photos, "--directory", tmp_path / "frozen"
    )
    assert not (tmp_path / "frozen").exists()
    assert "Expected the folder of a run (kspike train), or an entry of the zoo" in fails(
        "predict", tmp_path / "nowhere", place / "photos"
    )
    assert "is for data of your own" in fails("evaluate", run, "--data", "digits", "--keep-duplicates")
    assert "leave out --epochs" in fails("train", run, "--extend", 2, "--epochs", 3, *photos)
    assert "was trained on as --data" in fails("train", run, "--extend", 2)
    assert "no layer of that name" in fails("train", net, "--from", run, "--freeze", "head_2", *photos)
    assert "Expected" in fails("train", net, "--from", tmp_path / "nothing", *photos)
    settings = json.loads((run / "settings.json").read_text())
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "settings.json").write_text(json.dumps(settings | {"recipe": settings["recipe"] | {"epochs": 9}}))
    (unfinished / "history.csv").write_text("epoch\n1\n")
    assert "is at epoch 1 of 9" in fails("train", unfinished, "--extend", 2, *photos)


@pytest.mark.shared
def test_files_that_cannot_be_read_are_left_out_on_request(place, tmp_path):
    import shutil

    shutil.copytree(place / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "ant" / "notes.txt").write_text("no picture")
    arguments = ("evaluate", place / "run", "--data", tmp_path / "photos", "--json")
    assert "or pass --skip-unreadable" in fails(*arguments)
    with pytest.warns(UserWarning, match="notes.txt is no PNG.* left out"):
        shown = done(*arguments, "--skip-unreadable")
    assert json.loads(shown)["images"] == 12
    assert "is for folders of pictures" in fails("evaluate", "auto_spikformer_digits", "--skip-unreadable")


@pytest.mark.shared
def test_image_size_says_otherwise(place):
    said = fails("evaluate", place / "run", "--data", place / "photos", "--image-size", "16x8")
    assert "has (16, 8, 3)" in said
    assert "--image-size expects pixels" in fails(
        "evaluate", place / "run", "--data", place / "photos", "--image-size", "big"
    )
    assert "is not there" in fails("evaluate", place / "run", "--data", "./nothing")
    assert "are for sets known by name" in fails("evaluate", place / "run", "--data", place / "photos", "--download")


@pytest.mark.shared
def test_other_classes_of_the_same_shape_are_refused(place, tmp_path):
    """The default data set would else be measured in silence, where it happens to have as many classes."""
    np.savez(tmp_path / "ten.npz", x=np.random.default_rng(0).integers(0, 17, (80, 8, 8, 1), dtype="uint8"),
             y=np.array([f"class {i % 10}" for i in range(80)]), input_range=(0, 16))  # fmt: skip
    (tmp_path / "net.json").write_text(json.dumps(CONFIG.replace(input_shape=(8, 8, 1)).to_dict()))
    done(
        "train", tmp_path / "net.json", "--data", tmp_path / "ten.npz", "--epochs", 1, "--batch-size", 28,
        "--directory", tmp_path / "run",
    )  # fmt: skip
    assert "The classes of the model are class 0, class 1" in fails("evaluate", tmp_path / "run")
    said = fails("zoo", "publish", tmp_path / "run", "ten", "--license", "mit", "--directory", tmp_path)
    assert "those of 'digits' are 0, 1, 2, 3, ..." in said


@pytest.mark.shared
def test_a_space_is_searched_for_the_users_pictures(place, tmp_path):
    done(
        "search", "digits", "--method", "zero-cost", "--data", place / "photos", "--image-size", 16, "--trials", 2,
        "--directory", tmp_path, "--project", "p",
    )  # fmt: skip
    best = kspike.SpikformerConfig.from_dict(json.loads((tmp_path / "p" / "best.json").read_text()))
    assert best.input_shape == (16, 16, 3) and best.num_classes == 3


@pytest.mark.slow
@pytest.mark.shared
def test_a_supernet_is_searched_for_the_users_pictures(place, tmp_path):
    done(
        "search", "digits", "--data", place / "photos", "--epochs", 1, "--generations", 1, "--population", 4,
        "--parents", 2, "--batch-size", 14, "--directory", tmp_path, "--project", "p",
    )  # fmt: skip
    best = kspike.SpikformerConfig.from_dict(json.loads((tmp_path / "p" / "best.json").read_text()))
    assert best.input_shape == (8, 8, 3) and best.num_classes == 3


def test_predict_names_what_is_on_pictures(place, tmp_path):
    shown = done("predict", place / "run", place / "photos" / "ant" / "0.png", place / "photos" / "bee", "--top", 2)
    lines = shown.splitlines()
    assert len(lines) == 21 and lines[0].startswith(str(place / "photos" / "ant" / "0.png"))
    assert lines[0].count("%") == 2
    rows = [json.loads(line) for line in done("predict", place / "run", place / "photos", "--json").splitlines()]
    assert len(rows) == 60 and len(rows[0]["classes"]) == 3
    assert sum(each["probability"] for each in rows[0]["classes"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.shared
def test_predict_says_which_files_are_no_pictures(place, tmp_path):
    (tmp_path / "bad\x1b[31m.txt").write_text("no picture")
    Image.fromarray(picture(0)).save(tmp_path / "good.png")
    result = kspike_command("predict", place / "run", tmp_path)
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 1 and "\x1b" not in result.output
    assert "is no PNG" in result.stderr and "1 of 2 files" in result.stderr
    result = kspike_command("predict", place / "run", tmp_path, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1 and "is no PNG" in rows[0]["error"] and rows[1]["classes"]
    assert "is not there" in fails("predict", place / "run", tmp_path / "nothing.png")
    assert "publish it" in fails("predict", tmp_path / "model.keras", tmp_path)
