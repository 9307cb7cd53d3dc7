"""Raw images in, named classes out: as training saw them, whatever their number, size and place."""

import numpy as np
import pytest
from PIL import Image

import kspike
from kspike import ops
from kspike.zoo.predicting import Predictor, pictures_in


@pytest.fixture(scope="module")
def predictor(released):
    return Predictor(released, batch_size=8)


def test_any_number_of_images_says_what_the_model_says(predictor, released, digits):
    raw = digits.test.images[:21]
    prepared = kspike.zoo.preprocess(raw, released)
    np.testing.assert_array_equal(predictor.prepare(raw), prepared)
    logits = kspike.zoo.load(released).predict(prepared, verbose=0)
    want = kspike.zoo.decode_predictions(logits, released, top=3)
    for n in (21, 8, 1):
        found = predictor(raw[:n], top=3)
        assert [[(i, name) for i, name, _ in row] for row in found] == [
            [(i, name) for i, name, _ in row] for row in want[:n]
        ]
        np.testing.assert_allclose([row[0][2] for row in found], [row[0][2] for row in want[:n]], rtol=1e-4)
    assert predictor(list(raw[:3])) == predictor(raw[:3])
    assert predictor([raw[0, ..., 0]]) == predictor(raw[:1])


@pytest.mark.skipif(not ops.compiles(), reason="nothing is compiled")
def test_two_programs_whatever_number_comes(released, digits):
    predictor = Predictor(released, batch_size=4)
    predictor(digits.test.images[:1])
    predictor(digits.test.images[:4])
    before = ops.compilation_counter()
    for n in (1, 2, 3, 4, 5, 9):
        assert len(predictor(digits.test.images[:n])) == n
    assert ops.compilation_counter() == before


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A published model of colour pictures, made to fit by resizing, and pictures of another size."""
    place = tmp_path_factory.mktemp("own")
    for i in range(30):
        path = place / "photos" / ("ant", "bee")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 20, 3), dtype="uint8")).save(path)
    data = kspike.data.from_directory(place / "photos", image_size=8, fit="resize", batch_size=5)
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 3), num_classes=2, timesteps=1, embed_dim=16, depth=1, num_heads=2, tau=1.25,
        stem_pool=(False, False, True, True), v_threshold=0.5,
    )  # fmt: skip
    folder = kspike.zoo.publish(kspike.Spikformer(config), "own", directory=place, data=data, license="cc0-1.0")
    return folder, data, place / "photos"


@pytest.mark.shared
def test_pictures_are_made_to_fit_as_they_were_in_training(own):
    folder, data, photos = own
    predictor = Predictor(folder, batch_size=4)
    assert predictor.fit == "resize" and predictor.class_names == ("ant", "bee")
    want = predictor.prepare(data.test.images)
    paths = [photos / i for i in data.test.ids]
    np.testing.assert_array_equal(predictor.prepare(paths), want)
    np.testing.assert_array_equal(predictor.prepare([Image.open(path) for path in paths]), want)
    np.testing.assert_array_equal(predictor.prepare(np.stack([np.asarray(Image.open(path)) for path in paths])), want)
    np.testing.assert_array_equal(want, np.concatenate([images for images, _ in data.test]))
    assert predictor(str(paths[0])) == predictor([paths[0]])


@pytest.mark.shared
def test_a_grey_picture_of_a_colour_model_and_the_range_of_another(own, predictor, digits, tmp_path):
    Image.fromarray(np.full((8, 8), 100, "uint8")).save(tmp_path / "grey.png")
    colour = Predictor(own[0]).prepare(tmp_path / "grey.png")
    np.testing.assert_array_equal(colour, Predictor(own[0]).prepare(np.full((1, 8, 8, 3), 100, "uint8")))
    # digits have pixels of 0..16, pictures of 0..255
    image = digits.test.images[0]
    Image.fromarray((image[..., 0] / 16 * 255).astype("uint8")).save(tmp_path / "digit.png")
    np.testing.assert_allclose(predictor.prepare(tmp_path / "digit.png"), predictor.prepare(image[None]), atol=0.02)


@pytest.mark.shared
def test_files_one_batch_after_the_other_and_what_is_none(own, tmp_path):
    folder, _, photos = own
    predictor = Predictor(folder, batch_size=4)
    paths = pictures_in([photos / "ant", photos / "bee" / "1.png"])
    assert len(paths) == 16 and paths[-1].name == "1.png"
    (tmp_path / "broken.png").write_bytes(paths[0].read_bytes()[:-40])
    paths.insert(3, tmp_path / "broken.png")
    rows = list(predictor.files(paths, top=1))
    assert [path for path, _ in rows] == paths
    assert isinstance(rows[3][1], ValueError) and "broken.png is damaged" in str(rows[3][1])
    good = [found for _, found in rows if not isinstance(found, ValueError)]
    assert good == predictor([path for path in paths if path.parent != tmp_path], top=1)


@pytest.mark.shared
def test_what_is_no_image_of_the_model_is_refused(predictor, own, tmp_path):
    def refused(said, images, of=predictor, **options):
        with pytest.raises(ValueError, match=said):
            of(images, **options)

    refused("top", np.zeros((1, 8, 8, 1), "uint8"), top=0)
    refused("at least one image", [])
    refused("at least one image", np.zeros((0, 8, 8, 1), "uint8"))
    refused("is a folder; expected a file", tmp_path)
    refused(r"Expected images of shape \(n, 8, 8, 1\)", np.zeros((1, 8, 8, 3), "uint8"))
    refused("Expected raw pixel values from 0 to 16", np.full((1, 8, 8, 1), 200, "uint8"))
    refused("look scaled already", np.full((1, 8, 8, 3), 0.5), of=Predictor(own[0]))
    refused("nothing.png cannot be read", tmp_path / "nothing.png")
    refused("Expected one array of numbers|whole or floating", [object()])
    for name, said in (("nobody", "Expected an entry"), (3, "Expected the name or the folder")):
        with pytest.raises(ValueError, match=said):
            Predictor(name)
    with pytest.raises(ValueError, match="batch_size: expected"):
        Predictor("auto_spikformer_digits", batch_size=0)
    with pytest.raises(ValueError, match="is not there"):
        pictures_in([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        pictures_in([tmp_path / "empty"])


@pytest.mark.once
def test_an_entry_without_data_does_not_say_how(model, tmp_path):
    folder = kspike.zoo.publish(model, "bare", directory=tmp_path, license="cc0-1.0")
    with pytest.raises(ValueError, match="to say range, mean and std"):
        Predictor(folder)


@pytest.mark.once
def test_links_of_folders_lead_nowhere(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"x")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert [path.name for path in pictures_in([tmp_path])] == ["x.png"]
