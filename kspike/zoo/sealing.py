"""Stores a hash of an entry's metadata inside it, so that damage or a change in transit is detected.

    files.README.md     SHA-256 and byte count of the README
    metadata_sha256     SHA-256 of the canonical form of all other keys, the file hashes included

The canonical form is JSON in UTF-8 with sorted keys, no spaces, every number as Python writes it: files that
differ in spacing or order alone have the same hash. Older entries have neither of the two keys; of their figures only
the agreement with each other is checked (kspike/zoo/schema.py). An entry has both keys or neither, so that damage to
one key's name does not make it look like an older entry.
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
    """Metadata -> the same with its hash added."""
    return {**metadata, SEAL: hashlib.sha256(canonical(metadata)).hexdigest()}


def is_sealed(metadata: dict) -> bool:
    """Whether the metadata has a hash; older entries have none."""
    files = metadata.get("files")
    return SEAL in metadata or (isinstance(files, dict) and CARD in files)


def check(metadata: dict, what: str) -> None:
    """Raises ValueError if the metadata has a hash and does not match it."""
    if is_sealed(metadata) and seal(metadata)[SEAL] != metadata.get(SEAL):
        raise ValueError(
            f"Expected {what} to have the SHA-256 that it states of itself ({SEAL}); it was altered or damaged. "
            "Restore the entry from its source."
        )
