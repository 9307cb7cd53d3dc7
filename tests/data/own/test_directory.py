"""Folders of pictures as a data set: layouts, formats, sizes, damage, and memory."""

import concurrent.futures
import io
import os
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from kspike import data
from kspike.data.own import held, pictures

pytestmark = pytest.mark.once

CLASSES = ("ant", "bee", "cow")


def picture(seed, size=(8, 8), channels=3):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype="uint8")


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """24 pictures of three classes."""
    for i in range(24):
        save(tmp_path / "photos" / CLASSES[i % 3] / f"{i}.png", picture(i))
    return tmp_path / "photos"


def test_a_folder_of_classes_is_cut_by_the_files_names(photos):
    found = data.from_directory(photos, batch_size=4)
    assert found.name == "photos" and found.class_names == CLASSES and found.input_shape == (8, 8, 3)
    parts = [found.train, found.validation, found.test]
    assert [part.num_examples for part in parts] == [17, 2, 5]
    ids = [i for part in parts for i in part.ids.tolist()]
    assert sorted(ids) == sorted(f"{CLASSES[i % 3]}/{i}.png" for i in range(24))
    for part in parts:
        for image, label, i in zip(part.images, part.labels, part.ids, strict=True):
            name, _, file = i.partition("/")
            assert name == CLASSES[label]
            np.testing.assert_array_equal(image, picture(int(file.removesuffix(".png"))))
    # the same parts in a folder of another place, name, seed and size of picture
    os.rename(photos, photos.with_name("moved"))
    again = data.from_directory(photos.with_name("moved"), seed=9, image_size=4)
    assert again.split_hash == found.split_hash
    np.testing.assert_array_equal(again.test.ids, found.test.ids)


def test_arrays_and_a_folder_of_the_same_images_are_alike(photos):
    folder = data.from_directory(photos)
    arrays = data.from_arrays(folder.train.images, folder.train.labels, test=(folder.test.images, folder.test.labels),
                              validation=(folder.validation.images, folder.validation.labels))  # fmt: skip
    assert arrays.mean == folder.mean and arrays.std == folder.std
    np.testing.assert_array_equal(arrays.test[0][0], folder.test[0][0])


@pytest.mark.parametrize("called", ["validation", "val", "valid", "Valid"])
def test_folders_of_parts_are_used_as_they_are(tmp_path, called):
    for i in range(24):
        part = ("train", "train", called, "test")[i % 4]
        part = part.title() if called == "Valid" else part
        save(tmp_path / part / CLASSES[i % 3] / f"{i}.png", picture(i))
    found = data.from_directory(tmp_path, name="parted")
    for part, name in ((found.train, "train"), (found.validation, called), (found.test, "test")):
        written = name.title() if called == "Valid" else name
        numbers = [i for i in range(24) if ("train", "train", called, "test")[i % 4] == name]
        assert part.ids.tolist() == sorted(f"{written}/{CLASSES[i % 3]}/{i}.png" for i in numbers)
    with pytest.raises(ValueError, match="has a folder of that part"):
        data.from_directory(tmp_path, test=0.5)


def test_a_missing_part_is_cut_out_of_train(photos, tmp_path):
    for i in range(6):
        save(tmp_path / "parted" / "test" / CLASSES[i % 3] / f"{i}.png", picture(100 + i))
    os.rename(photos, tmp_path / "parted" / "train")
    found = data.from_directory(tmp_path / "parted", validation=0.25)
    assert [part.num_examples for part in (found.train, found.validation, found.test)] == [18, 6, 6]
    # a class may be called "train"
    os.rename(tmp_path / "parted" / "test" / "ant", tmp_path / "parted" / "test" / "train")
    assert data.from_directory(tmp_path / "parted" / "test", test=1, validation=1).class_names == (
        "bee",
        "cow",
        "train",
    )


def test_every_format_is_read_by_its_content(tmp_path):
    smooth = np.arange(64, dtype="uint8").reshape(8, 8, 1).repeat(3, 2)
    for i in range(30):
        kind = ("png", "jpeg", "webp", "bmp", "webp")[i % 5]
        options = {"lossless": True} if kind == "webp" else {"quality": 95} if kind == "jpeg" else {}
        save(tmp_path / CLASSES[i % 3] / f"{i}.bin", smooth + np.uint8(3 * i), format=kind, **options)
    found = data.from_directory(tmp_path)
    for image, i in zip(found.train.images, found.train.ids, strict=True):
        number = int(i.split("/")[1].removesuffix(".bin"))
        near = 6 if number % 5 == 1 else 0
        assert np.abs(image.astype(int) - (smooth + np.uint8(3 * number))).max() <= near


