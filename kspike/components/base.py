"""Components: one class a stem, downsampling, mixer, MLP, head or neuron, which every reader reads. Imports no Keras.

A component is a frozen dataclass: its fields are its settings. `parts()` says what it is made of and `forward` how it
runs; plain networks, supernets, costs, search spaces, cards and files take all they know of it from there.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from kspike._registry import nearest
from kspike.components import parts as parts_module
from kspike.components.parts import Part

#: What a component may be to a network.
ROLES = ("stem", "downsample", "mixer", "mlp", "head", "neuron")
#: Branches of a block in running order: the config's field -> the role of what it names.
BRANCHES: Mapping[str, str] = {"local": "mixer", "mixer": "mixer", "mlp": "mlp"}
#: What a branch is called in paths of the model; a mixer's is Spikformer's, whatever its name.
PATHS: Mapping[str, str] = {"local": "local", "mixer": "attention", "mlp": "mlp"}
#: Neuron kinds: whose tau and threshold a neuron takes. "input" stands before the products of a block; the neurons of a
#: downsampling are of the stem's kind.
BLOCK_KINDS = ("input", "qkv", "attention", "proj", "fc1", "fc2")
#: Kinds of one value a network.
SINGLE_KINDS = ("stem", "head")
KINDS = ("stem", *BLOCK_KINDS, "head")
#: Settings of the network that `parts` and `forward` may name, and that a component's own field of that name replaces.
NETWORK = ("residual", "scale", "qkv_bias", "proj_bias", "mlp_bias")
#: Further settings, for a stem's.
STEM = ("residual", "stem_pool", "pool_after")
#: Settings of the network that each role may name.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "stem": STEM, "downsample": ("residual",), "mixer": NETWORK, "mlp": NETWORK, "head": ("residual",),
}  # fmt: skip
#: Fields of a config that a neuron's step reads by naming these.
COVERS: Mapping[str, tuple[str, ...]] = {
    "charge": ("tau", "decay_input", "v_reset"),
    "reset": ("v_reset", "detach_reset"),
    "tau": ("tau",),
    "v_threshold": ("v_threshold",),
    "v_reset": ("v_reset",),
    "spike": ("surrogate",),
    "level": (),
}
#: Constants that a neuron of the fused pass may have in place of the config's.
FUSED = ("tau", "v_threshold", "v_reset", "decay_input")


@functools.cache
def named(method: Callable) -> tuple[str, ...]:
    """The keyword-only names of a method, and those behind its positional ones: what it asks to be told."""
    return tuple(
        p.name
        for p in list(inspect.signature(method).parameters.values())[1:]
        if p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.name in (*NETWORK, *STEM))
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Component:
    """Base of all components; see `Stem`, `Downsample`, `Mixer`, `MLP`, `Head` and `Neuron`."""

    #: What it is to a network, and its name in configs, genes and files; `register` gives the name.
    role: ClassVar[str] = ""
    name: ClassVar[str] = ""

    @property
    def word(self) -> Any:
        """How a config holds it: its name where all settings are defaults, else the object."""
        return self if self.settings else self.name

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are not at their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @property
    def label(self) -> str:
        """One word for reports and paths: `gate`, `gate(bias=False)`."""
        shown = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        return f"{self.name}({shown})" if shown else self.name


class _Made(Component):
    """What all components but neurons share: parts and a forward pass."""

    #: Shortcuts that it is made for.
    residuals: ClassVar[tuple[str, ...]] = ("add",)
    #: Whether the block adds what came in to what comes out.
    shortcut: ClassVar[bool] = True
    #: What `forward` names, looked up once: torch.compile traces no signature.
    named_in_forward: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.named_in_forward = named(cls.forward)

    def parts(self, *args: Any, **network: Any) -> dict[str, Part]:
        """Name -> part, in running order. Names are paths in the model and rows of every cost table."""
        raise NotImplementedError

    def forward(self, *args: Any, **network: Any) -> Any:
        """`forward(part, x, sizes)`: runs the parts, `part.name(x)`, on x; see `kspike.components`."""
        raise NotImplementedError

    def given(self, network: Mapping[str, Any]) -> dict[str, Any]:
        """The network's settings as this component has them: its own field of a name goes first, unless None."""
        return {
            name: value if getattr(self, name, None) is None else getattr(self, name) for name, value in network.items()
        }

    @property
    def together(self) -> int:
        """Consecutive time steps that `forward` takes together: 1 where only neurons look at other steps."""
        return 1

    def check(self, timesteps: int, where: str = "") -> None:
        """Refuses a T that it cannot work with; `where` is its place in the network, for the message.

        Raises:
            ValueError: T is no multiple of the steps that it takes together.
        """
        if timesteps % self.together:
            raise ValueError(
                f"{where or self.role}, {self.label!r}, takes {self.together} time steps together, which must divide "
                f"timesteps, got timesteps {timesteps}; take another chunk, or a multiple of {self.together} steps."
            )

    def check_residual(self, residual: str, more: str = "") -> None:
        """Refuses a shortcut that it is not made for, by ValueError; `more` is said last."""
        if residual not in self.residuals:
            raise ValueError(
                f"{self.role} {self.name!r} is made for residual {', '.join(map(repr, self.residuals))}, "
                f"got {residual!r}{more}."
            )

    def declared(self, network: Mapping[str, Any]) -> dict[str, Part]:
        """`parts()`, told the settings of the network that it names.

        Raises:
            ValueError: a shortcut it is not made for.
        """
        self.check_residual(network.get("residual", "add"))
        return _parts_of(self, tuple(sorted(self.given(network).items())))

    def kinds(self, network: Mapping[str, Any]) -> frozenset[str]:
        """Kinds of the neurons it has."""
        found = self.declared(network).values()
        return frozenset(part.kind for part in found if isinstance(part, parts_module.Neuron))

    def uses(self, size: str, network: Mapping[str, Any]) -> bool:
        """Whether any part of it depends on a dimension: "heads", "hidden"."""
        return any(parts_module.split(n).dimension == size for p in self.declared(network).values() for n in p.sizes)

    def run(self, part: Any, x: Any, sizes: Any, network: Mapping[str, Any]) -> Any:
        """`forward`, told the settings of the network that it names."""
        given = self.given(network)
        return self.forward(part, x, sizes, **{name: given[name] for name in self.named_in_forward})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixer(_Made):
    """Mixes tokens: `(batch, time, tokens, width)` in and out; the block adds the shortcut.

    Over tokens `forward` reduces as it likes. Time and channels of a supernet hold zeros beside what is active: there
    heads and channels are counted by `sizes` alone (`sizes.attend`, `sum_heads`, `to_channels`, `mean`).
    """

    role: ClassVar[str] = "mixer"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP(_Made):
    """Widens and narrows the channels, most of every token by itself: `(batch, time, tokens, width)` in and out.

    The block adds the shortcut.
    """

    role: ClassVar[str] = "mlp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stem(_Made):
    """Turns images into tokens: `(batch, time, height, width, image)` -> `(batch, time, tokens, width)`."""

    role: ClassVar[str] = "stem"
    shortcut: ClassVar[bool] = False
    #: Name of the downsampling that stands between stages behind this stem, unless the config names another; "" where
    #: the family has none.
    downsample: ClassVar[str] = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Downsample(_Made):
    """Stands between two stages: `(batch, time, height, width, before)` -> `(batch, time, tokens, width)`.

    "before" are the channels of the stage that ends, "width" those of the stage that begins.
    """

    role: ClassVar[str] = "downsample"
    shortcut: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head(_Made):
    """What stands before the linear layer: `(batch, time, tokens, width)` -> `(batch, time, width)`.

    The mean over time is the network's: after the head, or after the linear layer where it `averages_logits`.
    """

    role: ClassVar[str] = "head"
    shortcut: ClassVar[bool] = False

    @property
    def averages_logits(self) -> bool:
        """Whether the linear layer comes before the mean over time: the same function, rounded in another order."""
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neuron(Component):
    """A spiking neuron: `step(x, *states)` -> (spikes, states), one time step; membranes are float32.

    `step` names what it reads, after a `*`: `charge(v, x)` and `reset(h, s)`, which follow tau, decay_input, v_reset
    and detach_reset of the config; `spike(u)`, 1 where u >= 0, with the surrogate's gradient; `level(x, n)`,
    round(clip(x, 0, n)) / n, of the gradient 1 / n from 0 to n; `tau`, `v_threshold`, `v_reset`; its own weights. A
    config that sets what the neuron does not read is refused.
    """

    role: ClassVar[str] = "neuron"
    #: State -> what it starts from in every call: a number, or "rest" (v_reset, 0 for a soft reset).
    states: ClassVar[Mapping[str, Any]] = {"v": "rest"}
    #: Whether `kspike.ops.lif` computes it, in one pass with a normalisation before it: True, or the constants that it
    #: computes it with in place of the config's, of tau, v_threshold, v_reset, decay_input. Not inherited.
    fused: ClassVar[bool | Mapping[str, Any]] = False
    #: What `step` names, looked up once.
    named_in_step: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.named_in_step = named(cls.step)

    def weights(self, tau: float) -> dict[str, float]:
        """Learned weights, one number a group of channels: name -> start, for a neuron of that tau."""
        return {}

    def inverse_tau(self, *args: Any, **weights: Any) -> Any:
        """1 / tau out of the learned weights, or None where tau is the config's."""
        return None

    def step(self, x: Any, *states: Any, **named: Any) -> tuple[Any, tuple]:
        """One time step of `(batch, ...)`: spikes, and the states after it."""
        raise NotImplementedError

    @property
    def one_pass(self) -> bool:
        """Whether the fused pass computes it; a subclass that changes its step has none."""
        return vars(type(self)).get("fused", False) is not False

    @property
    def constants(self) -> dict[str, Any]:
        """What the fused pass takes in place of the config's constants."""
        return dict(self.fused) if self.one_pass and self.fused is not True else {}  # type: ignore[arg-type]

    @property
    def at_once(self) -> int:
        """How many time steps a call of `step` takes: `(batch, at_once, ...)` if above 1, for a neuron without states.

        T has to be a multiple. Its spikes depend on the mean of these steps alone.
        """
        return 1

    @property
    def binary(self) -> Neuron | None:
        """The neuron that fires its levels as `at_once` binary steps each; None for one that fires 0 and 1 itself."""
        return None

    @property
    def reads(self) -> frozenset[str]:
        """Fields of the config that its step reads."""
        return frozenset(field for name in self.named_in_step for field in COVERS.get(name, ()))

    @property
    def learns_tau(self) -> bool:
        """Whether tau is learned, from the config's on."""
        return type(self).inverse_tau is not Neuron.inverse_tau


