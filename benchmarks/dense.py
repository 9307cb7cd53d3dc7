"""Dense products and convolutions, forward and grad_x, by kspike, XLA and PyTorch.

`OMP_WAIT_POLICY=PASSIVE KERAS_BACKEND=jax python benchmarks/dense.py`: PyTorch's threads would spin for milliseconds on
the core of whoever comes next. The layers of the paper's Spikformer 4-384 at 32 images and T of 4 by the loops of
kspike/ops/cpu/dense.py, by XLA, and by PyTorch, which is oneDNN or MKL here. The three take turns; medians. Rows, in
billions of operations a second (two a multiply-accumulate, those with zero padding included), go into a CSV file.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rows import write
from table import said_versions
from turns import by_turns

from kspike.ops import reference
from kspike.ops.cpu import dense

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
#: Rows, or images with height and width, and the kernel.
SHAPES = {
    "product, 384 to 1,152": ((8192,), (384, 1152)),
    "product, 384 to 384": ((8192,), (384, 384)),
    "product, 384 to 1,536": ((8192,), (384, 1536)),
    "product, 1,536 to 384": ((8192,), (1536, 384)),
    "convolution, 48 to 96, 32x32": ((128, 32, 32), (3, 3, 48, 96)),
    "convolution, 96 to 192, 32x32": ((128, 32, 32), (3, 3, 96, 192)),
    "convolution, 192 to 384, 16x16": ((128, 16, 16), (3, 3, 192, 384)),
    "convolution, 384 to 384, 8x8": ((128, 8, 8), (3, 3, 384, 384)),
}


def by_loops(x: jax.Array, kernel: jax.Array, backward: bool, threads: int) -> Callable[[], Any]:
    kind = np.float32 if x.dtype == "float32" else np.uint16
    x, kernel = (np.asarray(a).view(kind) for a in (x, kernel))
    out = np.empty((*x.shape[:-1], kernel.shape[-2 if backward else -1]), kind)
    return lambda: dense.product(x, kernel, out, threads, backward=backward)


def by_xla(x: jax.Array, kernel: jax.Array, backward: bool) -> Callable[[], Any]:
    product = reference.linear if kernel.ndim == 2 else reference.convolve

    @jax.jit
    def run(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if not backward:
            return product(x, kernel)
        source = jax.ShapeDtypeStruct((*x.shape[:-1], kernel.shape[-2]), x.dtype)
        return jax.linear_transpose(lambda y: product(y, kernel), source)(x)[0]

    return lambda: jax.block_until_ready(run(x, kernel))


def by_torch(x: jax.Array, kernel: jax.Array, backward: bool) -> Callable[[], Any]:
    x, kernel = (torch.from_numpy(np.array(a, "float32")).to(getattr(torch, str(a.dtype))) for a in (x, kernel))
    if kernel.ndim == 2:
        return functools.partial(torch.matmul, x, kernel.t() if backward else kernel)
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    if not backward:
        return lambda: torch.nn.functional.conv2d(x, kernel, padding="same")
    size = (x.shape[0], kernel.shape[1], *x.shape[2:])
    return lambda: torch.nn.grad.conv2d_input(size, kernel, x, padding=kernel.shape[2] // 2)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for precision in ("float32", "bfloat16"):
        for what, (places, size) in SHAPES.items():
            for backward in (False, True):
                x = jnp.asarray(rng.normal(size=(*places, size[-1 if backward else -2])), precision)
                kernel = jnp.asarray(rng.normal(size=size), precision)
                calls = [
                    by_loops(x, kernel, backward, options.threads),
                    by_xla(x, kernel, backward),
                    by_torch(x, kernel, backward),
                ]
                with torch.no_grad():
                    seconds = by_turns(calls, options.repeats)
                rates = [round(2e-9 * math.prod(places) * math.prod(size) / each, 1) for each in seconds]
                found = dict(zip(("loops", "xla", "torch"), rates, strict=True))
                found |= {"to_xla": round(rates[0] / rates[1], 2), "to_torch": round(rates[0] / rates[2], 2)}
                which = "back" if backward else "forwards"
                print(f"{precision}, {what}, {which}: {found}", flush=True)
                row = {"what": what, "precision": precision, "pass": which, **found, "threads": options.threads}
                yield row | {"versions": said_versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "dense.csv")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the loops")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    write(options.out, list(rows(options)))


if __name__ == "__main__":
    main()
