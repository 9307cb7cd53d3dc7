"""A simulated event camera: an event wherever the logarithm of intensity has changed by a threshold, and noise.

    L = log(I + black);  while L - r >= threshold_on: an ON event, r += threshold_on;  OFF likewise;  r starts at L

(Lichtsteiner et al., 2008; as simulators from ESIM, Rebecq et al., 2018, on.) Time is interpolated linearly between two
pictures. Thresholds differ from pixel to pixel, times jitter, and pixels fire without cause. Integer arithmetic on a
table of logarithms: the same events on every machine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from kspike.data.events.mending import Raw
from kspike.data.events.recording import Recording
from kspike.data.sources import Array

#: Steps of intensity from 0 to full, and of the logarithm's unit.
INTENSITY, UNIT = 4096, 4096


@dataclass(frozen=True)
class Camera:
    """A simulated camera of `sensor_size` pixels.

    Args:
        sensor_size: (height, width).
        threshold: change of log intensity that makes an event.
        mismatch: standard deviation of thresholds over pixels, as a share.
        black: added to intensities of 0..1 before the logarithm: what the pixel sees without light.
        noise_hz: events without cause, a pixel and second.
        jitter_us: largest shift of an event's time, to either side.
        seed: of thresholds and noise.
    """

    sensor_size: tuple[int, int]
    threshold: float = 0.3
    mismatch: float = 0.1
    black: float = 0.1
    noise_hz: float = 0.5
    jitter_us: int = 500
    seed: int = 0

    def watch(self, pictures: Array, step_us: int, keys: Array, source: str = "simulated") -> list[Recording]:
        """Pictures (time, n, height, width), whole numbers from 0 to `INTENSITY`, `step_us` apart -> n recordings.

        Args:
            pictures: of n scenes at the same times.
            step_us: microseconds from one picture to the next.
            keys: (n,) whole numbers, one a scene: noise depends on the seed and the key alone.
            source: named in the recordings.
        """
        found = self._signal(pictures, step_us)
        end = (len(pictures) - 1) * step_us
        return [self._noisy(found, k, int(key), end, source) for k, key in enumerate(keys.tolist())]

    def _signal(self, pictures: Array, step_us: int) -> tuple[Array, Array, Array, Array]:
        """Scene, time, pixel and polarity of every event, scene by scene."""
        table, (on, off) = _logarithms(self.black), self._thresholds()
        n = pictures.shape[1]
        level = table[pictures[0]].reshape(n, -1)
        reference = level.copy()
        out: list[tuple[Array, ...]] = []
        for k in range(1, len(pictures)):
            new = table[pictures[k]].reshape(n, -1)
            above = new - reference
            for threshold, polarity, change in ((on, 1, above), (off, 0, -above)):
                scene, pixel = np.nonzero(change >= threshold)
                times = change[scene, pixel] // threshold[pixel]
                moved = scene, pixel, times
                which = np.repeat(np.arange(len(scene)), times)
                number = 1 + np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
                scene, pixel = scene[which], pixel[which]
                before, after = level[scene, pixel], new[scene, pixel]
                sign = 1 if polarity else -1
                crossed = reference[scene, pixel] + sign * number * threshold[pixel]
                # Where the level has turned since the reference, the crossing lies at the step's beginning.
                share = np.clip(
                    (crossed - before).astype(np.int64) * step_us // np.where(after == before, 1, after - before),
                    0,
                    step_us,
                )
                out.append((scene, (k - 1) * step_us + share, pixel, np.full(len(scene), polarity, np.uint8)))
                reference[moved[:2]] += sign * moved[2] * threshold[moved[1]]
            level = new
        scene, t, pixel, p = (np.concatenate(part) for part in zip(*out, strict=True))
        order = np.argsort(scene, kind="stable")
        return scene[order], t[order], pixel[order], p[order]

    def _noisy(self, found: tuple[Array, ...], k: int, key: int, end: int, source: str) -> Recording:
        first, last = np.searchsorted(found[0], [k, k + 1])
        t, pixel, p = (part[first:last] for part in found[1:])
        rng = np.random.default_rng([self.seed, key])
        height, width = self.sensor_size
        more = int(rng.poisson(self.noise_hz * height * width * end / 1e6))
        t = np.clip(t + rng.integers(-self.jitter_us, self.jitter_us + 1, len(t)), 0, end)
        t = np.concatenate([t, rng.integers(0, end + 1, more)])
        pixel = np.concatenate([pixel, rng.integers(0, height * width, more)])
        p = np.concatenate([p, rng.integers(0, 2, more)])
        order = np.argsort(t, kind="stable")
        raw = Raw(t[order], pixel[order] % width, pixel[order] // width, p[order], self.sensor_size, "us")
        return Recording.quiet(raw, f"{source} {key}")

    def _thresholds(self) -> tuple[Array, Array]:
        height, width = self.sensor_size
        spread = np.random.default_rng([self.seed, 1 << 30]).standard_normal((2, height * width))
        values = np.rint(UNIT * self.threshold * np.maximum(1 + self.mismatch * spread, 0.2)).astype(np.int32)
        return values[0], values[1]


@functools.cache
def _logarithms(black: float) -> Array:
    return np.rint(UNIT * np.log(np.arange(INTENSITY + 1) / INTENSITY + black)).astype(np.int32)
