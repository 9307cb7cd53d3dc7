"""Turns data sets into splits/*.json: which images of the official training split validate (and test), with their hash.

Run once for each release of a data set; the files then stand for good, and loading checks every copy against them.

    python kspike/data/files/publish_splits.py digits cifar10 cifar100      (from the root of the repository)
    python kspike/data/files/publish_splits.py cifar10_dvs      (the test recordings of its random split; needs no data)
"""

import json
import sys
from pathlib import Path

import numpy as np

from kspike import data
from kspike.data import partition
from kspike.data.class_names import CIFAR10
from kspike.data.events.sets import cifar10_dvs

ID_FORMATS = {"digits": "{:04d}", "cifar10": "train_{:05d}", "cifar100": "train_{:05d}"}


def main(names: list[str]) -> None:
    for name in names:
        if name == cifar10_dvs.NAME:
            publish_random()
            continue
        dataset, id_format = data.load(name), ID_FORMATS[name]
        splits = [dataset.validation] + ([dataset.test] if name == "digits" else [])
        positions = {split.name: [int(i.rpartition("_")[2]) for i in split.ids] for split in splits}
        for split in splits:
            if not np.array_equal(split.ids, [id_format.format(i) for i in positions[split.name]]):
                raise SystemExit(f"{name}: ids are not of the form {id_format}")
        content = {"name": name, "version": dataset.version, "id_format": id_format, "sha256": dataset.split_hash}
        write(name, content, positions)


def publish_random() -> None:
    """The test recordings of "random_90_percent"; a position is 1,000 times the class plus the number in its class."""
    ids = cifar10_dvs.random_ids()
    split = [i.split("_")[1:] for i in ids.tolist()]
    positions = {"test": [CIFAR10.index(name) * cifar10_dvs.EACH + int(number) for name, number in split]}
    content = {
        "name": cifar10_dvs.NAME,
        "id_format": "cifar10_{class}_{number}",
        "sha256": partition.digest({"test": ids}),
    }
    write(f"{cifar10_dvs.NAME}_random_90_percent", content, positions)


def write(name: str, content: dict, positions: dict) -> None:
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in {**content, **positions}.items()]
    target = Path(__file__).with_name("splits") / f"{name}.json"
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(target, {k: len(v) for k, v in positions.items()}, content["sha256"])


if __name__ == "__main__":
    main(sys.argv[1:])
