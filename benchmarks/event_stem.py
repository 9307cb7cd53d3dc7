"""What zeros in frames of events save a stem: `KERAS_BACKEND=torch python benchmarks/event_stem.py`.

Counts of events on 128x128 pixels, a given share of them not zero, go through the stem of a published event network,
its normalisation calibrated on them so that neurons fire as in a trained one: in inference, as it is, and with dense
products alone (kspike/ops/cpu/sparse.py switched off). The two take turns, medians of processor time, which other work
on the machine moves less; the first convolution alone in the same way. Spikes of both are compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from turns import by_turns

import kspike
from kspike.ops import convolve, jit
from kspike.ops.cpu import sparse

SHARES = (0.02, 0.05, 0.005)


def frames_of(share: float, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Counts in so many of the numbers: 1 mostly, as frames of a DVS128 have them."""
    rng = np.random.default_rng(seed)
    return ((rng.random(shape) < share) * rng.geometric(0.7, shape)).astype("float32")


def dense_alone(call: Callable[[], Any]) -> Callable[[], Any]:
    """The same call with sparse products switched off; a compiled one is traced so when it first runs."""

    def run() -> Any:
        usual = sparse._thresholds
        sparse._thresholds = lambda kind, amx: ((-1.0, 1), (-1.0, 1))
        try:
            return call()
        finally:
            sparse._thresholds = usual

    return run


def both(
    function: Callable[[Any], Any], variables: list[Any], x: np.ndarray, repeats: int
) -> tuple[float, float, bool]:
    """Seconds of a function as it is and with dense products alone, and whether what they give is equal."""
    given = keras.ops.convert_to_tensor(x)
    # two programs: one is traced with sparse products, one without
    compiled = [jit(lambda x: function(x), variables), jit(lambda x: function(x), variables)]
    calls = [lambda: keras.ops.convert_to_numpy(compiled[0](given))]
    calls.append(dense_alone(lambda: keras.ops.convert_to_numpy(compiled[1](given))))
    equal = float(np.mean(np.abs(calls[0]() - calls[1]()) < 1e-4))
    fast, full = by_turns(calls, repeats, time.process_time)
    return fast, full, equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="spikformer_2_256_dvs")
    parser.add_argument("--timesteps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = kspike.models.create(options.model, timesteps=options.timesteps)
    stem, count = model.get_layer("stem"), options.batch * options.timesteps
    first = next(v for v in stem.variables if len(v.shape) == 4)
    for share in SHARES:
        x = frames_of(share, (options.batch, *model.config.input_shape))
        kspike.training.calibrate(model, x)
        rate = kspike.cost.measure(model, x, progress=False)
        rates = ", ".join(f"{row.rate:.3f}" for row in rate.neurons if row.name.startswith("stem/"))
        each = x.reshape(count, *x.shape[2:])
        alone = both(lambda x: convolve(x, keras.ops.convert_to_tensor(first)), [first], each, options.repeats)
        whole = both(lambda x: stem(x, training=False), stem.variables, x, options.repeats)
        for what, (fast, full, equal) in (("first convolution", alone), ("stem", whole)):
            print(
                f"{keras.backend.backend()}, {100 * share:g} % not zero, {what}: {1e3 * fast / count:.2f} ms a frame, "
                f"dense {1e3 * full / count:.2f} ms, {full / fast:.2f} times; {equal:.1%} equal",
                flush=True,
            )
        print(f"  firing rates behind it: {rates}", flush=True)


if __name__ == "__main__":
    main()
