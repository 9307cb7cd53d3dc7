"""Entries of one data set side by side: a table, paired tests on the same test images, a page and a plot.

    python tuners/side_by_side.py auto_spikformer_c10 spikformer_c10 --into runs/beside

The classes that the entries gave the test images are on their cards: nothing is computed anew.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import kspike
from kspike.zoo import evaluating, naming

ROWS = {
    "test accuracy": lambda c: f"{100 * c['accuracy']:.2f} %",
    "95 % interval of so many images": lambda c: " to ".join(f"{100 * a:.2f}" for a in c["evaluation"]["interval"]),
    "energy, mJ an image": lambda c: f"{c['energy_mj']:.6f}",
    "parameters": lambda c: f"{c['parameters']:,}",
    "training epochs": lambda c: str(c["training"]["recipe"]["epochs"]),
    "training seconds": lambda c: f"{c['training']['seconds']:,}" if "seconds" in c["training"] else "not stated",
}


def table(cards: dict[str, dict]) -> Table:
    """For the terminal."""
    shown = Table("", *cards, title="Test images", title_justify="left")
    for title, cell in ROWS.items():
        shown.add_row(title, *(cell(card) for card in cards.values()))
    return shown


def paired(cards: dict[str, dict], labels: np.ndarray) -> list[dict[str, Any]]:
    """McNemar's exact test of each two entries: images that only one of them has right decide.

    Raises:
        ValueError: an entry's predictions are of other images.
    """
    right = {}
    for name, card in cards.items():
        predictions = evaluating.unpack(card["predictions"])
        if predictions is None or card["predictions"]["labels_sha256"] != evaluating.hash_labels(labels):
            raise ValueError(f"Expected {name} to hold the classes of these {len(labels):,} test images; it does not.")
        right[name] = predictions == labels
    rows = []
    for first, second in itertools.combinations(cards, 2):
        only = [int(np.sum(right[a] & ~right[b])) for a, b in ((first, second), (second, first))]
        rows.append(
            {"first": first, "second": second, "only_first": only[0], "only_second": only[1], "p": binomial(*only)}
        )
    return rows


def binomial(a: int, b: int) -> float:
    """The two-sided exact probability of a split at least as uneven as a to b, were each side as likely."""
    n, least = a + b, min(a, b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n)


def page(cards: dict[str, dict], tests: list[dict[str, Any]]) -> str:
    """The same as Markdown."""
    lines = ["| | " + " | ".join(f"`{name}`" for name in cards) + " |", "|---" * (len(cards) + 1) + "|"]
    lines += [f"| {title} | " + " | ".join(cell(c) for c in cards.values()) + " |" for title, cell in ROWS.items()]
    lines += ["", "The same test images, two by two (McNemar's exact test, two-sided; one training run of each):", ""]
    lines += ["| | right in the first alone | in the second alone | p |", "|---|---|---|---|"]
    lines += [
        f"| `{t['first']}`, `{t['second']}` | {t['only_first']:,} | {t['only_second']:,} | {t['p']:.2g} |"
        for t in tests
    ]
    return "\n".join(lines) + "\n"


def plot(cards: dict[str, dict], path: Path) -> Path:
    """Accuracy against energy, with the interval that the number of test images allows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for marker, (name, card) in zip(itertools.cycle("os^Dv"), cards.items(), strict=False):
        accuracy, (low, high) = card["accuracy"], card["evaluation"]["interval"]
        error = [[100 * (accuracy - low)], [100 * (high - accuracy)]]
        axes.errorbar(card["energy_mj"], 100 * accuracy, error, fmt=marker, capsize=3, label=name)
    axes.set(xlabel="energy, mJ an image", ylabel="test accuracy, %")
    axes.margins(0.2)
    axes.legend()
    figure.savefig(path, dpi=150)
    return path


def write(cards: dict[str, dict], labels: np.ndarray, folder: Path) -> None:
    """Leaves side_by_side.md, and side_by_side.png where matplotlib is installed."""
    text = page(cards, paired(cards, labels))
    try:
        plot(cards, folder / "side_by_side.png")
        text += "\n![Test accuracy against energy of an image](side_by_side.png)\n"
    except ImportError:
        text += "\n(`pip install matplotlib` for the plot.)\n"
    (folder / "side_by_side.md").write_text(text, encoding="utf-8")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="+", help="of the zoo, or folders")
    parser.add_argument("--into", type=Path, default=Path("."), help="the folder of side_by_side.md and its plot")
    parser.add_argument("--data-dir", help="where TensorFlow Datasets prepared the data set")
    given = parser.parse_args(words)
    cards = {card["name"]: card for card in map(numbered, given.entries)}
    data = kspike.data.load(next(iter(cards.values()))["data"]["name"], data_dir=given.data_dir)
    given.into.mkdir(parents=True, exist_ok=True)
    Console().print(table(cards))
    write(cards, labels_of(data.test), given.into)


def numbered(entry: str) -> dict[str, Any]:
    """The card of an entry, by its name with the version."""
    card = kspike.zoo.card(entry)
    return {**card, "name": naming.full_name(card["name"], card["version"])}


def labels_of(images: Any) -> np.ndarray:
    """The labels of all batches."""
    return np.concatenate([np.asarray(labels) for _, labels in images])


if __name__ == "__main__":
    main()
