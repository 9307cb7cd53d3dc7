"""Trains networks on N-MNIST, or a subset of it, by one recipe, and measures them as a card does, seed by seed.

    python benchmarks/nmnist.py --data-dir recordings --seeds 0 1 2 --out docs/results/nmnist.csv

What counts is the last epoch's accuracy on the official test recordings, with its 95 % interval (Wilson), the mean over
seeds, and the energy of a recording under "spikformer". No epoch is chosen by the test recordings. Runs are kept in
`--runs` and resumed: the command may be stopped at any time. Networks are configs as JSON files; without any, the small
Spikformer below.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rows import write
from table import said_versions

import kspike
from kspike.training import Recipe, train

SMALL = kspike.SpikformerConfig(
    input_shape=(8, 34, 34, 2),
    num_classes=10,
    embed_dim=48,
    depth=1,
    num_heads=4,
    mlp_ratio=2.0,
    qkv_bias=False,
    stem_pool=(False, True, True, True),
    tau=1.5,
    v_threshold=0.8,
)


def interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.959964, correct / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def measured(name: str, config: kspike.SpikformerConfig, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=50,
        learning_rate=5e-3,
        warmup_epochs=min(3, options.epochs - 1),
        weight_decay=0.02,
        augment=options.augment,
        seed=seed,
    )
    data = kspike.data.load(
        "nmnist",
        recipe.batch_size,
        seed,
        data_dir=options.data_dir,
        timesteps=config.timesteps,
        augment=recipe.augment,
    )
    keras.utils.set_random_seed(seed)
    model = kspike.Spikformer(config.replace(input_shape=data.input_shape, num_classes=data.num_classes))
    model = train(model, data, recipe, directory=options.runs / f"{name}_{seed}")
    right = model.predict(data.test, verbose=0).argmax(-1) == data.test.labels
    low, high = interval(int(right.sum()), len(right))
    report = kspike.cost.measure(model, data.test, progress=False)
    return {
        "network": name,
        "seed": seed,
        "timesteps": config.timesteps,
        "parameters": int(kspike.cost.parameters(model.config)),
        "training": data.train.num_examples,
        "tested": len(right),
        "accuracy": round(float(right.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "energy_mj": float(f"{report.energy_mj:.4g}"),
        "recipe": json.dumps(recipe.to_dict()),
        "versions": said_versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--configs", type=Path, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--augment", default="event_drop")
    parser.add_argument("--runs", type=Path, default=Path("runs/nmnist"))
    parser.add_argument("--out", type=Path, default=Path("nmnist.csv"))
    options = parser.parse_args()
    networks = {p.stem: kspike.SpikformerConfig.from_dict(json.loads(p.read_text())) for p in options.configs}
    rows: list[dict[str, Any]] = []
    for name, config in (networks or {"spikformer_small": SMALL}).items():
        own = []
        for seed in options.seeds:
            own.append(measured(name, config, seed, options))
            write(options.out, [*rows, *own])
            print({k: own[-1][k] for k in ("network", "seed", "accuracy", "low", "high", "energy_mj")}, flush=True)
        rows += own
        mean, spread = np.mean([r["accuracy"] for r in own]), np.std([r["accuracy"] for r in own])
        energy = np.mean([r["energy_mj"] for r in own])
        print(f"{name}: {mean:.2%} +- {spread:.2%} over {len(own)} seeds, {energy:.4g} mJ a recording", flush=True)


if __name__ == "__main__":
    main()