@functools.lru_cache(maxsize=4096)
def _parts_of(component: _Made, given: tuple) -> dict[str, Part]:
    """Made once for each component and network: a search asks for them a thousand times. Nobody changes it."""
    known = dict(given)
    declared = component.parts(**{name: known[name] for name in named(type(component).parts)})
    if not isinstance(declared, Mapping):
        raise ValueError(
            f"{component.role} {component.name!r}: parts() must give a dict from name to part, got "
            f"{type(declared).__name__}."
        )
    return dict(declared)


def check_declaration(cls: type[Component]) -> None:
    """Refuses a class whose parts no reader could read, by ValueError."""
    what = f"{cls.role} {cls.name!r}"
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ValueError(f"{what} must be a frozen dataclass: write @dataclasses.dataclass(frozen=True, kw_only=True).")
    missing = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{what}: setting {missing[0]!r} needs a default; its name alone must make it.")
    if issubclass(cls, Neuron):
        known = {*COVERS, *cls().weights(2.0)}
        for name in named(cls.step):
            if name not in known:
                listed = ", ".join(sorted(known))
                raise ValueError(f"{what}: step names {name!r}{nearest(name, known)}; known: {listed}.")
        made = cls()
        for name in made.constants:
            if name not in FUSED:
                raise ValueError(f"{what}: fused names {name!r}{nearest(name, FUSED)}; known: {', '.join(FUSED)}.")
        if made.one_pass and dict(cls.states) != {"v": "rest"}:
            raise ValueError(f"{what}: the fused pass has the one state {{'v': 'rest'}}, got {dict(cls.states)}.")
        return
    offered = OFFERED[cls.role]
    for method in ("parts", "forward"):
        for name in named(getattr(cls, method)):
            if name not in offered:
                raise ValueError(
                    f"{what}: {method} names {name!r}{nearest(name, offered)}; known: {', '.join(offered)}."
                )
    for residual in cls.residuals:  # type: ignore[attr-defined]
        check_parts(what, cls().declared({**USUAL, "residual": residual}))  # type: ignore[attr-defined]


