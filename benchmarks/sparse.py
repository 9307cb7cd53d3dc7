"""What adding up only what fires is worth: `KERAS_BACKEND=torch python benchmarks/sparse.py`.

Products and convolutions of the paper's Spikformer 4-384 in float32, by kspike's loops (kspike/ops/cpu_sparse.py) and
by PyTorch's full ones, for shares of numbers that are not 0; then published networks on test images of CIFAR-10 (where
TFDS_DATA_DIR has it), with the loops and without. The two take turns; medians. Rows go into a CSV file, one run of all
in one, and a plot beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import write
from table import said_versions

import kspike
from kspike.ops import cpu_sparse, torch_backend

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5)
#: Rows, or images with height and width, and the kernel.
SHAPES = {
    "product, 384 to 1,152": ((4096,), (384, 1152)),
    "product, 1,536 to 384": ((4096,), (1536, 384)),
    "convolution, 96 to 192, 32x32": ((32, 32, 32), (3, 3, 96, 192)),
    "convolution, 384 to 384, 8x8": ((128, 8, 8), (3, 3, 384, 384)),
}
ENTRIES = ("spikformer_4_384_c10", "autost_c10", "spikformer_c10", "auto_spikformer_c10")


def by_turns(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for times, call in zip(seconds, calls, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [float(np.median(times)) for times in seconds]


def products(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for name, (places, size) in SHAPES.items():
        kernel = torch.from_numpy(rng.normal(size=size).astype("float32"))
        for share in SHARES:
            x = torch.from_numpy((rng.random((*places, size[-2])) < share).astype("float32"))
            run = torch_backend.linear if len(size) == 2 else torch_backend.convolve
            given = (x, kernel, None) if len(size) == 2 else (x, kernel)
            calls = [sparse(lambda run=run, given=given: run(*given)), lambda x=x, kernel=kernel: full(x, kernel)]
            yield row(name, share, *by_turns(calls, options.repeats), len(x))


def full(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """PyTorch's own, by oneDNN."""
    if kernel.ndim == 2:
        x, kernel = x[:, None, None], kernel[None, None]
    return torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), padding="same")


def sparse(call: Callable[[], Any], most: float = 1.0) -> Callable[[], Any]:
    """The same with loops up to this share of spikes; 0 for never."""

    def run() -> Any:
        usual = cpu_sparse.MOST, cpu_sparse.MOST_AROUND
        cpu_sparse.MOST = cpu_sparse.MOST_AROUND = most
        try:
            return call()
        finally:
            cpu_sparse.MOST, cpu_sparse.MOST_AROUND = usual

    return run


def entries(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    images = kspike.data.load("cifar10", batch_size=64, seed=0).test
    for name in ENTRIES:
        model = kspike.zoo.load(name)
        x = np.concatenate([images[i][0] for i in range(options.batches)])

        def predict(model: Any = model, x: np.ndarray = x) -> np.ndarray:
            return model.predict(x, batch_size=64, verbose=0)

        calls = [predict, sparse(predict, most=-1.0)]
        apart = np.abs(calls[0]() - calls[1]()).max(axis=1)
        found = row(name, "", *by_turns(calls, options.repeats), len(x))
        yield found | {"equal_images": float((apart <= 1e-5).mean())}


def row(what: str, share: Any, loops: float, whole: float, n: int) -> dict[str, Any]:
    found = {
        "what": what,
        "share": share,
        "loops_per_second": round(n / loops, 1),
        "full_per_second": round(n / whole, 1),
    }
    found |= {"ratio": round(whole / loops, 3), "equal_images": "", "threads": torch.get_num_threads()}
    print(f"{what} {share}: {found['ratio']} times as fast", flush=True)
    return found | {"versions": said_versions()}


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in SHAPES:
        inside = [r for r in rows if r["what"] == name]
        axes.plot([100 * r["share"] for r in inside], [r["ratio"] for r in inside], "o-", label=name)
    axes.axhline(1, color="0.5", linewidth=1)
    for most in (cpu_sparse.MOST, cpu_sparse.MOST_AROUND):
        axes.axvline(100 * most, color="0.5", linestyle="--", linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="numbers that are not 0, % (dashed: from here the full product is taken)"
    )
    axes.set(ylabel="times as fast as PyTorch's full product", title=f"float32, {rows[0]['threads']} thread(s)")
    axes.set_xticks([100 * share for share in SHARES], [f"{100 * share:g}" for share in SHARES])
    axes.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "sparse.csv")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, default=4, help="of 64 test images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    rows = [*products(options), *entries(options)]
    write(options.out, rows)
    plot(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
