"""One Spikformer architecture as a frozen dataclass, checked when made. Imports no Keras."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kspike import _named, _stages, components
from kspike import surrogate as surrogates
from kspike._registry import nearest, unknown
from kspike.components import BLOCK_KINDS, BRANCHES, KINDS, PATHS, SINGLE_KINDS, geometry

#: Fields with one value a block.
PER_BLOCK = ("num_heads", "mlp_ratio", "tau", "v_threshold", *BRANCHES)
#: Fields that came after the first files were written: in a file only where they differ from their defaults.
LATER = ("stem", "downsample", *BRANCHES, "head")
_DEEPEST = 1024
DEFAULT_TIMESTEPS = 4
DEFAULT_TAU = 2.0
DEFAULT_THRESHOLD = 1.0
#: Spikformer fires the neuron after attention at half the threshold of all others (official code, every data set).
DEFAULT_THRESHOLDS = {"attention": 0.5}


@dataclasses.dataclass(frozen=True)
class NeuronValues(Mapping):
    """One number a neuron kind, for every block: the resolved form of `tau` and `v_threshold`."""

    stem: float
    input: tuple[float, ...]
    qkv: tuple[float, ...]
    attention: tuple[float, ...]
    proj: tuple[float, ...]
    fc1: tuple[float, ...]
    fc2: tuple[float, ...]
    head: float

    def __getitem__(self, kind: str) -> Any:
        if kind not in KINDS:
            raise KeyError(kind)
        return getattr(self, kind)

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)

    def at(self, kind: str, block: int | None = None) -> float:
        """The value of one neuron: `block` counts from 0 and is not given for the stem and the head."""
        value = self[kind]
        return value if kind in SINGLE_KINDS else value[block]


def by_kind(value: Any, kinds: Sequence[str], defaults: Mapping[str, float], fallback: float, name: str) -> dict:
    """Spreads a plain number, or a mapping from kind, over neuron kinds.

    A plain value goes to every kind but those with a default of their own (attention's threshold).
    """
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(kinds))
        if unknown:
            raise ValueError(
                f"{name} by kind: unknown neuron kind {unknown[0]!r}{nearest(unknown[0], kinds)}; "
                f"known here: {', '.join(kinds)}."
            )
        return {kind: value.get(kind, defaults.get(kind, fallback)) for kind in kinds}
    return {kind: defaults.get(kind, value) for kind in kinds}


def _is_number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, (str, bytes, bool)) and not hasattr(value, "__len__")


def check_tau(value: Any, name: str = "tau") -> float:
    """Returns tau as a float, or says why it cannot be a time constant."""
    if not _is_number(value) or not math.isfinite(float(value)) or float(value) <= 1.0:
        raise ValueError(f"{name} must be a finite number above 1 (time constant in time steps), got {value!r}.")
    return float(value)


def check_threshold(value: Any, name: str = "v_threshold") -> float:
    """Returns the threshold as a float, or says why it cannot be one."""
    if not _is_number(value) or not math.isfinite(float(value)) or float(value) <= 0.0:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}.")
    return float(value)


def check_neuron(v_reset: float | None, v_threshold: float) -> None:
    """Refuses a reset potential that would fire by itself."""
    if v_reset is not None and (not _is_number(v_reset) or not math.isfinite(float(v_reset))):
        raise ValueError(f"v_reset must be a finite number, or None for a soft reset, got {v_reset!r}.")
    if v_reset is not None and float(v_reset) >= v_threshold:
        raise ValueError(f"v_reset must lie below v_threshold ({v_threshold}), got {v_reset!r}.")


def _check_bool(value: Any, name: str) -> bool:
    if value not in (True, False):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def _positive_int(value: Any, name: str, most: int) -> int:
    try:
        found = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:  # an array of several numbers has an __index__, too
        found = 0
    if not 1 <= found <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
    return found


def stem_channels_of(width: Any) -> tuple[Any, Any, Any]:
    """Channels of the first three convolutions of the stem "sps", unless the config says others; of arrays, too."""
    return width // 8, width // 4, width // 2


def _stages_of(embed_dim: Any, depth: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths, one a stage, checked."""
    widths, depths = _stages.resolve(
        embed_dim,
        depth,
        lambda width: _positive_int(width, "embed_dim", 65_536),
        lambda depth: _positive_int(depth, "depth", _DEEPEST),
    )
    if sum(depths) > _DEEPEST:
        raise ValueError(f"depth must be at most {_DEEPEST} blocks in all, got {depths}.")
    return widths, depths


@dataclasses.dataclass(frozen=True)
class Standing:
    """A component where it stands in a network.

    Args:
        place: where.
        component: the object.
        settings: of the network, that it may name.
        grid: (height, width) of what comes in.
        sizes: the dimensions that its parts name.
    """

    place: _stages.Place
    component: Any
    settings: Mapping[str, Any]
    grid: tuple[int, int]
    sizes: Mapping[str, int]

    @property
    def declared(self) -> dict[str, components.parts.Part]:
        """Name -> part."""
        return self.component.declared(self.settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikformerConfig:
    """Describes one Spikformer; the defaults are the published CIFAR-10 Spikformer-4-384 with T=4.

    After construction the form is canonical: values given once are spread over the blocks, values of neurons that
    do not exist with the chosen shortcut are reset to their defaults, so that equal networks compare and hash equal.

    Args:
        input_shape: `(height, width, channels)` of still images, repeated `timesteps` times inside the model, or
            `(timesteps, height, width, channels)` of event frames. Sizes in pixels.
        num_classes: outputs of the head.
        timesteps: T, how many steps the network runs; left out, the frames of a four-part input_shape, else 4.
        embed_dim: channels of the tokens, D: one number, or one a stage. Stages are runs of blocks of one width, with a
            downsampling between two of them.
        depth: number of blocks: one number, or one a stage.
        num_heads: attention heads, one number, one a stage or one a block; each divides the stage's `embed_dim`.
        mlp_ratio: hidden channels of the MLP over `embed_dim`, in the same forms; `int(D * ratio)` channels.
        stem_channels: channels of the first three convolutions of the patch splitting; None for `(D/8, D/4, D/2)`.
        stem_pool: for each of the four convolutions, whether a 3x3 max-pool of stride 2 follows.
        pool_after: "neuron" (official code: spikes are pooled) or "norm" (SpikingJelly 2.0's models: potentials are
            pooled, before the stage's neuron).
        qkv_bias, proj_bias, mlp_bias: whether those products have a bias (the event and ImageNet code has none in qkv).
        scale: factor of the attention product.
        residual: "add" (Spikformer: spikes are added, neurons last) or "membrane" (pre-activation shortcut of
            Spikingformer and AutoST: neurons first, potentials are added).
        neuron: every neuron of the network, the stem's too: "lif", "plif" (tau is learned from its given start), or
            another of `kspike.components.names("neuron")`; a name, or an object with its settings.
        tau: membrane time constant in time steps, above 1. A number (all neurons of the blocks), one a block, or a
            mapping from neuron kind (stem, input, qkv, attention, proj, fc1, fc2, head) to either. The stem, whose
            value downsamplings share, and the head keep 2 unless named.
        v_threshold: firing threshold, in the same forms; a plain value leaves attention's at 0.5, the stem's and the
            head's at 1.
        v_reset: potential after a spike, or None for a soft reset (the threshold is subtracted).
        decay_input: whether the input is divided by tau as well (SpikingJelly's default).
        detach_reset: whether the gradient ignores the reset.
        surrogate: name of a surrogate gradient, or a `kspike.surrogate` object.
        stem: what turns images into tokens: "sps", whose settings are stem_channels, stem_pool and pool_after, or
            another of `kspike.components.names("stem")`.
        downsample: what stands between two stages, one of `kspike.components.names("downsample")`; one for all, or one
            each. None for that of the stem's family. After construction one each, () with one stage.
        local, mixer, mlp: what stands in every block, in this order, a name or an object with its settings; one for
            all blocks, one a stage, or one a block. `local` is a second mixer before the first ("identity": none).
            After construction one a block, each a name where its settings are defaults. Values that a block has no
            use for (heads of a mixer without heads, tau of neurons it lacks) are reset to their defaults.
        head: what stands before the linear layer, one of `kspike.components.names("head")`.

    Raises:
        ValueError: naming the field, what was expected and what came.

    Example:
        >>> import kspike
        >>> config = kspike.SpikformerConfig(embed_dim=256, num_heads=8, tau=(2.0, 2.0, 1.25, 10.0))
        >>> config.tokens, config.hidden_dims
        (64, (1024, 1024, 1024, 1024))
        >>> config = kspike.SpikformerConfig(embed_dim=(64, 128), depth=(1, 2), num_heads=8, mixer=("token_qk", "ssa"))
        >>> config.mixer, config.grids
        (('token_qk', 'ssa', 'ssa'), ((8, 8), (4, 4)))
    """

    input_shape: tuple[int, ...] = (32, 32, 3)
    num_classes: int = 10
    timesteps: int = None  # type: ignore[assignment]
    embed_dim: Any = 384
    depth: Any = 4
    num_heads: Any = 12
    mlp_ratio: Any = 4.0
    stem_channels: Any = None
    stem_pool: tuple[bool, ...] = (False, False, True, True)
    pool_after: str = "neuron"
    qkv_bias: bool = True
    proj_bias: bool = True
    mlp_bias: bool = True
    scale: float = 0.125
    residual: str = "add"
    neuron: str = "lif"
    tau: Any = DEFAULT_TAU
    v_threshold: Any = DEFAULT_THRESHOLD
    v_reset: float | None = 0.0
    decay_input: bool = True
    detach_reset: bool = True
    surrogate: Any = "sigmoid"
    stem: Any = "sps"
    downsample: Any = None
    local: Any = "identity"
    mixer: Any = "ssa"
    mlp: Any = "spiking"
    head: Any = "mean"

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        if self.timesteps is None:
            shape = self.input_shape
            put("timesteps", shape[0] if _stages.several(shape) and len(shape) == 4 else DEFAULT_TIMESTEPS)
        put("timesteps", _positive_int(self.timesteps, "timesteps", 4096))
        put("num_classes", _positive_int(self.num_classes, "num_classes", 1_000_000))
        widths, depths = _stages_of(self.embed_dim, self.depth)
        put("embed_dim", _stages.collapsed(widths))
        put("depth", _stages.collapsed(depths))
        self._check_input(put)
        self._check_components(put)
        self._check_stem(put)
        self._check_blocks(put)
        self._check_neurons(put)

    def _check_input(self, put: Any) -> None:
        shape = self.input_shape
        if not isinstance(shape, (list, tuple)) or len(shape) not in (3, 4):
            raise ValueError(
                f"input_shape must be (height, width, channels) or (time, height, width, channels), got {shape!r}."
            )
        shape = tuple(_positive_int(n, "each entry of input_shape", 65_536) for n in shape)
        if len(shape) == 4 and shape[0] != self.timesteps:
            raise ValueError(
                f"input_shape {shape} has {shape[0]} frames, but timesteps is {self.timesteps}; "
                "give both the same number."
            )
        put("input_shape", shape)

    def _check_components(self, put: Any) -> None:
        for name in ("qkv_bias", "proj_bias", "mlp_bias", "decay_input", "detach_reset"):
            put(name, _check_bool(getattr(self, name), name))
        if not _is_number(self.scale) or not math.isfinite(float(self.scale)) or float(self.scale) <= 0:
            raise ValueError(f"scale must be a finite number above 0, got {self.scale!r}.")
        put("scale", float(self.scale))
        for name, known in (("residual", ("add", "membrane")), ("pool_after", ("neuron", "norm"))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ValueError(f"{name} must be one of {known}, got {value!r}{nearest(value, known)}.")
        for role in ("neuron", "stem", "head"):
            put(role, components.get(role, getattr(self, role)).word)
        for field, role in BRANCHES.items():
            chosen = _stages.per_block(getattr(self, field), self.depths, field)
            put(field, tuple(components.get(role, each).word for each in chosen))
        family = self.downsample is None
        put("downsample", self._between_stages())
        self.stem_component.check_residual(self.residual)  # first: it brings the downsampling that nobody named
        brought = f"; the stem {self.stem_component.label} brings it: give downsample" if family else ""
        for down in self.downsamples:
            down.check_residual(self.residual, brought)
        for made in {self.head_component, *self.downsamples}:
            made.declared(self.settings_of(made.role))
        for made in {made for branches in self.blocks for made in branches.values()}:
            made.declared(self.network)  # refuses a shortcut that it is not made for

    def _between_stages(self) -> tuple:
        """The downsampling's word between every two stages."""
        value, needed = self.downsample, self.stages - 1
        if value is None or (_stages.several(value) and not value and not needed):
            value = self.stem_component.downsample
            if needed and not value:
                raise ValueError(
                    f"downsample must be given: the stem {self.stem_component.label} has none of its own, and the "
                    f"config has {self.stages} stages; known: {', '.join(components.names('downsample'))}."
                )
        values = tuple(value) if _stages.several(value) else (value,) * needed
        if len(values) != needed:
            raise ValueError(
                f"downsample must be one value, or one between every two stages: expected {needed}, got "
                f"{len(values)}: {values}."
            )
        return tuple(components.get("downsample", each).word for each in values)

    def _check_stem(self, put: Any) -> None:
        if self.stem_component.name != "sps":
            self._check_other_stem(put)
            return
        pool = self.stem_pool
        if not isinstance(pool, (list, tuple)) or len(pool) != 4:
            raise ValueError(f"stem_pool must be four truth values, one a stage, got {pool!r}.")
        put("stem_pool", tuple(_check_bool(p, "each entry of stem_pool") for p in pool))
        if self.stem_channels is None:
            width = self.widths[0]
            if width % 8:
                raise ValueError(
                    f"embed_dim must be a multiple of 8 (the first convolution has an eighth of it), got {width}; "
                    "or give stem_channels."
                )
            put("stem_channels", stem_channels_of(width))
        channels = self.stem_channels
        if not isinstance(channels, (list, tuple)) or len(channels) != 3:
            raise ValueError(
                f"stem_channels must be three numbers, one for each of the first stages, got {channels!r}."
            )
        put("stem_channels", tuple(_positive_int(c, "each entry of stem_channels", 65_536) for c in channels))

    def _check_other_stem(self, put: Any) -> None:
        """Settings of "sps" say nothing of another stem: they stay at their defaults, and are refused otherwise."""
        d = self.widths[0]
        usual = {name: components.base.USUAL[name] for name in ("stem_pool", "pool_after")}
        for name, value in {"stem_channels": stem_channels_of(d), **usual}.items():
            given = getattr(self, name)
            if given is not None and (tuple(given) if isinstance(given, list) else given) != value:
                raise ValueError(
                    f"{name} is a setting of the stem 'sps': the stem {self.stem_component.label} takes none, got "
                    f"{given!r}; leave it out, or give {name}=None."
                )
            put(name, value)
        self._check_fractions(self.stem_component, self.stem_parts, {"width": d})

    @staticmethod
    def _check_fractions(
        made: Any, declared: Mapping[str, components.parts.Part], sizes: Mapping[str, int], where: str = ""
    ) -> None:
        """Refuses a size of which a part takes a fraction that is no whole number, and one that there is not here.

        `where` follows the component's name in the message: " of block 0".
        """
        for part in declared.values():
            for name in part.sizes:
                dimension, _, fraction = components.parts.split(name)
                if dimension.startswith("stem_") and made.name != "sps":
                    raise ValueError(f"{dimension} is a size of 'sps' alone, named by {made.role} {made.label}.")
                if dimension in sizes and sizes[dimension] % fraction:
                    field = {
                        "width": "embed_dim", "before": "embed_dim", "heads": "num_heads",
                        "hidden": "embed_dim * mlp_ratio",
                    }[dimension]  # fmt: skip
                    raise ValueError(
                        f"{field} must be a multiple of {fraction} for the {made.role} {made.label}{where}, got "
                        f"{sizes[dimension]}."
                    )

    def _check_blocks(self, put: Any) -> None:
        usual: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(self)}
        uses = {
            size: [any(made.uses(size, self.network) for made in branches.values()) for branches in self.blocks]
            for size in ("heads", "hidden")
        }
        heads = tuple(
            _positive_int(h, "num_heads", 65_536) if used else usual["num_heads"]
            for h, used in zip(_stages.per_block(self.num_heads, self.depths, "num_heads"), uses["heads"], strict=True)
        )
        for block, h in enumerate(heads):
            width = self.width(block)
            if uses["heads"][block] and width % h:
                raise ValueError(
                    f"num_heads must divide embed_dim: block {block} has {h} heads for embed_dim "
                    f"{width}{self._within(block)}; "
                    f"possible: {[n for n in range(1, min(width, 64) + 1) if width % n == 0]}."
                )
        put("num_heads", heads)
        ratios = _stages.per_block(self.mlp_ratio, self.depths, "mlp_ratio")
        ratios = tuple(r if used else usual["mlp_ratio"] for r, used in zip(ratios, uses["hidden"], strict=True))
        for block, r in enumerate(ratios):
            if not _is_number(r) or not 0 < float(r) <= 64 or int(self.width(block) * float(r)) < 1:
                raise ValueError(
                    f"mlp_ratio must be above 0, at most 64, and leave at least one channel, got {r!r} in block "
                    f"{block}{self._within(block)}, of embed_dim {self.width(block)}."
                )
        put("mlp_ratio", tuple(float(r) for r in ratios))
        for block, branches in enumerate(self.blocks):
            sizes = {"width": self.width(block), "heads": heads[block], "hidden": self.hidden_dims[block]}
            for field, made in branches.items():
                where = f" of block {block}{self._within(block)}"
                made.check(self.timesteps, field + where)
                self._check_fractions(made, made.declared(self.network), sizes, where)
        for stage, made in enumerate(self.downsamples, 1):
            declared = made.declared(self.settings_of("downsample"))
            self._check_fractions(made, declared, self.between(stage), f" before stage {stage}")

    def _within(self, block: int) -> str:
        """The stage of a block, for a message; nothing where there is one stage."""
        return f" of stage {self.stage(block)}" if self.stages > 1 else ""

    def _check_neurons(self, put: Any) -> None:
        put("surrogate", surrogates.get(self.surrogate))
        if self.v_reset is not None:
            check_neuron(self.v_reset, math.inf)
            put("v_reset", float(self.v_reset))
        put("tau", self._resolve(self.tau, "tau", {}, DEFAULT_TAU, check_tau))
        put(
            "v_threshold",
            self._resolve(self.v_threshold, "v_threshold", DEFAULT_THRESHOLDS, DEFAULT_THRESHOLD, check_threshold),
        )
        check_neuron(self.v_reset, self.v_threshold.stem)
        for block, present in enumerate(self.kinds):
            for kind in sorted(present):
                check_neuron(self.v_reset, self.v_threshold[kind][block])
        self._check_reads()

    def _check_reads(self) -> None:
        """Refuses a setting of neurons that this network's neuron does not read."""
        neuron = self.neuron_component
        usual = {"tau": DEFAULT_TAU, "v_reset": 0.0, "decay_input": True, "detach_reset": True}
        for name, value in usual.items():
            if name in neuron.reads:
                continue
            given = getattr(self, name)
            values = (
                {v for each in given.values() for v in (each if isinstance(each, tuple) else (each,))}
                if isinstance(given, NeuronValues)
                else {given}
            )
            if values != {value}:
                raise ValueError(
                    f"The neuron {neuron.label} does not read {name}, got {', '.join(map(str, values - {value}))}: "
                    f"leave it at {value}, or take another neuron."
                )

    def _resolve(self, value: Any, name: str, defaults: dict, fallback: float, check: Any) -> NeuronValues:
        if not isinstance(value, Mapping):  # a plain value is the blocks' alone
            value = {kind: value for kind in BLOCK_KINDS if kind not in defaults}
        spread = by_kind(value, KINDS, defaults, fallback, name)
        if not self.head_component.kinds(self.settings_of("head")):
            spread["head"] = fallback
        resolved: dict[str, Any] = {kind: check(spread[kind], f"{name} of the {kind}") for kind in SINGLE_KINDS}
        for kind in BLOCK_KINDS:
            if not any(kind in present for present in self.kinds):
                spread[kind] = defaults.get(kind, fallback)
            blocks = _stages.per_block(spread[kind], self.depths, f"{name} of {kind}")
            resolved[kind] = tuple(
                check(v if kind in present else defaults.get(kind, fallback), f"{name} of {kind}")
                for v, present in zip(blocks, self.kinds, strict=True)
            )
        return NeuronValues(**resolved)

    # -- its components -----------------------------------------------------------------------------------------

    @functools.cached_property
    def network(self) -> dict[str, Any]:
        """The settings that components may name, as the network has them."""
        return self.settings_of("mixer")

    @functools.cached_property
    def stem_settings(self) -> dict[str, Any]:
        """The settings that a stem may name."""
        return self.settings_of("stem")

    def settings_of(self, role: str) -> dict[str, Any]:
        """The settings that a component of a role may name."""
        return {name: getattr(self, name) for name in components.base.OFFERED[role]}

    @functools.cached_property
    def neuron_component(self) -> components.Neuron:
        """The neuron as an object."""
        return components.get("neuron", self.neuron)

    @functools.cached_property
    def stem_component(self) -> components.Stem:
        """The stem as an object."""
        return components.get("stem", self.stem)

    @functools.cached_property
    def head_component(self) -> components.Head:
        """The head as an object."""
        return components.get("head", self.head)

    @functools.cached_property
    def downsamples(self) -> tuple[components.Downsample, ...]:
        """What stands between every two stages, as objects."""
        return tuple(components.get("downsample", each) for each in self.downsample)

    @functools.cached_property
    def blocks(self) -> tuple[dict[str, Any], ...]:
        """The branches of every block in running order, as objects: field ("local", "mixer", "mlp") -> component."""
        each = [[components.get(role, word) for word in getattr(self, field)] for field, role in BRANCHES.items()]
        return tuple(dict(zip(BRANCHES, branches, strict=True)) for branches in zip(*each, strict=True))

    @functools.cached_property
    def stem_parts(self) -> dict[str, components.parts.Part]:
        """What the stem is made of."""
        return self.stem_component.declared(self.stem_settings)

    @functools.cached_property
    def kinds(self) -> tuple[frozenset[str], ...]:
        """Kinds of the neurons that every block has."""
        return tuple(
            frozenset().union(*(made.kinds(self.network) for made in branches.values())) for branches in self.blocks
        )

    @functools.cached_property
    def standing(self) -> tuple[Standing, ...]:
        """Every component in running order: the stem, downsamplings and branches of blocks, the head."""
        stem, head = _stages.Place("stem", 0, "stem"), _stages.Place("head", 0, "decoding")
        found = [self._at(stem, self.stem_component, self.image_shape[:2])]
        for block, branches in enumerate(self.blocks):
            stage = self.stage(block)
            if stage and block == self.starts[stage]:
                down = _stages.Place("downsample", stage - 1, f"down_{stage}")
                found.append(self._at(down, self.downsamples[stage - 1], self.grids[stage - 1]))
            for field, made in branches.items():
                place = _stages.Place(field, block, f"block_{block}/{PATHS[field]}")
                found.append(self._at(place, made, self.grids[stage]))
        return (*found, self._at(head, self.head_component, self.grid))

    def _at(self, place: _stages.Place, made: Any, grid: tuple[int, int]) -> Standing:
        return Standing(place, made, self.settings_of(made.role), grid, self.sizes_at(place.field, place.index))

    # -- what follows from the fields ---------------------------------------------------------------------------

    @property
    def has_time(self) -> bool:
        """Whether the input already carries a time axis (event frames)."""
        return len(self.input_shape) == 4

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one frame."""
        return self.input_shape[-3:]  # type: ignore[return-value]

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of the tokens, one a stage."""
        return self.embed_dim if isinstance(self.embed_dim, tuple) else (self.embed_dim,)

    @functools.cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of blocks, one a stage."""
        return self.depth if isinstance(self.depth, tuple) else (self.depth,)

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.depths)

    @property
    def num_blocks(self) -> int:
        """Number of blocks of all stages, through which they are numbered."""
        return sum(self.depths)

    @functools.cached_property
    def starts(self) -> tuple[int, ...]:
        """The number of each stage's first block."""
        return _stages.starts(self.depths)

    @property
    def averages_logits(self) -> bool:
        """Whether the mean over time follows the linear layer."""
        return self.head_component.averages_logits

    def stage(self, block: int) -> int:
        """The stage of a block."""
        return _stages.stage_of(block, self.depths)

    def width(self, block: int) -> int:
        """Channels of the tokens in a block."""
        return self.widths[self.stage(block)]

    @property
    def features(self) -> int:
        """Channels that the head reads: those of the last stage."""
        return self.widths[-1]

    @property
    def stage_channels(self) -> tuple[int, int, int, int]:
        """Output channels of the four convolutions of the patch splitting."""
        return (*self.stem_channels, self.widths[0])

    @property
    def stage_sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) at the input of each of the stem's four convolutions; a pool halves and rounds up."""
        return self._sizes()[:4]

    @functools.cached_property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the token grid, one a stage."""
        stem = self._sizes()[4] if self.stem == "sps" else geometry.last(self.stem_parts, self.image_shape[:2])
        found = [stem]
        for made in self.downsamples:
            found.append(geometry.last(made.declared(self.settings_of("downsample")), found[-1]))
        return tuple(found)

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the token grid; of several stages the last one's."""
        return self.grids[-1]

    def _sizes(self) -> tuple[tuple[int, int], ...]:
        height, width, _ = self.image_shape
        sizes = [(height, width)]
        for pool in self.stem_pool:
            if pool:
                height, width = -(-height // 2), -(-width // 2)
            sizes.append((height, width))
        return tuple(sizes)

    @property
    def tokens(self) -> int:
        """Number of tokens, N; of several stages the last one's."""
        return self.grid[0] * self.grid[1]

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        """Hidden channels of the MLP, one a block."""
        return tuple(int(self.width(block) * ratio) for block, ratio in enumerate(self.mlp_ratio))

    def neuron_args(self, kind: str, block: int | None = None) -> dict[str, float]:
        """tau and v_threshold of one neuron."""
        return {"tau": self.tau.at(kind, block), "v_threshold": self.v_threshold.at(kind, block)}

    def sizes(self, block: int | None = None) -> dict[str, int]:
        """The dimensions that parts name, for one block or for the stem."""
        stage = 0 if block is None else self.stage(block)
        found = {"width": self.widths[stage], "image": self.image_shape[2], "tokens": math.prod(self.grids[stage])}
        found |= {f"stem_{i}": channels for i, channels in enumerate(self.stem_channels)}
        if block is not None:
            found |= {"hidden": self.hidden_dims[block], "heads": self.num_heads[block]}
        return found

    def between(self, stage: int) -> dict[str, int]:
        """The dimensions that parts of the downsampling before a stage name; stages count from 0."""
        return {"before": self.widths[stage - 1], "width": self.widths[stage]}

    def sizes_at(self, field: str, index: int) -> dict[str, int]:
        """The dimensions that parts name in a place (`kspike._stages.Place`)."""
        if field == "downsample":
            return self.between(index + 1)
        if field == "head":
            return {"width": self.features, "tokens": self.tokens}
        return self.sizes(None if field == "stem" else index)

    # -- JSON ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; `from_dict` gives an equal config back."""
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            each = value if isinstance(value, tuple) else (value,)
            default = self.stem_component.downsample if field.name == "downsample" else field.default
            if field.name in LATER and all(v == default for v in each):
                continue
            if field.name in ("neuron", *LATER):
                several = isinstance(value, tuple)
                value = [components.describe(v) for v in value] if several else components.describe(value)
            elif isinstance(value, NeuronValues):
                usual = {"tau": DEFAULT_TAU, "v_threshold": DEFAULT_THRESHOLD}[field.name]
                value = {
                    kind: list(v) if isinstance(v, tuple) else v
                    for kind, v in value.items()
                    if (kind, v) != ("head", usual)  # a kind that came later, as LATER
                }
            elif field.name == "surrogate":
                value = surrogates.serialize(value)
            elif isinstance(value, tuple):
                value = list(value)
            out[field.name] = value
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SpikformerConfig:
        """Builds a config from `to_dict`'s output.

        Raises:
            ValueError: an unknown field, or a value that the config refuses.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"A config must be a mapping from field to value, got {type(data).__name__}.")
        known = [field.name for field in dataclasses.fields(cls)]
        for name in data:
            if name not in known:
                raise unknown("config field", name, known)
        return cls(**data)

    @classmethod
    def named(cls, name: str) -> SpikformerConfig:
        """A published architecture; `kspike.models.architectures` lists them.

        Raises:
            ValueError: an unknown name.

        Example:
            >>> import kspike
            >>> kspike.SpikformerConfig.named("qkformer_c10").mixer
            ('token_qk', 'token_qk', 'ssa', 'ssa')
        """
        return cls.from_dict(_named.read(name)["config"])

    def replace(self, **changes: Any) -> SpikformerConfig:
        """A copy with other values. With another depth, what is the same in every block of a stage is so in new ones.

        Another T is that of the frames too, another stem brings its family's downsampling where the config had that.

        Raises:
            ValueError: an unknown field; another depth where a field not given differs from block to block; a value
                that the config refuses.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise unknown("config field", name, known)
        widths, depths = _stages_of(changes.get("embed_dim", self.embed_dim), changes.get("depth", self.depth))
        if depths != self.depths:
            kept = [name for name in PER_BLOCK if name not in changes]
            changes = {name: self._of_every_block(name, depths) for name in kept} | changes
        if "stem_channels" not in changes and self.stem_channels == stem_channels_of(self.widths[0]):
            if components.get("stem", changes.get("stem", self.stem)).name != "sps":
                changes["stem_channels"] = None  # of another stem they say nothing, and follow the width
        own = self.stem_component.downsample
        if "downsample" not in changes and (len(depths) != self.stages or "stem" in changes):
            if all(word == own for word in self.downsample):
                changes["downsample"] = None
        if self.has_time and "timesteps" in changes and "input_shape" not in changes:
            changes["input_shape"] = (changes["timesteps"], *self.image_shape)
        elif "input_shape" in changes and "timesteps" not in changes and _stages.several(changes["input_shape"]):
            if len(changes["input_shape"]) == 4:
                changes["timesteps"] = None
        return dataclasses.replace(self, **changes)

    def _of_every_block(self, name: str, depths: tuple[int, ...]) -> Any:
        """A field's values without the blocks, for other depths: one number or one a stage, or that a neuron kind."""
        value = getattr(self, name)
        by_kind = value if isinstance(value, NeuronValues) else {name: value}
        one: dict[str, Any] = {}
        for kind, values in by_kind.items():
            if not isinstance(values, tuple):
                one[kind] = values
                continue
            starts = _stages.starts(self.depths)
            stages = [set(values[a : a + d]) for a, d in zip(starts, self.depths, strict=True)]
            if len(set(values)) == 1:
                one[kind] = values[0]
            elif len(depths) == self.stages and all(len(each) == 1 for each in stages):
                one[kind] = _stages.per_block(tuple(each.pop() for each in stages), depths, name)
            else:
                which = name if kind == name else f"{name} of {kind}"
                depth = _stages.collapsed(depths)
                raise ValueError(
                    f"{which} is not the same in every block, {values}, and says nothing of depth={depth}: give "
                    f"{name} beside depth, one value for all blocks, or one a block."
                )
        return one if isinstance(value, NeuronValues) else one[name]
