"""Turns scikit-learn's digits.csv.gz into digits.npz: 1,797 images of 8x8 (uint8, 0..16) and their labels.

Run once, to make the file that travels with the package; nothing imports this script and nothing needs scikit-learn.

    python pack_digits.py PATH/TO/sklearn/datasets/data/digits.csv.gz

Every line of the source holds 64 pixels and a label. Pixels and labels are stored as they are, in the order of the
source, so that the number of a line is the id of its image. NumPy stamps no date into the archive: the same input gives
the same bytes, whose SHA-256 is printed and stands in kspike/data/digits.py.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np


def main(source: str) -> None:
    table = np.loadtxt(source, delimiter=",")
    if table.shape != (1797, 65) or table[:, :64].min() != 0 or table[:, :64].max() != 16:
        raise SystemExit(f"{source}: expected 1,797 lines of 64 pixels in 0..16 and a label")
    images = table[:, :64].reshape(-1, 8, 8).astype(np.uint8)
    labels = table[:, 64].astype(np.uint8)
    target = Path(__file__).with_name("digits.npz")
    np.savez_compressed(target, images=images, labels=labels)
    print(target, target.stat().st_size, "bytes, SHA-256", hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
