"""Turns data sets into splits/*.json: which images of the official training split validate (and test), with their hash.

Run once for each release of a data set; the files then stand for good, and loading checks every copy against them.

    python kspike/data/files/publish_splits.py digits cifar10 cifar100      (from the root of the repository)
"""

import json
import sys
from pathlib import Path

import numpy as np

from kspike import data

ID_FORMATS = {"digits": "{:04d}", "cifar10": "train_{:05d}", "cifar100": "train_{:05d}"}


def main(names: list[str]) -> None:
    for name in names:
        dataset, id_format = data.load(name), ID_FORMATS[name]
        splits = [dataset.validation] + ([dataset.test] if name == "digits" else [])
        positions = {split.name: [int(i.rpartition("_")[2]) for i in split.ids] for split in splits}
        for split in splits:
            if not np.array_equal(split.ids, [id_format.format(i) for i in positions[split.name]]):
                raise SystemExit(f"{name}: ids are not of the form {id_format}")
        content = {"name": name, "version": dataset.version, "id_format": id_format, "sha256": dataset.split_hash}
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in {**content, **positions}.items()]
        target = Path(__file__).with_name("splits") / f"{name}.json"
        target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        print(target, {k: len(v) for k, v in positions.items()}, dataset.split_hash)


if __name__ == "__main__":
    main(sys.argv[1:])
