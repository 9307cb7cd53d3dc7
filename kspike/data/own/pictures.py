"""Decodes one picture file into an array, upright, as grey or colour, made to fit a size."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kspike._files import opened_plain
from kspike.data.resizing import center_box
from kspike.data.sources import Array

#: What is read; the content of a file decides, not its name.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
NAMES = "PNG, JPEG, WebP or BMP"
FITS = ("crop", "resize")
#: Of a file: more than as many pixels as Pillow decodes have in any of the formats.
MOST_BYTES = 2**29
_GREY, _COLOUR = ("1", "L"), ("RGB", "P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX")
_ALPHA = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}


def check_fit(fit: Any) -> str:
    """Reads a `fit=` argument."""
    if fit not in FITS:
        raise ValueError(
            f"fit: expected 'crop' (the largest part of the aspect of image_size around the centre, then scaled) or "
            f"'resize' (all of it, stretched), received {fit!r}."
        )
    return fit


def decode(path: Path, size: tuple[int, int] | None, fit: str) -> Array:
    """A file -> uint8 (height, width, 1) if it is grey, (height, width, 3) if it is in colour.

    Turned upright as its EXIF orientation says. What is transparent is laid over white. A much larger JPEG is decoded
    at a half, a quarter or an eighth of its size first, never below twice the size that is wanted.

    Raises:
        ValueError: no still picture of 8 bits a channel that can be read to its end; says why.
    """
    try:
        with opened_plain(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path} ").rstrip(".")) from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"holds more than {MOST_BYTES:,} bytes: make it smaller first")
    if not content:
        raise ValueError("is empty")
    from PIL import Image, ImageOps

    try:
        with _QUIET:
            picture: Any = Image.open(io.BytesIO(content), formats=FORMATS)
            # A camera's JPEG may hold a preview beside the picture (MPO): the first is the picture.
            if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"is animated, {picture.n_frames} frames: save one of them as a picture of its own")
            if size is not None and picture.format in ("JPEG", "MPO"):
                picture.draft(None, (2 * max(size), 2 * max(size)))
            picture = _plain(ImageOps.exif_transpose(picture))
    except Image.UnidentifiedImageError:
        raise ValueError(f"is no {NAMES}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"holds more than {Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller first") from None
    except Exception as error:  # decoders raise errors of every kind for damaged files
        said = str(error) if isinstance(error, ValueError) else f"is damaged ({error})"
        raise ValueError(said) from None
    return as_array(picture, size, fit)


class _Quiet:
    """Leaves out Pillow's warnings (damaged EXIF, odd transparency); one of too many pixels is an error.

    `warnings.catch_warnings` holds for all threads, and puts back what was there when it was entered: two that overlap
    would leave the first one's filters behind for good. So it is entered by the first thread and left by the last.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._caught = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        from PIL import Image

        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")  # what others say meanwhile is heard
                warnings.simplefilter("error", Image.DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


def as_array(picture: Any, size: tuple[int, int] | None, fit: str) -> Array:
    """A picture of Pillow's, grey or RGB -> its array, made to fit."""
    picture = _fitted(picture, size, fit)
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, -1)


def from_pillow(picture: Any, size: tuple[int, int] | None, fit: str) -> Array:
    """A picture that another library opened by Pillow -> as `decode` gives it."""
    from PIL import ImageOps

    return as_array(_plain(ImageOps.exif_transpose(picture)), size, fit)


def _plain(picture: Any) -> Any:
    """Grey stays grey, all else becomes RGB; what is transparent is laid over white."""
    from PIL import Image

    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in _ALPHA:
        over = "LA" if _ALPHA[picture.mode] == "L" else "RGBA"
        picture = picture.convert(over)
        ground = Image.new(_ALPHA[over], picture.size, "white")
        ground.paste(picture.convert(_ALPHA[over]), mask=picture.getchannel("A"))
        return ground
    if picture.mode in _GREY:
        return picture.convert("L")
    if picture.mode in _COLOUR:
        return picture.convert("RGB")
    raise ValueError(
        f"has pixels of mode {picture.mode!r}, which are not 8 bits a channel: convert it, or read it yourself and "
        "pass arrays with input_range="
    )


def _fitted(picture: Any, size: tuple[int, int] | None, fit: str) -> Any:
    """A picture of Pillow's made to fit (height, width): averaged down by areas, or scaled up bilinearly."""
    from PIL import Image

    if size is None or (picture.height, picture.width) == size:
        return picture
    top, left, bottom, right = 0, 0, picture.height, picture.width
    if fit == "crop":
        top, left, bottom, right = center_box(picture.height, picture.width, size)
    smaller = size[0] <= bottom - top and size[1] <= right - left
    kind = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return picture.resize((size[1], size[0]), kind, box=(left, top, right, bottom))


def with_channels(image: Array, channels: int | None) -> Array:
    """A picture as grey (ITU-R 601, as Pillow weighs colours) or in three channels; None leaves it as it is."""
    if channels is None or image.shape[2] == channels:
        return image
    if channels == 3:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    from PIL import Image

    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def fitted_array(image: Array, size: tuple[int, int], fit: str) -> Array:
    """An array (height, width, channels), uint8 or float32, made to fit as a picture is, channel by channel."""
    from PIL import Image

    planes = [_fitted(Image.fromarray(np.ascontiguousarray(image[..., c])), size, fit) for c in range(image.shape[2])]
    return np.stack([np.asarray(plane, image.dtype) for plane in planes], axis=-1)
