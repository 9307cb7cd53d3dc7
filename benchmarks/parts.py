"""Where the time of a training step goes on a CPU under torch, beside what the machine can do.

`KERAS_BACKEND=torch python benchmarks/parts.py`: rates of products and copies, then PyTorch's profile of one training
step of Spikformer 4-384, T=4, batch 32, in mixed_bfloat16, by operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np
import torch
from contestants import WIDTH, arrays
from torch.profiler import ProfilerActivity, profile

import kspike


def seconds(run: Callable, rounds: int = 7) -> float:
    """The fastest of some rounds, after one that does not count."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def limits() -> None:
    rows, inputs, outputs = 8192, WIDTH, 4 * WIDTH
    operations = 2 * rows * inputs * outputs
    for dtype in (torch.bfloat16, torch.float32):
        x, kernel = torch.randn(rows, inputs).to(dtype), torch.randn(inputs, outputs).to(dtype)
        images = x.view(128, 8, 8, inputs).permute(0, 3, 1, 2)
        convolution = kernel.t().contiguous().view(outputs, inputs, 1, 1)
        product = seconds(lambda x=x, kernel=kernel: x @ kernel)
        as_convolution = seconds(lambda x=images, kernel=convolution: torch.nn.functional.conv2d(x, kernel))
        print(
            f"{str(dtype):>15}: product {operations / product / 1e9:5.0f} GFLOP/s, "
            f"the same as a 1x1 convolution {operations / as_convolution / 1e9:5.0f} GFLOP/s"
        )
    x = torch.randn(64 * 1024 * 1024)
    y = torch.empty_like(x)
    print(f"copies {2 * x.nbytes / seconds(lambda: y.copy_(x)) / 1e9:.0f} GB/s")


def step(batch: int = 32) -> None:
    entry = kspike.zoo.load("spikformer_4_384_c10")  # trained: how much fires decides the time of products
    model = kspike.Spikformer(entry.config, dtype="mixed_bfloat16")
    model.set_weights(entry.get_weights())
    model.compile(keras.optimizers.AdamW(1e-6), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = arrays(batch)
    for _ in range(2):
        model.train_on_batch(x, np.asarray(y))
    with profile(activities=[ProfilerActivity.CPU]) as found:
        model.train_on_batch(x, np.asarray(y))
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=45))


if __name__ == "__main__":
    limits()
    step()
