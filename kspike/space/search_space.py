"""SearchSpace: the networks that a search may choose from; counts them, samples them, reads and writes them as JSON."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike import _names, _stages, components
from kspike.components import BRANCHES, geometry
from kspike.config import SpikformerConfig, stem_channels_of
from kspike.space import parse, storage
from kspike.space import schema as schema_module
from kspike.space.checks import check
from kspike.space.conditions import Conditions
from kspike.space.expression import express, spread
from kspike.space.extremes import extreme
from kspike.space.frames import GivenFrames, given_frames
from kspike.space.gene import BY_STAGE, NEURON_FIELDS, STAGED, Gene, Slot, settings_of
from kspike.space.genome import Genome


class SearchSpace:
    """Describes a set of Spikformers: a base network, and genes with the values that each may take.

    A field that is no gene stays as in the base. Network genes have one value a network: `stem`, `head`, `neuron`,
    `embed_dim`, `depth`, `timesteps`, and `stem_channels` as three tuples of choices, stage by stage of the stem
    (`stem_channels=(48, 96, 192)` fixes them). Block genes have one value a block: `local`, `mixer`, `mlp`,
    `num_heads`, `mlp_ratio`, `tau`, `v_threshold`. A plain tuple for `tau` reaches all neurons of a block, one for
    `v_threshold` all but attention's; a dict from neuron kind ("stem", "input", "qkv", "attention", "proj", "fc1",
    "fc2", "head") to a tuple makes one gene a kind ("stem" and "head" are network genes).

    Where the base has several stages, so has every network. `embed_dim={1: (32, 64), 2: (64, 96)}` and
    `depth={2: (1, 2)}` name stages, counted from 0; those not named stay as in the base. A plain tuple for a block gene
    has one value in every block, a dict by stage sets the blocks of that stage alone: `mixer={0: ("dwconv3", "ssa")}`.
    `downsample` is a gene for every transition, or for those before the named stages. Blocks have slots, numbered
    through all stages, up to each stage's own largest depth.

    Choices of `stem`, `downsample`, `head`, `neuron`, `local`, `mixer` and `mlp` are words: names of
    `kspike.components`, or objects with settings; their order is kept. What a network's words have no use for (heads of
    a mixer without heads, tau of neurons that it lacks, stem channels of another stem) is not expressed: it reads as
    the default, and does not tell genomes apart.

    Where the base's input has frames, T may be a gene if `frames_from` says how a recording reaches networks of several
    T: "recordings" (each T framed anew) or "windows" (one framing at the largest T, frames next to each other summed).
    Every network is then given the same `frames`, of one shape.

    Where `stem_channels` is no gene and the base has the default stem (D/8, D/4, D/2), the stem of each network follows
    its own width (of several stages the first's); a base with other stem channels keeps those.

    Args:
        base: the network whose fields hold where no gene does. Values by block must be equal in all blocks of a stage,
            or be given for its maximum depth.
        name: how the space is called, in reports and as a search's folder: letters, digits, "_", "-", "." (at most 80).
        frames_from: "recordings" or "windows", where T is a gene of an input with time.
        **genes: choices by field, as above.

    Raises:
        ValueError: an unknown gene or stage, a value the config refuses, heads that do not divide every width of their
            stage, two choices that would build the same network, a gene that acts in none, stems, or downsamplings of
            one transition, that give different token grids.

    Attributes:
        genes: in the order of the slots.
        slots: positions of a genome: network genes first, then block genes, block by block.
        max_depths: the largest depth of every stage.
        starts: the first block slot of every stage.
        frames: of an input with time and several T, what all networks are given; None else.

    Example:
        >>> import kspike
        >>> from kspike.space import SearchSpace
        >>> space = SearchSpace(kspike.SpikformerConfig(), depth=(1, 2), mlp_ratio=(2, 4))
        >>> space.size()
        6
        >>> space.sample(seed=0).to_config().embed_dim
        384
        >>> base = kspike.SpikformerConfig(
        ...     embed_dim=(32, 64), depth=(1, 2), num_heads=8, residual="membrane", downsample="strided")
        >>> space = SearchSpace(base, embed_dim={1: (64, 128)}, depth={1: (1, 2)}, mixer=("ssa", "identity"))
        >>> space.size(), space.largest().depths
        (24, (1, 2))
    """

    def __init__(
        self,
        base: SpikformerConfig | None = None,
        *,
        name: str | None = None,
        frames_from: str | None = None,
        **genes: Any,
    ) -> None:
        self.base = SpikformerConfig() if base is None else base
        if not isinstance(self.base, SpikformerConfig):
            raise ValueError(
                f"base must be a SpikformerConfig, got {type(base).__name__}; see kspike.SpikformerConfig."
            )
        self.name = "space" if name is None else _names.check(name, "the name of a search space")
        self.genes: tuple[Gene, ...] = parse.parse(genes, self.base)
        #: Field, neuron kind and stage (of stem_channels that of the stem) -> gene.
        self._genes = {(gene.field, gene.kind, gene.stage): gene for gene in self.genes}
        self.max_depths: tuple[int, ...] = tuple(self.choices("depth", stage=s)[-1] for s in range(self.stages))
        self.starts: tuple[int, ...] = _stages.starts(self.max_depths)
        self.slots: tuple[Slot, ...] = tuple(
            Slot(gene, block, len(gene.choices)) for gene in self.genes for block in self._slots_of(gene)
        )
        self._positions = {(slot.gene.name, slot.block): at for at, slot in enumerate(self.slots)}
        self.cardinalities = np.array([slot.cardinality for slot in self.slots], dtype=np.int32)
        self.cardinalities.flags.writeable = False
        self.conditions = Conditions(self)
        moving = self.base.has_time and self.gene("timesteps") is not None
        #: Of several T over frames, what all networks are given.
        self.frames: GivenFrames | None = given_frames(
            frames_from, self.choices("timesteps") if moving else None, self.base.image_shape
        )
        check(self)

    # -- what the space holds -----------------------------------------------------------------------------------

    @property
    def stages(self) -> int:
        """Number of stages of every network."""
        return self.base.stages

    @property
    def max_depth(self) -> int:
        """Number of block slots: every stage has room for its own largest depth."""
        return sum(self.max_depths)

    def stage(self, block: int) -> int:
        """The stage of a block slot; slots are numbered through all stages."""
        return _stages.stage_of(block, self.max_depths)

    @functools.cached_property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the token grid of every stage, the same in all networks."""
        choices = [self.components("stem"), *(self.components("downsample", stage=s) for s in range(1, self.stages))]
        found = [self.base.image_shape[:2]]
        for made in (each[0] for each in choices):
            found.append(geometry.last(made.declared(settings_of(self.base, made)), found[-1]))
        return tuple(found[1:])

    @property
    def given(self) -> SpikformerConfig | GivenFrames:
        """What every network of the space is given: its `input_shape`, and `has_time`."""
        return self.base if self.frames is None else self.frames

    @property
    def max_timesteps(self) -> int:
        """The largest T of any network of the space."""
        return self.choices("timesteps")[-1]

    @property
    def stem_follows_width(self) -> bool:
        """Whether the stem of each network is (D/8, D/4, D/2) of its own width (of several stages the first's)."""
        usual = stem_channels_of(self.base.widths[0])
        return self.gene("stem_channels", stage=0) is None and self.base.stem_channels == usual

    def gene(
        self, field: str, block: int | None = None, stage: int | None = None, kind: str | None = None
    ) -> Gene | None:
        """The gene that sets a field in a place; None where the base does.

        Args:
            field: of `SpikformerConfig`.
            block: the block slot, of a field with one value a block.
            stage: of "embed_dim" and "depth", of "downsample" the one that begins, of "stem_channels" the stem's.
            kind: the neuron kind, where a gene is of one kind alone.
        """
        if block is not None:
            stage = self.stage(block)
        return self._genes.get((field, kind, stage)) or self._genes.get((field, kind, None))

    def depth_gene(self, stage: int) -> Gene | None:
        """The gene of a stage's depth, if there is one."""
        return self.gene("depth", stage=stage)

    def position(
        self, field: str, block: int | None = None, stage: int | None = None, kind: str | None = None
    ) -> int | None:
        """The place among `slots` of the slot that sets a field; None where the base does. Arguments as for `gene`."""
        gene = self.gene(field, block, stage, kind)
        return None if gene is None else self._positions[gene.name, block]

    def choices(self, field: str, block: int | None = None, stage: int | None = None) -> tuple[Any, ...]:
        """What a field may be in a place: the choices of its gene, or the base's one value. Arguments as for `gene`."""
        gene = self.gene(field, block, stage)
        if gene is not None:
            return gene.choices
        if block is not None:
            return (self.of_base(field, block),)
        if field in STAGED:
            return ((self.base.widths if field == "embed_dim" else self.base.depths)[stage or 0],)
        value = getattr(self.base, field)
        if field == "downsample":
            return (value[(stage or 1) - 1],)
        return (value[stage or 0],) if field == "stem_channels" else (value,)

    def components(self, field: str, block: int | None = None, stage: int | None = None) -> tuple[Any, ...]:
        """The components that may stand in a place, as objects: a gene's choices, or the base's one.

        Args:
            field: "stem", "neuron", "head", "downsample" with a stage, or "local", "mixer" and "mlp" with a block slot.
            block: from 0.
            stage: the one that a downsampling begins.
        """
        role = BRANCHES.get(field, field)
        return tuple(components.get(role, word) for word in self.choices(field, block, stage))

    def of_base(self, field: str, block: int, kind: str | None = None) -> Any:
        """The base's value of a field in a block slot, of a neuron's field that of a kind.

        Raises:
            ValueError: the base has other values in blocks of this stage, and not one for every block slot.
        """
        stage, base = self.stage(block), self.base
        values = getattr(base, field) if kind is None else getattr(base, field)[kind]
        name = field if kind is None else f"{field} of {kind}"
        own = values[base.starts[stage] : base.starts[stage] + base.depths[stage]]
        where = f" in stage {stage}" if self.stages > 1 else ""
        return spread(own, name, self.max_depths[stage], where)[block - self.starts[stage]]

    def _slots_of(self, gene: Gene) -> Sequence[int | None]:
        """Block slots of a gene; None for one value a network."""
        if gene.scope == "network":
            return [None]
        if gene.stage is None:
            return range(self.max_depth)
        return range(self.starts[gene.stage], self.starts[gene.stage] + self.max_depths[gene.stage])

    def size(self) -> int:
        """Exact number of different networks: network choices times, for every depth, those of each of its blocks.

        What a network's words have no use for does not multiply it: closed form, nothing is visited.
        """
        return self.conditions.size()

    def max_config(self) -> SpikformerConfig:
        """Every dimension at its maximum: the container of a supernet (not always a network of the space)."""
        return self.largest().to_config()

    def largest(self) -> Genome:
        """Every dimension, head count and ratio at its maximum; tau, thresholds nearest the usual.

        Of words, the choice with most parameters at the largest sizes of its stage, the first of equals.
        """
        return Genome.from_dict(extreme(self, largest=True), self)

    def smallest(self) -> Genome:
        """Every dimension, head count and ratio at its minimum; tau, thresholds nearest the usual.

        Of words, the choice with fewest parameters at the largest sizes of its stage, the first of equals.
        """
        return Genome.from_dict(extreme(self, largest=False), self)

    # -- genomes ------------------------------------------------------------------------------------------------

    def sample(self, seed: int | None = None, rng: np.random.Generator | None = None) -> Genome:
        """Draws every gene uniformly and independently, as the paper's single-path training does."""
        if rng is None:
            rng = np.random.default_rng(seed)
        return Genome(self, tuple(int(i) for i in rng.integers(0, self.cardinalities)))

    def genome(self, **values: Any) -> Genome:
        """Makes a genome by hand: a number a network gene; for a block gene one value, one a block or one a stage.

        Values by block are those of the expressed blocks, or of all block slots. Genes of one neuron kind are given as
        `v_threshold={"fc1": 0.8}`, genes of one stage as `embed_dim={1: 64}`, stem channels as a tuple of three.

        Raises:
            ValueError: an unknown or missing gene, or a value that is not a choice.
        """
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if name in NEURON_FIELDS and isinstance(value, Mapping):
                flat |= {f"{name}.{kind}": v for kind, v in value.items()}
            elif name == "stem_channels" and isinstance(value, Sequence):
                flat |= {f"{name}.{stage}": v for stage, v in enumerate(value)}
            elif name in BY_STAGE and parse.names_stages(name, value):
                by_stage = parse.by_stage(name, value, self.stages)
                flat |= {name if self.stages == 1 else f"{name}.{stage}": v for stage, v in by_stage.items()}
            else:
                flat[name] = value
        return Genome.from_dict(flat, self)

    def genomes(self) -> Iterator[Genome]:
        """Walks through every network of the space once, lazily."""
        yield from (Genome(self, indices) for indices in self.conditions.walk())

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

    def for_data(self, data: Any, timesteps: int | None = None) -> SearchSpace:
        """The same genes for the images of a data set: its shape and its classes.

        For recordings of event cameras T stays a gene, each T framed anew from the recordings unless the space says
        otherwise; `timesteps` fixes it.

        Args:
            data: a `kspike.data` data set.
            timesteps: the one T of recordings.

        Raises:
            ValueError: no network of the space takes such images.

        Example:
            >>> import kspike
            >>> from kspike.space import SearchSpace
            >>> SearchSpace.load("kspike_c10_16").for_data(kspike.data.load("digits")).base.input_shape
            (8, 8, 1)
        """
        made, shape = self.to_dict(), tuple(data.input_shape)
        if getattr(data, "events", None) is not None:
            several = "timesteps" in made["genes"]
            if several and timesteps is not None:  # T is no longer to be found
                del made["genes"]["timesteps"]
                made.pop("frames_from", None)
            elif several:
                made.setdefault("frames_from", "recordings")
                shape = (max(self.choices("timesteps")), *shape[1:])
        base = self.base.replace(input_shape=shape, num_classes=data.num_classes)
        return SearchSpace.from_dict({**made, "base": base.to_dict()})

    # -- as data ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The space as plain JSON values; `from_dict` gives an equal space back."""
        made = {"name": self.name, "base": self.base.to_dict(), "genes": parse.to_spec(self.genes)}
        return made if self.frames is None else {**made, "frames_from": self.frames.way}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchSpace:
        """Builds a space from `to_dict`'s output, or from a shorter one: fields absent from "base" have their defaults.

        Raises:
            ValueError: an unknown key, or anything the constructor refuses.
        """
        storage.check_keys(data)
        name = _names.check(data["name"], "the name of a search space") if "name" in data else None
        base, genes = SpikformerConfig.from_dict(data.get("base", {})), dict(data.get("genes", {}))
        return cls(base, name=name, frames_from=data.get("frames_from"), **genes)

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
        genes = ", ".join(f"{gene.name}={list(gene.plain)}" for gene in self.genes)
        return f"SearchSpace({self.name!r}, {self.size():,} networks: {genes})"
