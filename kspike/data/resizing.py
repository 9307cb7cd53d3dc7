"""Makes images smaller by averaging areas: every pixel of the result is the mean of the source pixels it covers."""

import numpy as np

from kspike.data.sources import Array


def area_average(images: Array, size: tuple[int, int]) -> Array:
    """Averages uint8 images (n, height, width, channels) down to (n, *size, channels), rounded to nearest (halves up).

    Sizes that divide the source's are computed in integers; others weigh each source pixel by the area covered.
    """
    height, width = images.shape[1:3]
    if (height, width) == size:
        return images
    out = np.empty((len(images), *size, images.shape[3]), np.uint8)
    exact = height % size[0] == 0 and width % size[1] == 0
    for start in range(0, len(images), 2048):  # keeps the wide integers of the sums out of memory
        chunk = images[start : start + 2048]
        out[start : start + 2048] = _blocks(chunk, size) if exact else _weighted(chunk, size)
    return out


def center_crop(image: Array, size: tuple[int, int]) -> Array:
    """Crops one image (height, width, channels) to the aspect of `size`, around its centre."""
    top, left, bottom, right = center_box(image.shape[0], image.shape[1], size)
    return image[top:bottom, left:right]


def center_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Gives (top, left, bottom, right) of the largest box of the aspect of `size` around an image's centre."""
    keep_height = max(1, min(height, round(width * size[0] / size[1])))
    keep_width = max(1, min(width, round(height * size[1] / size[0])))
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    return top, left, top + keep_height, left + keep_width


def _blocks(images: Array, size: tuple[int, int]) -> Array:
    fh, fw = images.shape[1] // size[0], images.shape[2] // size[1]
    total = np.zeros((len(images), *size, images.shape[3]), np.uint32)
    for i in range(fh):
        for j in range(fw):
            total += images[:, i::fh, j::fw]
    return ((total + fh * fw // 2) // (fh * fw)).astype(np.uint8)


def _weighted(images: Array, size: tuple[int, int]) -> Array:
    rows, columns = _coverage(images.shape[1], size[0]), _coverage(images.shape[2], size[1])
    mean = np.einsum("ih,nhwc,jw->nijc", rows, images.astype(np.float64), columns, optimize=True)
    return np.floor(mean + 0.5).clip(0, 255).astype(np.uint8)


def overlap(source: int, target: int) -> Array:
    """Gives (target, source) lengths: how much of each source pixel lies in each of the `target` pixels."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    return np.maximum(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0.0)


def _coverage(source: int, target: int) -> Array:
    """Gives (target, source) weights: the share of each target pixel that each source pixel covers."""
    return overlap(source, target) * (target / source)
