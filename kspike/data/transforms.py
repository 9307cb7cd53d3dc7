"""Shifts, mirrors, erases and mixes a batch of images at once; each function takes its `rng` and changes no input."""

from typing import NamedTuple

import numpy as np

from kspike.data.sources import Array


class Moves(NamedTuple):
    """Where each image of a batch goes: `mirrored` (n,), and `dy`, `dx` (n,) pixels out of 0 to 2 `up`, 2 `left`."""

    dy: Array
    dx: Array
    mirrored: Array
    up: int
    left: int

    def of(self, rows: Array) -> "Moves":
        """Those of some images."""
        return Moves(self.dy[rows], self.dx[rows], self.mirrored[rows], self.up, self.left)


def draw_moves(batch: int, size: tuple[int, int], flip: float, shift: float, rng: np.random.Generator) -> Moves:
    """Draws for each image a mirror, with probability `flip`, and a shift, by up to `shift` of height and width."""
    up, left = (round(shift * side) for side in size)
    dy = rng.integers(0, 2 * up + 1, batch)
    dx = rng.integers(0, 2 * left + 1, batch)
    return Moves(dy, dx, rng.random((batch,)) < flip, up, left)


def flip_and_shift(images: Array, flip: float, shift: float, fill: Array, rng: np.random.Generator) -> Array:
    """Mirrors each image with probability `flip` and moves it by up to `shift` of its size in every direction.

    The shift is the padding and random crop of the ResNet recipes (He et al., 2016, section 4.2: 4 pixels of 32).

    Args:
        images: uint8 or float, (batch, height, width, channels).
        flip: probability of a left-right mirror.
        shift: largest move, as a share of height and of width.
        fill: (channels,), the colour that fills in at the edges.
    """
    return move(images, draw_moves(len(images), images.shape[1:3], flip, shift, rng), fill)


def move(images: Array, moves: Moves, fill: Array) -> Array:
    """Mirrors and moves images (batch, height, width, channels) as `moves` says; `fill` (channels,) at the edges."""
    batch, height, width, channels = images.shape
    dy, dx, mirrored, up, left = moves
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


def cut_and_mix(images: Array, labels: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Puts one rectangle of another image of the batch into each, and blends the one-hot labels by its area.

    CutMix (Yun et al., 2019), batch mode of timm: one rectangle for all, of 1 - Beta(alpha, alpha) of the area before
    it is cut off at the edges, its centre anywhere; the partner is the batch in reverse order.

    Args:
        images: float32, (batch, height, width, channels). labels: float32, (batch, classes).
    """
    _, height, width, _ = images.shape
    side = np.sqrt(1.0 - rng.beta(alpha, alpha))
    y, x = rng.integers(height), rng.integers(width)
    tall, wide = int(height * side) // 2, int(width * side) // 2
    rows, columns = slice(max(y - tall, 0), y + tall), slice(max(x - wide, 0), x + wide)
    out = images.copy()
    out[:, rows, columns] = images[::-1, rows, columns]
    other = np.float32(out[0, rows, columns, 0].size / (height * width))
    return out, labels * (1 - other) + labels[::-1] * other
