"""One contestant in a process of its own: answers "train N" and "infer N" with seconds, "peak" with megabytes.

Run by speed.py. Contestants: kspike, plain (the same network of plain keras.layers with an unrolled neuron),
spikingjelly and spikingjelly-compiled (SpikingJelly 2.0's spikformer_cifar10, the second through torch.compile). With
--device cuda they run on a GPU, where SpikingJelly takes its Triton neurons by itself; "peak" is then the GPU's memory.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

open_ended = contextlib.ExitStack()
WIDTH, DEPTH, HEADS, CLASSES, SIDE = 384, 4, 12, 10, 32


@functools.cache
def arrays(images: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise: a trained network fires on them as often as on photographs."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(images, side, side, 3)).astype("float32"), rng.integers(0, CLASSES, images)


def keras_steps(
    model: object, batch: int, side: int = SIDE, inferring: Callable | None = None
) -> tuple[Callable, Callable]:
    """Training and inference by the compiled steps of fit and predict, a batch at a time.

    Not by fit itself: under TensorFlow its loop waits in steps that double (1.3, 2.6, 5.1, 10.2 s), whatever the model.
    What `inferring` makes infers, if it is given: it is called at the first inference.
    """
    import keras

    for_inference = functools.cache(inferring or (lambda: model))
    # so small a step leaves the weights as they are: how much fires decides the time
    model.compile(keras.optimizers.AdamW(1e-6), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def train(steps: int) -> None:
        x, y = arrays(batch, side)
        for _ in range(steps):
            model.train_on_batch(x, y)

    def infer(steps: int) -> None:
        x, _ = arrays(batch, side)
        for _ in range(steps):
            for_inference().predict_on_batch(x)

    return train, infer


def kspike_steps(options: argparse.Namespace) -> tuple[Callable, Callable]:
    import kspike

    config = kspike.SpikformerConfig(
        input_shape=(options.side, options.side, 3), num_classes=CLASSES, timesteps=options.timesteps,
        embed_dim=options.width, depth=options.depth, num_heads=HEADS,
    )  # fmt: skip
    model = kspike.Spikformer(config, dtype=policy(options))

    # The trained network, where it is this one: its time is that of its spikes. Inference has a network of its own,
    # whose stored statistics no training step has changed: an untrained one is silent.
    entry = kspike.zoo.load("spikformer_4_384_c10")
    trained = config == entry.config
    if trained:
        model.set_weights(entry.get_weights())

    def inferring() -> object:
        if not trained:
            return model
        other = kspike.Spikformer(config, dtype=policy(options))
        other.set_weights(entry.get_weights())
        other.compile()
        return other

    if options.device == "cuda":
        from kspike.training.graph_replay import graph_replay

        open_ended.enter_context(graph_replay(model))  # as kspike.training.train does
    return keras_steps(model, options.batch, options.side, inferring)


def plain_steps(options: argparse.Namespace) -> tuple[Callable, Callable]:
    from plain import plain_spikformer

    model = plain_spikformer(options.side, options.timesteps, options.width, options.depth, HEADS, policy(options))
    return keras_steps(model, options.batch, options.side)


def policy(options: argparse.Namespace) -> str:
    return "mixed_bfloat16" if options.precision == "bfloat16" else "float32"


def spikingjelly_steps(options: argparse.Namespace) -> tuple[Callable, Callable]:
    import torch
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.model.spikformer import Spikformer

    device = options.device
    model = Spikformer(
        T=options.timesteps, in_channels=3, img_size_h=options.side, img_size_w=options.side, patch_size=4,
        num_classes=CLASSES, embed_dims=options.width, num_heads=HEADS, mlp_ratio=4.0, depths=options.depth,
    ).to(device, memory_format=torch.channels_last)  # fmt: skip
    run = torch.compile(model) if options.name.endswith("compiled") else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = torch.nn.CrossEntropyLoss()

    def forward(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(model)
        with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bfloat16"):
            out = run(x)
        return out.float().mean(0) if out.ndim == 3 else out.float()

    @functools.cache
    def batches(steps: int) -> list:
        x, y = arrays(options.batch * steps, options.side)
        images, labels = torch.from_numpy(x).to(device).permute(0, 3, 1, 2), torch.from_numpy(y).to(device)
        return list(zip(images.split(options.batch), labels.split(options.batch), strict=True))

    def train(steps: int) -> None:
        model.train()
        for x, y in batches(steps):
            optimizer.zero_grad()
            loss_of(forward(x), y).backward()
            optimizer.step()

    def infer(steps: int) -> None:
        model.eval()
        with torch.no_grad():
            for x, _ in batches(steps):
                forward(x)

    return train, infer


MAKERS = {
    "kspike": kspike_steps,
    "plain": plain_steps,
    "spikingjelly": spikingjelly_steps,
    "spikingjelly-compiled": spikingjelly_steps,
}


def synchronize(device: str) -> None:
    """Waits until the GPU has done what it was given; jax's steps have waited by themselves."""
    if device == "cuda" and "torch" in sys.modules:
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.synchronize()


def peak(device: str) -> float:
    """Megabytes of memory at the highest, of the process or, with cuda, of the GPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=MAKERS)
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--timesteps", type=int, default=4)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--side", type=int, default=SIDE)
    options = parser.parse_args()
    if options.device == "cuda":
        import torch

        torch.backends.cudnn.benchmark = True  # for everyone who runs on torch
    train, infer = MAKERS[options.name](options)
    answers = sys.stdout
    sys.stdout = sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        what, *count = line.split()
        if what == "peak":
            print(peak(options.device), file=answers, flush=True)
            continue
        start = time.perf_counter()
        {"train": train, "infer": infer}[what](int(count[0]))
        synchronize(options.device)
        print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
