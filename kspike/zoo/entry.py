"""Reads an entry, its folder or its zip, into an `Entry`: checked metadata and config, bytes whose hash is known.

    <name>.v<N>/
        config.json         the architecture: SpikformerConfig.to_dict()
        metadata.json       what the card says, in numbers; SHA-256 and byte count of the other three, and its own
        README.md           the card, for a person
        model.weights.h5    plain Keras weights, float32, or with kernels in float16

Older entries have no hash of the metadata and the README (kspike/zoo/sealing.py); they are read all the same.
The hashes detect an entry that was damaged or altered in transit; they are no signature: whoever writes an entry writes
its hashes too. The protection against a hostile entry is that nothing in it is executed and every size is bounded.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kspike.components import elsewhere
from kspike.zoo import bounds, files, naming, schema, sealing, sources, strict_json
from kspike.zoo.stores import Folder, Store
from kspike.zoo.zips import Zip

if TYPE_CHECKING:
    from kspike.config import SpikformerConfig

CONFIG, WEIGHTS, METADATA, CARD = schema.CONFIG, schema.WEIGHTS, naming.METADATA, sealing.CARD
MAX_CONFIG_BYTES = 1 << 20
MAX_METADATA_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One published model. `store`: where its files lie; `metadata`: its checked metadata.json."""

    store: Store
    metadata: dict

    @classmethod
    def open(
        cls,
        name_or_folder: str | os.PathLike,
        directory: str | os.PathLike | None = None,
        *,
        offline: bool | None = None,
        verbose: int = 1,
    ) -> Entry:
        """A name, a folder, a zip or an address -> the entry, its metadata read and checked, nothing else opened.

        What is downloaded for it is read whole once, before it is kept.
        """

        def check(path: Path) -> None:
            cls.of(Zip.open(path)).contents()

        return cls.of(sources.find(name_or_folder, directory, check, offline, verbose))

    @classmethod
    def read(cls, folder: Path, *, name: str | None = None, allow_hard_links: bool = False) -> Entry:
        """The entry in exactly this folder; `name` is for a folder that does not bear its final name yet."""
        return cls.of(Folder(folder, allow_hard_links), name)

    @classmethod
    def of(cls, store: Store, name: str | None = None) -> Entry:
        """The entry whose files these are; `name` is for files that do not bear its final name yet."""
        what = store.place(METADATA)
        metadata = strict_json.loads(store.read(METADATA, MAX_METADATA_BYTES), what)
        schema.check(metadata, store.name if name is None else name, what)
        return cls(store, schema.with_all_keys(metadata))

    @property
    def name(self) -> str:
        """The full name, `<name>.v<N>`."""
        return naming.full_name(self.metadata["name"], self.metadata["version"])

    def config(self) -> SpikformerConfig:
        """The architecture: hash checked, sizes bounded by the weight file's size, then made."""
        from kspike import cost
        from kspike.config import SpikformerConfig

        raw = self.raw_config()
        weight_bytes = self._check_weight_size()
        elsewhere.check_known(raw, self.name)
        config = SpikformerConfig.from_dict(raw)
        parameters = int(cost.parameters(config))
        bounds.check_parameters(parameters, config.num_blocks + config.stages, weight_bytes, self.name)
        if parameters != self.metadata["parameters"]:
            raise ValueError(
                f"Expected {self.name} to have the {self.metadata['parameters']:,} parameters of its card; its "
                "config makes "
                f"{parameters:,}. Restore the entry from its source."
            )
        self._check_against_card(config)
        return config

    def raw_config(self) -> dict:
        """The architecture as JSON: hash checked, its numbers bounded; of components that may not be known here."""
        what = self.store.place(CONFIG)
        raw = strict_json.loads(self._read(CONFIG, MAX_CONFIG_BYTES), what)
        bounds.check_config(raw, what)
        return raw

    def contents(self) -> dict[str, bytes]:
        """File -> its bytes, all of them; ValueError where one is not what its recorded hash says."""
        self._check_weight_size()
        metadata = self.store.read(METADATA, MAX_METADATA_BYTES)
        what = self.store.place(METADATA)
        if schema.with_all_keys(strict_json.loads(metadata, what)) != self.metadata:
            raise ValueError(f"Expected {what} to stay as it is; it changed while the entry was read. Try again.")
        self.raw_config()
        found = {METADATA: metadata, CONFIG: self._read(CONFIG, MAX_CONFIG_BYTES), WEIGHTS: self.weights()}
        if CARD in self.metadata["files"]:
            found[CARD] = self._read(CARD, MAX_METADATA_BYTES)
        elif self.store.has(CARD):  # an older entry, whose README no hash covers
            found[CARD] = self.store.read(CARD, MAX_METADATA_BYTES)
        return found

    def weights(self) -> bytes:
        """The bytes of the weight file, whose size and SHA-256 are the recorded ones."""
        self._check_weight_size()
        return self._read(WEIGHTS, self.metadata["files"][WEIGHTS]["bytes"])

    def check_card(self) -> None:
        """Raises ValueError where the README's hash is recorded and the README is missing or another."""
        if CARD in self.metadata["files"]:
            self._read(CARD, MAX_METADATA_BYTES)

    def hashes(self) -> dict[str, str]:
        """File -> its recorded SHA-256, the metadata's own among them where there is one."""
        recorded = self.metadata["files"]
        found = {file: recorded[file]["sha256"] for file in (CONFIG, WEIGHTS, CARD) if file in recorded}
        return found | ({METADATA: self.metadata[sealing.SEAL]} if sealing.is_sealed(self.metadata) else {})

    def _check_weight_size(self) -> int:
        expected = self.metadata["files"][WEIGHTS]["bytes"]
        size = self.store.size(WEIGHTS)
        if size != expected:
            raise ValueError(
                f"Expected {self.store.place(WEIGHTS)} to hold {expected:,} bytes; received {size:,}: it is truncated "
                "or not the "
                "published file. Restore it from the entry's source."
            )
        return size

    def _read(self, file: str, limit: int) -> bytes:
        place, expected = self.store.place(file), self.metadata["files"][file]
        content = self.store.read(file, limit)
        if len(content) != expected["bytes"] or files.sha256(content) != expected["sha256"]:
            raise ValueError(
                f"Expected {place} to have the SHA-256 {expected['sha256'][:12]}... of its metadata; received "
                f"{files.sha256(content)[:12]}...: it was altered. It was not opened; restore it from the entry's "
                "source."
            )
        return content

    def _check_against_card(self, config: SpikformerConfig) -> None:
        shape, names = self.metadata["input"]["shape"], self.metadata.get("class_names")
        if tuple(shape) != tuple(config.input_shape):
            raise ValueError(
                f"Expected {self.name} to take images {tuple(shape)}, its card's; its config says {config.input_shape}."
            )
        if names is not None and len(names) != config.num_classes:
            raise ValueError(f"Expected {self.name} to name {config.num_classes} classes; received {len(names)} names.")
