"""Networks that were trained, read from a table, and the training-free scores of each, kept beside it.

The table: one row a network and seed, columns `genome` (JSON of its gene values; or `config`, JSON of a
SpikformerConfig; or `id`, where the file of scores has its scores already), `seed`, `accuracy`, and `energy_mj` (or
`energy`) after training where it is known.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rows import read, write


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
    """Network -> scores; what the file does not have, of a network or of all, is measured and written into it."""
    known = {row["id"]: {k: float(v) for k, v in row.items() if k != "id" and v} for row in read(path)}
    from kspike.tuners import scores

    wanted = {key: [name for name in scores.names() if name not in known.get(key, {})] for key in table}
    wanted = {
        key: names for key, names in wanted.items() if names and (key not in known or _config(table[key], options))
    }
    if not wanted:
        return known
    import kspike

    data = kspike.data.load(options.data, 64, 0, data_dir=options.data_dir, image_size=options.image_size).train
    for number, (key, names) in enumerate(wanted.items(), start=1):
        config = _config(table[key], options)
        if config is None:
            raise ValueError(
                f"Network {key} has no scores in {path}, and no config, or genome with --space, to take them of."
            )
        # of several stages the last one's width, and the blocks of all
        found = {"width": config.widths[-1], "depth": sum(config.depths), "timesteps": config.timesteps}
        found = {name: float(size) for name, size in found.items()}
        for name, value in scores.evaluate(config, data, names, seeds=options.seeds, images=options.images).items():
            found[name] = value.mean
            if len(value.values) > 1:
                found[f"{name}_std"] = value.std
        known[key] = {**known.get(key, {}), **found}
        columns = dict.fromkeys(name for row in known.values() for name in row)
        write(path, [{"id": k, **{name: row.get(name, "") for name in columns}} for k, row in known.items()])
        print(f"scores {number}/{len(wanted)}", flush=True)
    return known


def _config(entry: dict, options: argparse.Namespace) -> Any:
    """The architecture of a network of the table; None where it is known by its name alone."""
    import kspike

    row = entry["row"]
    if row.get("config"):
        return kspike.SpikformerConfig.from_dict(json.loads(row["config"]))
    if row.get("genome") and options.space:
        space = kspike.tuners.SearchSpace.load(options.space)
        return kspike.tuners.Genome.from_dict(json.loads(row["genome"]), space).to_config()
    return None
