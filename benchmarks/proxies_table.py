"""Networks that were trained, read from a table, and the training-free scores of each, kept beside it.

The table: one row a network and seed, columns `genome` (JSON of its gene values; or `config`, JSON of a
SpikformerConfig; or `id`, where the file of scores has its scores already), `seed`, `accuracy`, and `energy_mj` (or
`energy`) after training where it is known.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rows import append, read


def read_table(path: Path, part: str | None = None) -> dict[str, dict]:
    """Network -> {"row": its first row, "accuracy": {seed: accuracy}, "energy_mj": [...]}.

    With `part`, of a table of inherited accuracies the rows of that part; they have one seed, the supernet's.

    Raises:
        ValueError: a column is missing, or a network has a seed twice.
    """
    rows = read(path)
    if part is not None:
        rows = [{"seed": "supernet", **row} for row in rows if row.get("part") == part]
    names = set(rows[0]) if rows else set()
    if not {"seed", "accuracy"} <= names or not names & {"id", "genome", "config"}:
        raise ValueError(
            f"{path} must have columns seed, accuracy, and one of id, genome, config; it has {sorted(names)}."
        )
    found: dict[str, dict] = {}
    for row in rows:
        key = row.get("id") or row.get("genome") or row["config"]
        entry = found.setdefault(key, {"row": row, "accuracy": {}, "energy_mj": []})
        if row["seed"] in entry["accuracy"]:
            raise ValueError(f"{path}: network {key} has seed {row['seed']} twice.")
        entry["accuracy"][row["seed"]] = float(row["accuracy"])
        energy = row.get("energy_mj") or row.get("energy")
        if energy:
            entry["energy_mj"].append(float(energy))
    return found


def score_networks(table: dict[str, dict], path: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Network -> scores; what the file does not have is measured and appended to it."""
    known = {row["id"]: {k: float(v) for k, v in row.items() if k != "id" and v} for row in read(path)}
    missing = [key for key in table if key not in known]
    if not missing:
        return known
    import kspike
    from kspike.tuners import SearchSpace, scores

    data = kspike.data.load(options.data, 64, 0, data_dir=options.data_dir, image_size=options.image_size).train
    for number, key in enumerate(missing, start=1):
        row = table[key]["row"]
        if row.get("config"):
            config = kspike.SpikformerConfig.from_dict(json.loads(row["config"]))
        elif row.get("genome") and options.space:
            space = SearchSpace.load(options.space)
            config = kspike.tuners.Genome.from_dict(json.loads(row["genome"]), space).to_config()
        else:
            raise ValueError(
                f"Network {key} has no scores in {path}, and no config, or genome with --space, to take them of."
            )
        values = scores.evaluate(config, data, seeds=options.seeds, images=options.images)
        found = {"width": float(config.embed_dim), "depth": float(config.depth), "timesteps": float(config.timesteps)}
        for name, value in values.items():
            found[name] = value.mean
            if len(value.values) > 1:
                found[f"{name}_std"] = value.std
        append(path, {"id": key, **found})
        known[key] = found
        print(f"scores {number}/{len(missing)}", flush=True)
    return known
