"""Searches digits for networks that NIR can say, trains them beside what is found without that condition, runs them.

    KERAS_BACKEND=torch python benchmarks/nir_digits.py --directory runs/nir
    KERAS_BACKEND=torch python benchmarks/nir_digits.py --directory runs/nir --release zoo

Each search is of the space `kspike_mixers_digits` with the same seed and budget; what it puts first is trained from
fresh weights, with the same recipe, once a seed: docs/results/nir.csv. Of what NIR can say, the network of the first
seed is written as .nir and run on every test image by SpikingJelly 2.0 (`pip install --no-deps spikingjelly==2.0.0
loguru nirtorch`; left out where it is not there): docs/results/nir_run.csv. --release publishes that network, as
`nir_digits`.

Kill it at any time; the same command goes on where it stood. Rows that a table has are not measured again.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from int8 import measured
from rows import append, read

#: How the rows name what is asked of a network.
ARMS: dict[str, dict[str, bool]] = {
    "none": {}, "nir": {"nir": True}, "nir, integer": {"nir": True, "integer": True},
}  # fmt: skip
#: The one that is published.
RELEASED = "nir"


def searched(arm: str, space: str, folder: Path, data: Any) -> Any:
    """A finished search under an arm's constraints."""
    from kspike import tuners

    tuner = tuners.EvolutionSearch(
        space=space, objective=tuners.AEB(beta=0.02),
        constraints={"parameters": (None, 200_000), **ARMS[arm]}, generations=2, population_size=12, parents=10,
        seed=0, directory=folder, project_name="search",
    )  # fmt: skip
    tuner.train_supernet(data.train, epochs=30)
    tuner.search(data.train, validation_data=data.validation)
    return tuner


def trained(config: Any, seed: int, given: argparse.Namespace, folder: Path) -> tuple[Any, Any, Any]:
    """(model, data, recipe) of one seed."""
    import keras

    import kspike
    from kspike.training import Recipe, train

    recipe = Recipe(
        epochs=given.epochs, learning_rate=5e-3, warmup_epochs=1, weight_decay=0.01, augment=given.augment, seed=seed
    )  # fmt: skip
    data = recipe.load_data(given.data)
    keras.utils.set_random_seed(seed)
    return train(kspike.Spikformer(config), data, recipe, directory=folder / f"seed_{seed}"), data, recipe


def mixers(config: Any) -> str:
    """What stands in the blocks: "token_qk, identity"."""
    return ", ".join(str(getattr(each, "name", each)) for each in config.to_dict().get("mixer", ["ssa"] * config.depth))


