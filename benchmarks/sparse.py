"""How much faster sparse products are than dense ones: `KERAS_BACKEND=torch python benchmarks/sparse.py`.

Products and convolutions of the paper's Spikformer 4-384, and their kernels' gradients, by kspike's loops
(kspike/ops/cpu/sparse.py, sparse_gradient.py) and by PyTorch's dense ones, by density (share of nonzeros); then
published networks on images of CIFAR-10 (where TFDS_DATA_DIR has it), test images in inference and training images in
training steps from their published weights, with the loops and without. The two take turns; medians. Rows go into a
CSV file, one run of all in one, and a plot beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from rows import write
from table import said_versions
from turns import by_turns

import kspike
from kspike.ops import torch as ops_torch
from kspike.ops.cpu import sparse
from kspike.ops.torch import products as torch_products

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5)
#: Rows, or images with height and width, and the kernel.
SHAPES = {
    "product, 384 to 1,152": ((4096,), (384, 1152)),
    "product, 1,536 to 384": ((4096,), (1536, 384)),
    "convolution, 96 to 192, 32x32": ((32, 32, 32), (3, 3, 96, 192)),
    "convolution, 384 to 384, 8x8": ((128, 8, 8), (3, 3, 384, 384)),
}
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
PASSES = ("forwards", "kernel's gradient")
ENTRIES = ("spikformer_4_384_c10", "autost_c10", "spikformer_c10", "auto_spikformer_c10")


def products(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for name, (places, size) in SHAPES.items():
        for precision in PRECISIONS:
            kernel, grad_output = (
                torch.from_numpy(rng.normal(size=shape).astype("float32")).to(getattr(torch, precision))
                for shape in (size, (*places, size[-1]))
            )
            for share in SHARES:
                x = torch.from_numpy((rng.random((*places, size[-2])) < share).astype("float32")).to(kernel.dtype)
                run = ops_torch.linear if len(size) == 2 else ops_torch.convolve
                given = (x, kernel, None) if len(size) == 2 else (x, kernel)
                with torch.no_grad():
                    calls = [
                        sparse_up_to(lambda run=run, given=given: run(*given)),
                        lambda x=x, kernel=kernel: dense(x, kernel),
                    ]
                    yield row(name, precision, PASSES[0], share, *by_turns(calls, options.repeats), len(x))
                    calls = [
                        lambda x=x, kernel=kernel, grad_output=grad_output: torch_products._kernel_gradient(
                            x, grad_output, kernel
                        ),
                        lambda x=x, kernel=kernel, grad_output=grad_output: dense_gradient(x, grad_output, kernel),
                    ]
                    yield row(name, precision, PASSES[1], share, *by_turns(calls, options.repeats), len(x))


def as_images(x: torch.Tensor, *others: torch.Tensor) -> list[torch.Tensor]:
    """Channels first to oneDNN's taste; rows of a product as one image of one row."""
    return [(a.permute(0, 3, 1, 2) if a.ndim == 4 else a.t()[None, :, None]) for a in (x, *others)]


def dense(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """PyTorch's own, by oneDNN."""
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    return torch.nn.functional.conv2d(as_images(x)[0], kernel.permute(3, 2, 0, 1), padding="same")


def dense_gradient(x: torch.Tensor, grad_output: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    pads, usual = [size // 2 for size in kernel.shape[:2]], ([1, 1], False, [0, 0], 1, [False, True, False])
    x, grad_output = as_images(x, grad_output)
    return torch.ops.aten.convolution_backward(grad_output, x, kernel.permute(3, 2, 0, 1), None, [1, 1], pads, *usual)[
        1
    ]


def sparse_up_to(call: Callable[[], Any], threshold: float = 1.0) -> Callable[[], Any]:
    """The same call with the sparse form up to this density; below 0 for never."""

    def run() -> Any:
        usual = sparse._thresholds
        sparse._thresholds = lambda kind, amx: ((threshold, 1), (threshold, 1))
        try:
            return call()
        finally:
            sparse._thresholds = usual

    return run


def entries(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    data = kspike.data.load("cifar10", batch_size=64, seed=0)
    x = np.concatenate([data.test[i][0] for i in range(options.batches)])
    images, labels = (a[:32] for a in data.train[0])
    for name in ENTRIES:
        entry = kspike.zoo.load(name)
        for precision, policy in PRECISIONS.items():
            model = kspike.Spikformer(entry.config, dtype=policy)
            model.set_weights(entry.get_weights())
            model.compile(keras.optimizers.AdamW(1e-5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

            def predict(model: Any = model) -> np.ndarray:
                return model.predict(x, batch_size=64, verbose=0)

            def train(model: Any = model) -> None:
                model.train_on_batch(images, labels)

            calls = [predict, sparse_up_to(predict, threshold=-1.0)]
            apart = np.abs(calls[0]() - calls[1]()).max(axis=1)
            found = row(name, precision, "inference", "", *by_turns(calls, options.repeats), len(x))
            yield found | {"equal_images": float((apart <= 1e-5).mean())}
            calls = [train, sparse_up_to(train, threshold=-1.0)]
            yield row(name, precision, "training", "", *by_turns(calls, options.repeats), len(images))


def row(what: str, precision: str, which: str, share: Any, by_loops: float, by_dense: float, n: int) -> dict[str, Any]:
    found = {
        "what": what,
        "precision": precision,
        "pass": which,
        "share": share,
        "loops_per_second": round(n / by_loops, 1),
        "full_per_second": round(n / by_dense, 1),
    }
    found |= {"ratio": round(by_dense / by_loops, 3), "equal_images": "", "threads": torch.get_num_threads()}
    print(f"{what}, {precision}, {which} {share}: {found['ratio']} times as fast", flush=True)
    return found | {"versions": said_versions()}


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for precision, line in zip(PRECISIONS, panels, strict=True):
        for which, axes in zip(PASSES, line, strict=True):
            for name in SHAPES:
                inside = [r for r in rows if (r["what"], r["precision"], r["pass"]) == (name, precision, which)]
                axes.plot([100 * r["share"] for r in inside], [r["ratio"] for r in inside], "o-", label=name)
            axes.axhline(1, color="0.5", linewidth=1)
            for threshold, _ in sparse.DENSITY_THRESHOLDS[precision]:
                axes.axvline(100 * threshold, color="0.5", linestyle="--", linewidth=1)
            axes.set(xscale="log", yscale="log", title=f"{precision}, {which}")
            axes.set_xticks([100 * share for share in SHARES], [f"{100 * share:g}" for share in SHARES])
            axes.set_yticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
            axes.minorticks_off()
    panels[0][0].legend()
    figure.supxlabel("density, % nonzero (dashed: from here the dense product, or convolution, is taken)")
    figure.supylabel(f"times as fast as PyTorch's dense product, {rows[0]['threads']} thread(s)")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "sparse.csv")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, default=2, help="of 64 test images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [*products(options), *entries(options)]
    write(options.out, rows)
    plot(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
