"""How long one image takes through `kspike.zoo.Predictor`, beside the compiled call of the model alone.

    KERAS_BACKEND=torch python benchmarks/latency.py auto_spikformer_c10 auto_spikformer_digits

Both are timed in turns, so that what else runs on the machine slows both; the median and the least of all calls are
printed, in milliseconds.
"""

import sys
import time

import keras
import numpy as np

import kspike
from kspike.ops import jit

CALLS, TURNS, WARM = 20, 10, 10


def main(names: list[str]) -> None:
    for name in names:
        predict = kspike.zoo.Predictor(name)
        low, high = predict._range
        raw = np.random.default_rng(0).integers(low, high + 1, (1, *predict.input_shape), dtype="uint8")
        inputs = predict.prepare(raw)
        call = jit(lambda x, model=predict.model: model(x, training=False), predict.model.variables)
        ways = {
            "bare": lambda call=call, x=inputs: keras.ops.convert_to_numpy(call(keras.ops.convert_to_tensor(x))),
            "predictor": lambda predict=predict, raw=raw: predict(raw),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(TURNS):
            for way, run in ways.items():
                for _ in range(WARM if turn == 0 else 1):
                    run()
                for _ in range(CALLS):
                    start = time.perf_counter()
                    run()
                    times[way].append(1e3 * (time.perf_counter() - start))
        bare, whole = (np.median(times[way]) for way in ("bare", "predictor"))
        least = [min(times[way]) for way in ("bare", "predictor")]
        print(
            f"{keras.backend.backend()} {name}: bare {bare:.2f} ms (least {least[0]:.2f}), predictor {whole:.2f} ms "
            f"(least {least[1]:.2f}), {whole / bare:.2f} times",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["auto_spikformer_c10", "auto_spikformer_digits"])