#: What a network's settings are unless it says otherwise.
USUAL = {
    "scale": 0.125, "qkv_bias": True, "proj_bias": True, "mlp_bias": True,
    "stem_pool": (False, False, True, True), "pool_after": "neuron",
}  # fmt: skip


def check_parts(what: str, declared: Mapping[str, Part]) -> None:
    """Refuses parts that name a size or a neuron kind that there is not, by ValueError."""
    for name, part in declared.items():
        if not isinstance(part, Part):
            raise ValueError(f"{what}: {name} must be a part of kspike.components.parts, got {type(part).__name__}.")
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{what}: {name!r} names a part; a name of letters, digits and '_' is expected.")
        for size in part.sizes:
            if not parts_module.known(size):
                raise ValueError(
                    f"{what}: {name} names the size {size!r}{nearest(size, parts_module.SIZES)}; "
                    f"known: {', '.join(parts_module.SIZES)}, each as it is, or by 2, 4 or 8 as in 'width/8' and "
                    "'width*4'."
                )
        of, before = getattr(part, "of", None), list(declared)[: list(declared).index(name)]
        if of and of not in before:
            raise ValueError(
                f"{what}: {name} is of {of!r}{nearest(of, before)}, which is no part before it; "
                f"expected '' (the component's input){''.join(f', {each!r}' for each in before)}."
            )
        if isinstance(part, parts_module.Neuron) and part.kind not in KINDS:
            raise ValueError(
                f"{what}: {name} is of neuron kind {part.kind!r}{nearest(part.kind, KINDS)}; known: {', '.join(KINDS)}."
            )