def test_a_copy_in_another_format_is_the_same_image(photos, tmp_path):
    for i in range(3):
        save(tmp_path / "parted" / "test" / CLASSES[i] / f"{i}.bmp", picture(i))
    os.rename(photos, tmp_path / "parted" / "train")
    with pytest.raises(ValueError, match=r"3 images in two parts.*train/ant/0.png \(train\) and test/ant/0.bmp"):
        data.from_directory(tmp_path / "parted")


def test_grey_and_colour(tmp_path):
    for i in range(12):
        save(tmp_path / "grey" / CLASSES[i % 3] / f"{i}.png", picture(i, channels=1))
        save(tmp_path / "both" / CLASSES[i % 3] / f"{i}.png", picture(i, channels=1 + 2 * (i == 4)))
    assert data.from_directory(tmp_path / "grey").input_shape == (8, 8, 1)
    assert data.from_directory(tmp_path / "grey", channels=3).input_shape == (8, 8, 3)
    both = data.from_directory(tmp_path / "both")
    assert both.input_shape == (8, 8, 3)
    for image, i in zip(both.train.images, both.train.ids, strict=True):
        if i != "bee/4.png":
            assert (image == image[..., :1]).all()
    grey = data.from_directory(tmp_path / "both", channels=1)
    assert grey.input_shape == (8, 8, 1)
    # whoever opens the folder for a model of three channels has the same images
    assert data.from_directory(tmp_path / "both", channels=3).train.hash == both.train.hash
    save(tmp_path / "grey" / "ant" / "copy.png", np.repeat(picture(0, channels=1), 3, axis=2))
    with pytest.warns(UserWarning, match="1 copy of other images"):
        data.from_directory(tmp_path / "grey")


def decoded(image, size=None, fit="crop", **options):
    """What is read of a picture that Pillow writes."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        image.save(path, **{"format": "PNG", **options})
        return pictures.decode(path, size, fit)


def test_what_is_transparent_is_laid_over_white():
    red = np.zeros((2, 2, 4), "uint8")
    red[..., 0], red[0, 0, 3] = 200, 255
    image = decoded(Image.fromarray(red))
    assert image[0, 0].tolist() == [200, 0, 0] and image[1, 1].tolist() == [255] * 3
    grey = np.dstack([np.zeros((2, 2), "uint8"), np.array([[255, 0], [0, 0]], "uint8")])
    assert decoded(Image.fromarray(grey, "LA"))[..., 0].tolist() == [[0, 255], [255, 255]]
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert decoded(palette)[0, 0].tolist() == [10, 20, 30]
    assert decoded(palette, transparency=1)[0, 0].tolist() == [255] * 3


def test_a_picture_is_turned_upright_as_its_camera_says():
    image = Image.fromarray(picture(0, (4, 6)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    assert decoded(image, exif=exif).shape == (6, 4, 3)
    np.testing.assert_array_equal(decoded(image, exif=exif), np.rot90(picture(0, (4, 6)), -1))


def test_the_first_picture_of_a_cameras_jpeg_is_read():
    both = Image.fromarray(picture(0, (16, 16)))
    preview = Image.fromarray(picture(1, (8, 8)))
    assert decoded(both, format="MPO", save_all=True, append_images=[preview]).shape == (16, 16, 3)


def test_sizes_crop_and_resize():
    stripes = np.zeros((4, 8, 1), "uint8")
    stripes[:, 2:6] = 100
    image = Image.fromarray(stripes[..., 0])
    assert (decoded(image, (4, 4), "crop") == 100).all()
    assert decoded(image, (4, 4), "resize")[0, :, 0].tolist() == [0, 100, 100, 0]
    assert decoded(image, (2, 2), "resize")[0, :, 0].tolist() == [50, 50]  # the mean of what it covers
    assert decoded(image, (8, 16), "resize").shape == (8, 16, 1)
    # a large JPEG is decoded at a part of its size, and is the same picture
    smooth = Image.linear_gradient("L").resize((640, 640))
    near = decoded(smooth, (32, 32), format="JPEG", quality=95).astype(int) - decoded(smooth, (32, 32)).astype(int)
    assert np.abs(near).max() <= 3


def test_sizes_that_differ_want_image_size(photos):
    save(photos / "ant" / "large.png", picture(50, (9, 8)))
    with pytest.raises(ValueError, match=r"differ in size.*0.png 8x8.*large.png 9x8.*image_size="):
        data.from_directory(photos)
    assert data.from_directory(photos, image_size=8).input_shape == (8, 8, 3)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def animated(path):
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    frames[0].save(path, format="WEBP", save_all=True, append_images=frames[1:])


DAMAGE = {
    "cut off": (cut_off, "is damaged"),
    "flipped": (flipped, "is damaged"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("ant"), "is no PNG, JPEG, WebP or BMP"),
    "gif": (lambda path: Image.fromarray(picture(0)).save(path, format="GIF"), "is no PNG, JPEG, WebP or BMP"),
    "animated": (animated, "is animated, 3 frames"),
    "16 bits": (
        lambda path: Image.fromarray(np.full((8, 8), 40000, "uint16")).save(path, format="PNG"),
        "has pixels of mode .*not 8 bits a channel",
    ),
    "gone": (lambda path: (path.unlink(), path.symlink_to(path.parent / "nowhere")), "cannot be read"),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "is a pipe or a device"),  # would be waited for
    "endless": (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "is a pipe or a device"),
}


def test_pictures_decoded_at_once_leave_the_users_warnings_as_they_are(tmp_path, monkeypatch):
    """Of two that overlap the first to begin ends first: what the second found was the first one's."""
    for name in ("first.png", "second.png"):
        save(tmp_path / name, picture(0))
    began, ended = threading.Event(), threading.Event()
    plain = pictures._plain

    def slow(image):
        if threading.current_thread().name.endswith("_0"):
            assert began.wait(60)
        else:
            began.set()
            assert ended.wait(60)
        return plain(image)

    monkeypatch.setattr(pictures, "_plain", slow)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="t") as pool:
            first = pool.submit(pictures.decode, tmp_path / "first.png", None, "crop")
            second = pool.submit(pictures.decode, tmp_path / "second.png", None, "crop")
            first.result()
            ended.set()
            second.result()
        assert warnings.filters == before


