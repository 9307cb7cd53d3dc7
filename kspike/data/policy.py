"""Distorts images as the official Spikformer recipe does: equalise, rotate, shear or move, one operation an image.

Its RandAugment (`rand-m9-n1-mstd0.4-inc1`) has five operations, one of which is applied to an image with probability
0.5, at a magnitude drawn from N(9, 0.4) out of 10, with a random sign. Departure: pixels are sampled bilinearly, not
bicubically.
"""

import numpy as np

from kspike.data.sources import Array

OPERATIONS = ("equalize", "rotate", "shear_x", "translate_x", "translate_y")
# At magnitude 10: degrees, pixels sideways for each pixel down, shares of width and height.
MOST = {"rotate": 30.0, "shear_x": 0.3, "translate_x": 0.45, "translate_y": 0.45}


def distort(
    images: Array,
    operations: tuple[str, ...],
    probability: float,
    magnitude: tuple[float, float],
    fill: Array,
    top: Array | float,
    rng: np.random.Generator,
    black: Array | int = 0,
) -> Array:
    """Applies to each image, with `probability`, one of `operations` chosen at random.

    Args:
        images: uint8 or float, (batch, height, width, channels).
        operations: names out of OPERATIONS.
        magnitude: mean and standard deviation, out of 10.
        fill: (channels,), the colour that fills in at the edges.
        top: the largest value of a pixel, to which equalising stretches; of floats, one a channel.
        black: the least, likewise; of uint8 it is 0.
    """
    batch = len(images)
    chosen = rng.integers(0, len(operations), batch)
    applied = rng.random(batch) < probability
    level = np.clip(rng.normal(*magnitude, batch), 0.0, 10.0) / 10.0 * rng.choice((-1.0, 1.0), batch)
    matrices = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (batch, 1, 1))
    out = images.copy()
    moved = np.zeros(batch, bool)
    for k, name in enumerate(operations):
        where = np.flatnonzero((chosen == k) & applied)
        if name == "equalize":
            some = images[where]
            out[where] = equalize(some, int(top)) if some.dtype == np.uint8 else _equalize_floats(some, black, top)
        else:
            matrices[where] = _matrices(name, level[where], images.shape[1], images.shape[2])
            moved[where] = True
    out[moved] = affine(images[moved], matrices[moved], fill)
    return out


def equalize(images: Array, top: int = 255) -> Array:
    """Spreads the values of each channel of each image evenly over 0..top, bit for bit as Pillow's ImageOps does."""
    batch, height, width, channels = images.shape
    values = images.reshape(batch, height * width, channels).transpose(0, 2, 1).reshape(batch * channels, -1)
    rows = np.arange(len(values))[:, None]
    histogram = np.bincount((rows * 256 + values).ravel(), minlength=len(values) * 256).reshape(-1, 256)
    last = np.take_along_axis(histogram, values.max(axis=1, initial=0)[:, None].astype(int), axis=1)
    step = (height * width - last) // top
    below = np.cumsum(histogram, axis=1) - histogram
    table = np.where(step > 0, (step // 2 + below) // np.maximum(step, 1), np.arange(256)).clip(0, 255).astype(np.uint8)
    table = np.where(step > 0, np.minimum(table, top), table).astype(np.uint8)
    return table[rows, values].reshape(batch, channels, height * width).transpose(0, 2, 1).reshape(images.shape)


def _equalize_floats(images: Array, black: Array | int, top: Array | float) -> Array:
    """The same on 256 levels between the least and the largest value of each channel."""
    span = np.maximum(np.asarray(top) - black, np.finfo(np.float32).tiny)
    levels = np.rint((images - black) / span * 255).clip(0, 255).astype(np.uint8)
    return (equalize(levels) / np.float32(255) * span + black).astype(images.dtype)


def affine(images: Array, matrices: Array, fill: Array) -> Array:
    """Moves pixels: the result at (x, y) is the image at matrix @ (x, y, 1), between pixels by bilinear weights.

    Coordinates are in pixels from the upper left corner, pixel centres at one half; outside of the image is `fill`.
    """
    batch, height, width, channels = images.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
    m = matrices.astype(np.float32)[:, :, :, None, None]
    sx = m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]
    sy = m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]
    outside = (sx < 0) | (sx >= width) | (sy < 0) | (sy >= height)
    sx, sy = np.clip(sx - 0.5, 0, width - 1), np.clip(sy - 0.5, 0, height - 1)
    left, up = sx.astype(np.int32), sy.astype(np.int32)
    right, down = np.minimum(left + 1, width - 1), np.minimum(up + 1, height - 1)
    fx, fy = sx - left, sy - up
    weights = ((1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx)
    base = (np.arange(batch, dtype=np.int32) * (height * width))[:, None, None]
    corners = [base + rows * width + columns for rows in (up, down) for columns in (left, right)]
    out = np.empty_like(images)
    for c in range(channels):  # channel by channel: NumPy's inner loops are then long
        plane = images[..., c].astype(np.float32).ravel()
        value = sum(plane.take(corner) * weight for corner, weight in zip(corners, weights, strict=True))
        out[..., c] = np.where(outside, fill[c], np.rint(value) if images.dtype == np.uint8 else value)
    return out


def _matrices(name: str, level: Array, height: int, width: int) -> Array:
    """Gives the (n, 2, 3) matrices of one operation, from the result's coordinates to the image's."""
    amount = level * MOST[name]
    out = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (len(level), 1, 1))
    if name == "rotate":  # around the centre
        cos, sin = np.cos(np.radians(amount)), np.sin(np.radians(amount))
        out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1] = cos, sin, -sin, cos
        out[:, 0, 2] = width / 2 - cos * width / 2 - sin * height / 2
        out[:, 1, 2] = height / 2 + sin * width / 2 - cos * height / 2
    elif name == "shear_x":
        out[:, 0, 1] = amount
    elif name == "translate_x":
        out[:, 0, 2] = amount * width
    else:
        out[:, 1, 2] = amount * height
    return out
