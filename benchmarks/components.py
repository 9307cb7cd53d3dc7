"""What a choice of components costs a supernet, and a neuron without a fused pass a network; ratios within one run.

A supernet with three mixers to choose from against the mean of three supernets with one each, on the same space else;
networks of ALIF neurons (a step of one's own) and of IF against the same of LIF.
Processor time, the mean of interleaved steps.

    KERAS_BACKEND=torch python benchmarks/components.py
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import keras
import numpy as np

import kspike
from kspike import components
from kspike.space import SearchSpace

MIXERS = ("ssa", "token_qk", "dwconv3")


@components.register("neuron", "alif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ALIF(components.Neuron):
    """LIF whose threshold rises with each of its spikes."""

    beta: float = 0.2
    decay: float = 0.9
    states = {"v": "rest", "a": 0.0}

    def step(self, x: Any, v: Any, a: Any, *, charge: Any, reset: Any, v_threshold: Any, spike: Any) -> tuple:
        h = charge(v, x)
        s = spike(h - v_threshold - self.beta * a)
        return s, (reset(h, s), self.decay * a + s)


def compiled(model: keras.Model) -> keras.Model:
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def medians(models: dict[str, keras.Model], x: np.ndarray, y: np.ndarray, steps: int) -> dict[str, float]:
    """Milliseconds of processor time of a training step of each model; rounds of one step each, in turn."""
    for model in models.values():
        for _ in range(3):
            model.train_on_batch(x, y)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(steps):
        for name, model in models.items():
            start = time.process_time()
            model.train_on_batch(x, y)
            times[name].append(time.process_time() - start)
    return {name: 1e3 * float(np.mean(each)) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--width", type=int, default=64)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    base = kspike.SpikformerConfig(
        input_shape=(16, 16, 3), num_classes=10, timesteps=4, embed_dim=2 * arguments.width, depth=2, num_heads=4
    )
    x = rng.normal(0.3, 1.0, (16, *base.input_shape)).astype("float32")
    y = rng.integers(0, 10, 16).astype("int32")

    genes = {"embed_dim": (arguments.width, 2 * arguments.width), "mlp_ratio": (1, 2)}
    nets = {name: compiled(kspike.Supernet(SearchSpace(base, mixer=(name,), **genes))) for name in MIXERS}
    nets["three"] = compiled(kspike.Supernet(SearchSpace(base, mixer=MIXERS, **genes)))
    found = medians(nets, x, y, arguments.steps)
    alone = float(np.mean([found[name] for name in MIXERS]))
    print(keras.backend.backend(), {name: round(value, 1) for name, value in found.items()})
    print(f"three mixers to choose from: {found['three'] / alone:.3f} of the mean of their own steps")

    plain = {
        name: compiled(kspike.Spikformer(base.replace(neuron=neuron)))
        for name, neuron in (("lif", "lif"), ("alif", ALIF()), ("if", "if"))
    }
    found = medians(plain, x, y, arguments.steps)
    print({name: round(value, 1) for name, value in found.items()})
    print(f"a neuron of one's own: {found['alif'] / found['lif']:.3f} of a step of LIF")
    print(f"integrate-and-fire: {found['if'] / found['lif']:.3f}")


if __name__ == "__main__":
    main()
