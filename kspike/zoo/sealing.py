"""Covers an entry's metadata by a hash that stands in it, so that what was damaged or altered on its way is found.

    files.README.md     SHA-256 and byte count of the card for people
    metadata_sha256     SHA-256 of the canonical form of all the rest, files and their hashes with it

The canonical form is JSON in UTF-8 with sorted keys, no spaces, every number as Python writes it: two files of other
spacing or order that say the same have the same hash. Entries from before there was this hash have neither of the two
keys; their figures are checked for agreement with each other (kspike/zoo/schema.py), and nothing more. The two come
together, so that damage to the name of one does not pass an entry off as such.
"""

from __future__ import annotations

import hashlib
import json

SEAL = "metadata_sha256"
CARD = "README.md"


def canonical(metadata: dict) -> bytes:
    """Metadata -> the bytes that are hashed, the hash itself left out."""
    rest = {key: value for key, value in metadata.items() if key != SEAL}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def seal(metadata: dict) -> dict:
    """Metadata -> the same with the hash of it."""
    return {**metadata, SEAL: hashlib.sha256(canonical(metadata)).hexdigest()}


def is_sealed(metadata: dict) -> bool:
    """Whether the metadata is covered by a hash, which entries from before are not."""
    files = metadata.get("files")
    return SEAL in metadata or (isinstance(files, dict) and CARD in files)


def check(metadata: dict, what: str) -> None:
    """Raises ValueError where metadata is covered by a hash and is not what was hashed."""
    if is_sealed(metadata) and seal(metadata)[SEAL] != metadata.get(SEAL):
        raise ValueError(
            f"Expected {what} to have the SHA-256 that it states of itself ({SEAL}); it was altered or damaged. "
            "Restore the entry from its source."
        )
