"""Shifts, mirrors, erases and mixes a batch of images at once; each function takes its `rng` and changes no input."""

import numpy as np

from kspike.data.sources import Array


def flip_and_shift(images: Array, flip: float, shift: float, fill: Array, rng: np.random.Generator) -> Array:
    """Mirrors each image with probability `flip` and moves it by up to `shift` of its size in every direction.

    The shift is the padding and random crop of the ResNet recipes (He et al., 2016, section 4.2: 4 pixels of 32).

    Args:
        images: uint8 or float, (batch, height, width, channels).
        flip: probability of a left-right mirror.
        shift: largest move, as a share of height and of width.
        fill: (channels,), the colour that fills in at the edges.
    """
    batch, height, width, channels = images.shape
    up, left = round(shift * height), round(shift * width)
    dy = rng.integers(0, 2 * up + 1, batch)
    dx = rng.integers(0, 2 * left + 1, batch)
    mirrored = rng.random((batch,)) < flip
    canvas = np.zeros((batch, height + 2 * up, width + 2 * left, channels), images.dtype)
    if fill.any():
        canvas[:] = fill
    canvas[:, up : up + height, left : left + width] = images
    rows = dy[:, None] + np.arange(height)
    columns = np.where(mirrored[:, None], np.arange(width)[::-1], np.arange(width)) + dx[:, None]
    pixel = (np.arange(batch)[:, None] * canvas.shape[1] + rows)[:, :, None] * canvas.shape[2] + columns[:, None, :]
    return canvas.reshape(-1, channels).take(pixel.ravel(), axis=0).reshape(images.shape)


def erase(
    images: Array,
    probability: float,
    area: tuple[float, float],
    aspect: float,
    rng: np.random.Generator,
    value: Array | float = 0.0,
) -> Array:
    """Sets one random rectangle of some images to `value`: zero is the mean colour once images are normalised.

    Random erasing (Zhong et al., 2020) in timm's "const" mode; a rectangle that does not fit is cut to the image, where
    timm draws again. With `probability` 1 and equal bounds of `area` it is cutout.

    Args:
        images: float32, (batch, height, width, channels), normalised.
        probability: share of images that lose a rectangle.
        area: smallest and largest share of the image.
        aspect: smallest ratio of height to width; the largest is its inverse; log-uniform between.
    """
    batch, height, width, _ = images.shape
    share = rng.uniform(*area, batch) * height * width
    ratio = np.exp(rng.uniform(np.log(aspect), -np.log(aspect), batch))
    tall = np.clip(np.rint(np.sqrt(share * ratio)), 1, height).astype(int)
    wide = np.clip(np.rint(np.sqrt(share / ratio)), 1, width).astype(int)
    top = np.floor(rng.random(batch) * (height - tall + 1)).astype(int)
    left = np.floor(rng.random(batch) * (width - wide + 1)).astype(int)
    chosen = rng.random((batch,)) < probability
    out = images.copy()
    for i in np.flatnonzero(chosen):  # a slice an image beats a mask over the batch
        out[i, top[i] : top[i] + tall[i], left[i] : left[i] + wide[i]] = value
    return out


def mix(images: Array, labels: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Blends each image and one-hot label with another of the batch, by one share for all, out of Beta(alpha, alpha).

    Mixup (Zhang et al., 2018), batch mode of timm: the partner is the batch in reverse order, itself a random one.

    Args:
        images: float32, (batch, ...). labels: float32, (batch, classes).
    """
    share = np.float32(rng.beta(alpha, alpha))
    rest = np.float32(1.0) - share
    return images * share + images[::-1] * rest, labels * share + labels[::-1] * rest
