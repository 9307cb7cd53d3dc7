"""What closed-form costs were before components declared them: random architectures, and the numbers written down.

`python -m tests.cost.written` writes them anew; only a deliberate change of what is counted is a reason to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

from kspike import SpikformerConfig, cost
from kspike.cost.analytic.table import neuron_counts

FILE = Path(__file__).with_name("closed_form.json")
NUMBER = 300


def drawn(seed: int) -> SpikformerConfig:
    """An architecture with every field that changes a count drawn."""
    rng = random.Random(seed)
    either, depth, timesteps = lambda: rng.random() < 0.5, rng.randint(1, 4), rng.randint(1, 6)
    shape = (rng.randint(4, 70), rng.randint(4, 70), rng.choice([1, 2, 3]))
    ratios = [0.5, 1, 1.3, 2.5, 4]
    return SpikformerConfig(
        input_shape=(timesteps, *shape) if either() else shape,
        num_classes=rng.randint(2, 200),
        timesteps=timesteps,
        embed_dim=rng.choice([16, 24, 64, 96, 384]),
        depth=depth,
        num_heads=tuple(rng.choice([1, 2, 4, 8]) for _ in range(depth)) if either() else rng.choice([1, 2, 4]),
        mlp_ratio=tuple(rng.choice(ratios) for _ in range(depth)) if either() else rng.choice(ratios),
        stem_channels=None if either() else tuple(rng.randint(1, 99) for _ in range(3)),
        stem_pool=tuple(either() for _ in range(4)),
        pool_after=rng.choice(["neuron", "norm"]),
        qkv_bias=either(),
        proj_bias=either(),
        mlp_bias=either(),
        residual=rng.choice(["add", "membrane"]),
        neuron=rng.choice(["lif", "plif"]),
    )


def counts(config: SpikformerConfig) -> list[Any]:
    """Parameters, operations, those of the ANN twin, neurons; then every number of every row, by layer, as a hash."""
    rows = [list(dataclasses.asdict(row).values()) for row in cost.table(config)]
    neurons = neuron_counts(config)
    digest = hashlib.sha256(json.dumps([rows, list(neurons.items())]).encode()).hexdigest()[:16]
    totals = [cost.parameters(config), cost.flops(config), cost.flops(config, "full"), cost.ann_twin(config).macs]
    return [*totals, sum(neurons.values()), digest]


if __name__ == "__main__":
    lines = [json.dumps(counts(drawn(seed))) for seed in range(NUMBER)]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