def ran(model: Any, file: Path, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The file in SpikingJelly, beside itself as `from_nir` reads it: logits and the spikes of every node."""
    import keras

    import kspike
    from kspike.export.observing import listening

    steps = model.config.timesteps
    again = kspike.convert.from_nir(file, timesteps=steps)

    def run(frames: Any) -> tuple[Any, dict[str, Any]]:
        with listening(again) as seen:
            logits = again(frames, training=False)
        return keras.ops.mean(logits, axis=1), dict(seen)

    frames = np.repeat(images[:, None], steps, axis=1)
    logits, spikes = kspike.ops.jit(run, again.variables)(keras.ops.convert_to_tensor(frames))
    mine = keras.ops.convert_to_numpy(logits)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", images)
        command = [sys.executable, __file__, "--read", str(file), str(steps), str(folder)]
        subprocess.run(command, check=True)
        theirs = dict(np.load(folder / "found.npz"))
    found = theirs.pop("logits")
    compared = differing = 0
    for node, each in spikes.items():
        ours = np.moveaxis(keras.ops.convert_to_numpy(each), -1, 2) != 0  # channels behind time, as theirs
        compared, differing = compared + ours.size, differing + int((ours != theirs[node].reshape(ours.shape)).sum())
    portable = model.predict(images, verbose=0)
    return {
        "images": len(images), "right": int((portable.argmax(-1) == labels).sum()),
        "right_from_nir": int((mine.argmax(-1) == labels).sum()),
        "right_spikingjelly": int((found.argmax(-1) == labels).sum()),
        "neurons": len(spikes), "spikes_compared": compared, "spikes_differing": differing,
        "largest_difference": f"{np.abs(found - mine).max():.3g}",
    }  # fmt: skip


def read_there(file: str, timesteps: int, folder: Path) -> None:
    """In a process of SpikingJelly's own: runs a file step by step, and writes logits and every node's spikes."""
    import torch
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    net = import_from_nir(file).eval()
    seen: dict[str, list[np.ndarray]] = {}

    def kept(name: str) -> Any:
        return lambda _, given, out: seen.setdefault(name, []).append(out[0].numpy() != 0)

    for name, module in net.named_children():  # around each neuron a module that gives (spikes, state)
        if isinstance(getattr(module, "module", None), neuron.BaseNode):
            module.register_forward_hook(kept(name))
    images = torch.from_numpy(np.load(folder / "images.npy")).permute(0, 3, 1, 2)
    state, steps = None, []
    with torch.no_grad():
        for _ in range(timesteps):
            out, state = net(images, state)
            steps.append(out.numpy())
    spikes = {name: np.stack(each, axis=1) for name, each in seen.items()}
    np.savez(folder / "found.npz", logits=np.mean(steps, axis=0).reshape(len(images), -1), **spikes)


def runs(out: Path, arm: str) -> dict[str, Any]:
    """Accuracy over an arm's seeds, as a card has it."""
    shares = [int(row["right"]) / int(row["images"]) for row in read(out) if row["constraint"] == arm]
    return {
        "n": len(shares),
        "mean": float(np.mean(shares)),
        "std": float(np.std(shares, ddof=min(1, len(shares) - 1))),
    }


def table(out: Path) -> str:
    """The rows as a page shows them."""
    lines = [
        "| asked for | mixers | T, width, blocks | parameters | right, by seed | mean | energy, mJ |",
        "|" + "---|" * 7,
    ]
    rows = read(out)
    for arm in dict.fromkeys(row["constraint"] for row in rows):
        own = [row for row in rows if row["constraint"] == arm]
        one, found = own[0], runs(out, arm)
        energy = np.mean([float(row["energy_mj"]) for row in own])
        lines.append(
            f"| {arm} | {one['mixers']} | {one['timesteps']}, {one['embed_dim']}, {one['depth']} | "
            f"{int(one['parameters']):,} | {', '.join(row['right'] for row in own)} of {one['images']} | "
            f"{100 * found['mean']:.2f} % (std {100 * found['std']:.2f}) | {energy:.3g} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Every arm in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("runs/nir"), help="of searches and trainings")
    parser.add_argument("--constraints", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--space", default="kspike_mixers_digits")
    parser.add_argument("--data", default="digits", help="of kspike.data, fetched before")
    parser.add_argument("--augment", default="shift")
    parser.add_argument("--epochs", type=int, default=30, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("docs/results/nir.csv"))
    parser.add_argument(
        "--search-alone", action="store_true", help="trains nothing: a backend may search, another train"
    )
    parser.add_argument("--release", type=Path, help="a zoo folder that the network is published in")
    parser.add_argument("--name", default="nir_digits", help="of the published entry")
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        return read_there(given.read[0], int(given.read[1]), Path(given.read[2]))

    import kspike
    from kspike.training import Recipe

    data = Recipe(augment=given.augment).load_data(given.data)
    for arm in given.constraints:
        folder = given.directory / arm.replace(", ", "_")
        tuner = searched(arm, given.space, folder, data)
        config = tuner.best_candidates(1)[0].config
        if given.search_alone:
            continue
        for seed in given.seeds:
            if any((row["constraint"], row["seed"]) == (arm, str(seed)) for row in read(given.out)):
                continue
            model, images, _ = trained(config, seed, given, folder)
            row = {
                "constraint": arm, "seed": seed, **measured(model, images.test), "parameters": model.count_params(),
                "timesteps": config.timesteps, "embed_dim": config.embed_dim, "depth": config.depth,
                "mixers": mixers(config), "epochs": given.epochs,
            }  # fmt: skip
            append(given.out, row)
            print(row, flush=True)
        if arm == "none":
            continue
        model, images, recipe = trained(config, given.seeds[0], given, folder)
        there = given.out.with_name(f"{given.out.stem}_run.csv")
        if importlib.util.find_spec("spikingjelly") is None:
            print("SpikingJelly is not installed: left out")
        elif all(row["constraint"] != arm for row in read(there)):
            file = folder / "net.nir"
            report = kspike.export.save(model, file, images=images.test)
            print(report, flush=True)
            batches = [images.test[i] for i in range(len(images.test))]
            pixels, labels = (np.concatenate([np.asarray(each[j]) for each in batches]) for j in (0, 1))
            row = {
                "constraint": arm, "seed": given.seeds[0], "bytes": report.bytes,
                "exported_differing": report.spikes_differing, **ran(model, file, pixels.astype("float32"), labels),
            }  # fmt: skip
            append(there, row)
            print(row, flush=True)
        if arm == RELEASED and given.release:
            about = {"search": tuner, "training": {"recipe": recipe.to_dict()}, "seed": recipe.seed}
            about |= {"license": "apache-2.0", "backends": ("jax", "tensorflow"), "runs": runs(given.out, arm)}
            about |= {"reproduce": "python benchmarks/nir_digits.py --release zoo"}
            print(kspike.zoo.publish(model, given.name, directory=given.release, data=images, **about))
    if not given.search_alone:
        print(table(given.out))
    return None


if __name__ == "__main__":
    main()
