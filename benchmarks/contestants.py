"""One contestant in a process of its own: answers "train N" and "infer N" with seconds, "peak" with megabytes.

Run by speed.py. Contestants: kspike, plain (the same network of plain keras.layers with an unrolled neuron; Spikformer
alone), spikingjelly and spikingjelly-compiled (SpikingJelly 2.0's own model, the second through torch.compile). With
--device cuda they run on a GPU, where SpikingJelly takes its Triton neurons by itself; "peak" is then the GPU's memory.

Both sides have the same network, by --model: spikformer (spikformer_cifar10 there), max_former (maxformer_cifar there,
max_former_c10 here), or qkformer: SpikingJelly's has the stem for large images alone, a quarter of the side, so that
kspike's gets it as well; widths, depths and heads are the CIFAR network's.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

open_ended = contextlib.ExitStack()
WIDTH, DEPTH, HEADS, CLASSES, SIDE = 384, 4, 12, 10, 32
#: Heads of QKFormer and Max-Former, as their published CIFAR code has them.
STAGED_HEADS = 8
MODELS = ("spikformer", "qkformer", "max_former")


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


def kspike_config(options: argparse.Namespace) -> Any:
    """The network that --model names."""
    import kspike

    common = {
        "input_shape": (options.side, options.side, 3), "num_classes": CLASSES, "timesteps": options.timesteps,
    }  # fmt: skip
    if options.model == "spikformer":
        return kspike.SpikformerConfig(**common, embed_dim=options.width, depth=options.depth, num_heads=HEADS)
    staged = {"embed_dim": widths(options), "depth": depths(options), "num_heads": STAGED_HEADS}
    if options.model == "max_former":
        return kspike.SpikformerConfig.named("max_former_c10").replace(
            **common, **staged, mixer=("identity", "dwconv3", "ssa"), mlp="spiking", mlp_ratio=4.0
        )
    return kspike.SpikformerConfig(
        **common, **staged, stem={"name": "peds", "large": True}, downsample={"name": "peds", "pool_first": True},
        mixer=("token_qk", "token_qk", "ssa"), qkv_bias=False, proj_bias=False,
    )  # fmt: skip


def widths(options: argparse.Namespace) -> tuple[int, int, int]:
    """Of the three stages of QKFormer and Max-Former."""
    return options.width // 4, options.width // 2, options.width


def depths(options: argparse.Namespace) -> tuple[int, int, int]:
    """Of the three stages of QKFormer and Max-Former."""
    return 1, 1, max(1, options.depth - 2)


def kspike_steps(options: argparse.Namespace) -> tuple[Callable, Callable]:
    import kspike

    config = kspike_config(options)
    model = kspike.Spikformer(config, dtype=policy(options))
    # The trained network, where it is this one: its time is that of its spikes. Inference has a network of its own,
    # whose stored statistics no training step has changed: an untrained one is silent.
    entry = kspike.zoo.load("spikformer_4_384_c10")
    trained = config == entry.config
    if trained:
        model.set_weights(entry.get_weights())

    def inferring() -> object:
        if options.model != "spikformer":
            # No trained network of these is in the zoo. By the statistics of the images it fires in inference as it
            # does in training; as initialised it is silent, and too fast. Here, as a step's peak has been read by now.
            kspike.training.calibrate(model, arrays(options.batch, options.side)[0])
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


def spikingjelly_model(options: argparse.Namespace) -> Any:
    """SpikingJelly's own model of --model."""
    from spikingjelly.activation_based.model.maxformer import MaxFormer
    from spikingjelly.activation_based.model.qkformer import QKFormer
    from spikingjelly.activation_based.model.spikformer import Spikformer

    common = {
        "T": options.timesteps, "in_channels": 3, "num_classes": CLASSES, "embed_dims": options.width, "mlp_ratio": 4.0,
    }  # fmt: skip
    if options.model == "spikformer":
        side = options.side
        return Spikformer(
            **common, img_size_h=side, img_size_w=side, patch_size=4, num_heads=HEADS, depths=options.depth
        )
    if options.model == "max_former":
        return MaxFormer(**common, depths=depths(options), cifar=True)
    return QKFormer(**common, depths=depths(options), num_heads=(STAGED_HEADS,) * 3)


def spikingjelly_steps(options: argparse.Namespace) -> tuple[Callable, Callable]:
    import torch
    from spikingjelly.activation_based import functional

    device = options.device
    model = spikingjelly_model(options).to(device, memory_format=torch.channels_last)
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
    parser.add_argument("--model", default="spikformer", choices=MODELS)
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
    if options.name == "plain" and options.model != "spikformer":
        parser.error(f"plain is a Spikformer, not a {options.model}")
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
