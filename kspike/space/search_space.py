"""SearchSpace: the networks that a search may choose from; counts them, samples them, reads and writes them as JSON."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike import _names
from kspike.config import SpikformerConfig
from kspike.space import gene as gene_module
from kspike.space import schema as schema_module
from kspike.space import storage
from kspike.space.checks import check
from kspike.space.expression import express
from kspike.space.gene import NEURON_FIELDS, Gene, Slot
from kspike.space.genome import Genome


class SearchSpace:
    """Describes a set of Spikformers: a base network, and genes with the values that each may take.

    A field that is no gene stays as in the base. Network genes have one value a network: `embed_dim`, `depth`,
    `timesteps`, and `stem_channels` as three tuples of choices, stage by stage (`stem_channels=(48, 96, 192)` fixes
    them). Block genes have one value a block: `num_heads`, `mlp_ratio`, `tau`, `v_threshold`. A plain tuple for `tau`
    reaches all neurons of a block, one for `v_threshold` all but attention's; a dict from neuron kind ("stem", "input",
    "qkv", "attention", "proj", "fc1", "fc2") to a tuple makes one gene a kind ("stem" is a network gene).

    Where `stem_channels` is no gene and the base has the default stem (D/8, D/4, D/2), the stem of each network follows
    its own width; a base with other stem channels keeps those.

    Args:
        base: the network whose fields hold where no gene does. Values by block must be equal in all blocks, or be given
            for the maximum depth.
        name: how the space is called, in reports and as a search's folder: letters, digits, "_", "-", "." (at most 80).
        **genes: choices by field, as above.

    Raises:
        ValueError: an unknown gene, a value the config refuses, heads that do not divide every width, two choices that
            would build the same network.

    Example:
        >>> import kspike
        >>> from kspike.space import SearchSpace
        >>> space = SearchSpace(kspike.SpikformerConfig(), depth=(1, 2), mlp_ratio=(2, 4))
        >>> space.size()
        6
        >>> space.sample(seed=0).to_config().embed_dim
        384
    """

    def __init__(self, base: SpikformerConfig | None = None, *, name: str | None = None, **genes: Any) -> None:
        self.base = SpikformerConfig() if base is None else base
        if not isinstance(self.base, SpikformerConfig):
            raise ValueError(
                f"base must be a SpikformerConfig, got {type(base).__name__}; see kspike.SpikformerConfig."
            )
        self.name = "space" if name is None else _names.check(name, "the name of a search space")
        self.genes: tuple[Gene, ...] = gene_module.parse(genes, self.base.residual)
        self._by_name = {gene.name: gene for gene in self.genes}
        depths = self._by_name["depth"].choices if "depth" in self._by_name else (self.base.depth,)
        self.max_depth: int = depths[-1]
        self.slots: tuple[Slot, ...] = tuple(
            Slot(gene, block, len(gene.choices))
            for gene in self.genes
            for block in ([None] if gene.scope == "network" else range(self.max_depth))
        )
        self.cardinalities = np.array([slot.cardinality for slot in self.slots], dtype=np.int32)
        self.cardinalities.flags.writeable = False
        check(self)

    # -- what the space holds -----------------------------------------------------------------------------------

    @property
    def max_timesteps(self) -> int:
        """The largest T of any network of the space."""
        return self._choices("timesteps", self.base.timesteps)[-1]

    @property
    def stem_follows_width(self) -> bool:
        """Whether the stem of each network is (D/8, D/4, D/2) of its own width."""
        d = self.base.embed_dim
        return "stem_channels.0" not in self._by_name and self.base.stem_channels == (d // 8, d // 4, d // 2)

    def size(self) -> int:
        """Exact number of different networks: network choices times, for every depth, block choices to that power."""
        network = math.prod(len(g.choices) for g in self.genes if g.scope == "network" and g.name != "depth")
        block = math.prod(len(g.choices) for g in self.genes if g.scope == "block")
        return network * sum(block**depth for depth in self._choices("depth", self.max_depth))

    def max_config(self) -> SpikformerConfig:
        """Every dimension at its maximum: the container of a supernet (not always a network of the space)."""
        return self.largest().to_config()

    def largest(self) -> Genome:
        """The network with every dimension, head count and ratio at its maximum; tau, thresholds nearest the usual."""
        return self._extreme(-1)

    def smallest(self) -> Genome:
        """The network with every dimension, head count and ratio at its minimum; tau, thresholds nearest the usual."""
        return self._extreme(0)

    def _extreme(self, end: int) -> Genome:
        # a neuron of tau 10 or threshold 2 is silent at small T: an extreme of size should still be a living net
        usual = {"tau": 2.0, "v_threshold": 1.0}
        values = {}
        for gene in self.genes:
            wanted = 0.5 if gene.name == "v_threshold.attention" else usual.get(gene.field)
            at = gene.choices[end] if wanted is None else min(gene.choices, key=lambda c: (abs(c - wanted), c))
            values[gene.name] = at
        return Genome.from_dict(values, self)

    # -- genomes ------------------------------------------------------------------------------------------------

    def sample(self, seed: int | None = None, rng: np.random.Generator | None = None) -> Genome:
        """Draws every gene uniformly and independently, as the paper's single-path training does."""
        if rng is None:
            rng = np.random.default_rng(seed)
        return Genome(self, tuple(int(i) for i in rng.integers(0, self.cardinalities)))

    def genome(self, **values: Any) -> Genome:
        """Makes a genome by hand: a number a network gene; one number, `depth` or `max_depth` of them a block gene.

        Genes of one neuron kind are given as `v_threshold={"fc1": 0.8}`, stem channels as a tuple of three.

        Raises:
            ValueError: an unknown or missing gene, or a value that is not a choice.
        """
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if name in NEURON_FIELDS and isinstance(value, Mapping):
                flat |= {f"{name}.{kind}": v for kind, v in value.items()}
            elif name == "stem_channels" and isinstance(value, Sequence):
                flat |= {f"{name}.{stage}": v for stage, v in enumerate(value)}
            else:
                flat[name] = value
        return Genome.from_dict(flat, self)

    def genomes(self) -> Iterator[Genome]:
        """Walks through every network of the space once, lazily."""
        fixed = [range(s.cardinality) for s in self.slots]
        for depth in self._choices("depth", self.max_depth):
            ranges = [
                [s.gene.index(depth)]
                if s.gene.name == "depth"
                else ([0] if s.block is not None and s.block >= depth else r)
                for s, r in zip(self.slots, fixed, strict=True)
            ]
            yield from (Genome(self, indices) for indices in itertools.product(*ranges))

    def encode(self, genome: Genome) -> np.ndarray:
        """The genome as int32 indices into the choices of `slots`."""
        if genome.space != self:
            raise ValueError(f"The genome belongs to space {genome.space.name!r}, not to {self.name!r}.")
        return np.array(genome.indices, dtype=np.int32)

    def decode(self, indices: Sequence[int] | np.ndarray) -> Genome:
        """The genome of `encode`'s indices."""
        return Genome(self, tuple(int(i) for i in indices))

    def config_of(self, values: Mapping[str, Any]) -> SpikformerConfig:
        """The network that gene values express (block values beyond `depth` are ignored)."""
        return express(self, values)

    def _choices(self, name: str, otherwise: int) -> tuple[Any, ...]:
        return self._by_name[name].choices if name in self._by_name else (otherwise,)

    # -- as data ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The space as plain JSON values; `from_dict` gives an equal space back."""
        return {"name": self.name, "base": self.base.to_dict(), "genes": gene_module.to_spec(self.genes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchSpace:
        """Builds a space from `to_dict`'s output, or from a shorter one: fields absent from "base" have their defaults.

        Raises:
            ValueError: an unknown key, or anything the constructor refuses.
        """
        storage.check_keys(data)
        name = _names.check(data["name"], "the name of a search space") if "name" in data else None
        return cls(SpikformerConfig.from_dict(data.get("base", {})), name=name, **dict(data.get("genes", {})))

    def save(self, path: str | Path) -> Path:
        """Writes the space as a JSON file (written aside, then renamed: never half a file)."""
        return storage.write(Path(path), self.to_dict())

    @classmethod
    def load(cls, name: str | Path | Mapping[str, Any] | SearchSpace) -> SearchSpace:
        """Reads a published space by name, or a JSON file; a space or its dict passes through.

        Raises:
            ValueError: an unknown name (the message lists the known ones and the nearest), or a file that is no space.
        """
        if isinstance(name, SearchSpace):
            return name
        if isinstance(name, Mapping):
            return cls.from_dict(name)
        path = storage.find(name)
        try:
            data = storage.read(path)
            return cls.from_dict({"name": _names.made_from(path.stem), **data})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a search space: {error}") from error

    @staticmethod
    def names() -> list[str]:
        """Names of the published spaces."""
        return storage.names()

    @staticmethod
    def schema() -> dict[str, Any]:
        """The JSON schema of a space's file."""
        return schema_module.schema()

    @functools.cached_property
    def _canonical(self) -> str:
        data = self.to_dict()
        del data["name"]
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    def fingerprint(self) -> str:
        """Sixteen characters that change with anything but the name."""
        return hashlib.sha256(self._canonical.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self._canonical == other._canonical if isinstance(other, SearchSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __repr__(self) -> str:
        genes = ", ".join(f"{gene.name}={list(gene.choices)}" for gene in self.genes)
        return f"SearchSpace({self.name!r}, {self.size():,} networks: {genes})"