@pytest.mark.parametrize("damage, said", DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_read_is_named_and_refused_or_skipped(photos, damage, said):
    damage(photos / "bee" / "4.png")
    with pytest.raises(ValueError, match=f"1 of 24 files cannot be read.*bee/4.png {said}.*unreadable='skip'"):
        data.from_directory(photos)
    with pytest.warns(UserWarning, match="1 of 24 files cannot be read.*left out"):
        found = data.from_directory(photos, unreadable="skip")
    assert len(found.skipped) == 1 and "bee/4.png" in found.skipped[0]
    assert sum(part.num_examples for part in (found.train, found.validation, found.test)) == 23


def test_a_bomb_of_pixels_is_refused(photos, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save(photos / "ant" / "bomb.png", np.zeros((11, 11, 3), "uint8"))
    with pytest.raises(ValueError, match="bomb.png holds more than 100 pixels"):
        data.from_directory(photos, image_size=8)


def test_a_file_larger_than_any_picture_is_not_read(photos, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 1000)
    (photos / "ant" / "0.png").write_bytes(bytes(1001))
    with pytest.raises(ValueError, match=r"ant/0.png holds more than 1,000 bytes"):
        data.from_directory(photos)


def test_what_systems_leave_beside_pictures_is_none(photos):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (photos / "ant" / name).write_bytes(b"x")
    (photos / ".git").mkdir()
    (photos / "README.txt").write_text("mine")
    assert data.from_directory(photos).class_names == CLASSES


def test_bad_folders_are_refused_with_the_folder_that_is_meant(photos, tmp_path):
    def refused(said, path=photos, **options):
        with pytest.raises(ValueError, match=said):
            data.from_directory(path, **options)

    refused("is not there", tmp_path / "nothing")
    refused("is a file", photos / "ant" / "0.png")
    refused("pictures outside of the folders of classes: 0.png, 12.png", photos / "ant")
    refused("photos holds the folders ant, bee, cow", tmp_path)
    refused("besides", class_names=("ant", "bee"))
    refused("has no dog", class_names=("ant", "bee", "cow", "dog"))
    refused("channels: expected 1", channels=2)
    refused("unreadable: expected", unreadable="ignore")
    (photos / "dog").mkdir()
    refused("no picture in train of the class dog")
    (photos / "dog").rmdir()
    save(photos / "ant" / "deeper" / "x.png", picture(90))
    refused("holds the folders deeper")
    os.rename(photos / "ant" / "deeper" / "x.png", photos / "x.png")
    (photos / "ant" / "deeper").rmdir()
    refused("pictures outside of the folders of classes: x.png")


@pytest.mark.parametrize("name", [b"a\nb.png", b"\xff.png", b"\x1b[31m.png"])
def test_names_that_are_no_text_are_refused(photos, name):
    path = os.fsencode(photos / "ant") + b"/" + name
    try:
        with open(path, "wb") as file:
            file.write((photos / "ant" / "0.png").read_bytes())
    except OSError:
        pytest.skip("no such names on this file system")
    with pytest.raises(ValueError, match="rename it") as refused:
        data.from_directory(photos)
    assert str(refused.value).isprintable() and str(refused.value).encode()


def test_class_names_say_the_order_and_numbers_count(photos, tmp_path):
    assert data.from_directory(photos, class_names=("cow", "ant", "bee")).class_names == ("cow", "ant", "bee")
    for i in range(24):
        save(tmp_path / "numbers" / str(i % 12) / f"{i}.png", picture(i))
    found = data.from_directory(tmp_path / "numbers", test=1, validation=1)
    assert found.class_names == tuple(map(str, range(12)))


def test_memory_holds_no_more_than_was_said(photos, monkeypatch):
    one = 8 * 8 * 3
    reads = []
    decode = pictures.decode

    def counted(path, *arguments):
        reads.append(path.name)
        return decode(path, *arguments)

    monkeypatch.setattr(pictures, "decode", counted)
    found = data.from_directory(photos, memory=10 * one, batch_size=8)
    assert len(reads) == 24
    store = found.train._pool.images.store
    assert sum(image.nbytes for image in store._kept.values()) == 10 * one
    whole = data.from_directory(photos)
    reads.clear()
    for epoch in range(2):
        found.train.set_epoch(epoch)
        whole.train.set_epoch(epoch)
        first = [found.train[i][0] for i in range(2)]
        again = found.train.rebatch(8)
        np.testing.assert_array_equal(first[0], again[0][0])
    assert 0 < len(reads) and set(reads).isdisjoint({os.path.basename(store.names[number]) for number in store._kept})
    np.testing.assert_array_equal(found.test[0][0], whole.test[0][0])


def test_a_file_that_changes_under_a_run_is_noticed(photos):
    found = data.from_directory(photos, memory=0)
    path = photos / found.train.ids[0]
    save(path, picture(77))
    with pytest.raises(ValueError, match=f"{path.name} is another image than when the data set was opened"):
        found.train.images  # noqa: B018
    path.unlink()
    with pytest.raises(ValueError, match=f"{path.name} cannot be read.*was whole"):
        found.train.images  # noqa: B018


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.proof)])
def test_damaged_files_are_refused_or_read_never_a_traceback(count, tmp_path):
    """Bytes flipped, cut off, put in and overwritten, seeded: an array of bytes, or a ValueError."""
    rng = np.random.default_rng(0)
    originals = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        content = io.BytesIO()
        Image.fromarray(picture(0, (16, 16))).save(content, format=kind)
        originals.append(content.getvalue())
    refused = 0
    for i in range(count):
        content = bytearray(originals[i % 4])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(content)))
            change = rng.integers(0, 4)
            if change == 0:
                content[at] ^= int(rng.integers(1, 256))
            elif change == 1:
                del content[at + 1 :]
            elif change == 2:
                content[at:at] = rng.bytes(int(rng.integers(1, 9)))
            else:
                content[at : at + 4] = b"\xff\xff\xff\xff"
        path = tmp_path / f"{i}"
        path.write_bytes(content)
        try:
            image = pictures.decode(path, (8, 8), "crop")
        except ValueError:
            refused += 1
            continue
        assert image.dtype == np.uint8 and image.shape[:2] == (8, 8) and image.shape[2] in (1, 3)
    assert refused > count // 4


def test_digests_tell_shapes_and_types_apart():
    image = np.zeros((2, 8, 1), "uint8")
    assert len({held.digest(image), held.digest(image.reshape(8, 2, 1)), held.digest(image.view("int8"))}) == 3
