"""Elastic components: what `kspike.components` declare, over shared weights, as slices or under masks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import keras
from keras import ops

from kspike import components
from kspike._stages import Place
from kspike._types import Array, Maps, PerStep, Scalar, Signal, Tokens
from kspike.components import geometry
from kspike.components import parts as kinds_of_part
from kspike.components.parts import BorderNorm, Conv, Dense, DepthwiseConv, Norm, Part, Pool, number_of
from kspike.config import SpikformerConfig
from kspike.layers.component import Parts, refused_shape
from kspike.layers.component import Sizes as PlainSizes
from kspike.layers.frames import EachStep
from kspike.layers.neuron import learned_weights
from kspike.layers.stepping import Membrane, check_step, fire
from kspike.ops import attend, attend_chosen, lif, max_pool
from kspike.supernet.border import ElasticBorderNorm
from kspike.supernet.choosing import choose
from kspike.supernet.elastic import ElasticConv, ElasticDense, ElasticDepthwise, ElasticNorm, Extent, Statistics
from kspike.supernet.view import MaskedView, View


@dataclasses.dataclass(frozen=True)
class Pass:
    """What one forward pass through the supernet knows.

    Args:
        view: the network, as numbers or tensors.
        statistics: how it normalises.
        active: 1.0 where the block runs, else 0.0; None where it is known to run.
    """

    view: View
    statistics: Statistics
    active: Any = None

    @property
    def genes(self) -> Annotated[Array, "slots"]:
        """The genome as a tensor, under masks."""
        assert isinstance(self.view, MaskedView)
        return self.view.genes

    def within(self, genes: Annotated[Array, "slots"], at: Place) -> Pass:
        """The same inside a branch of a place, of genes that are the branch's own."""
        assert isinstance(self.view, MaskedView)
        view = MaskedView(self.view.space, genes)
        return Pass(view, self.statistics, None if self.active is None else view.active(at.index))

    @property
    def normalising(self) -> dict[str, Any]:
        return {"statistics": self.statistics, "time_mask": self.view.time_mask, "active": self.active}


class ElasticComponent(keras.layers.Layer):
    """One component of a place of the supernet, over weights of the largest sizes.

    Args:
        component: any but a neuron.
        config: the supernet's largest network, whose settings components name.
        largest: largest number of every dimension at this place.
        neurons: neuron components to choose from.
        at: where it stands; blocks are counted by slots.
        grid: (height, width) of what comes in.
    """

    def __init__(
        self,
        component: Any,
        config: SpikformerConfig,
        largest: Mapping[str, int],
        neurons: Sequence[components.Neuron],
        at: Place,
        grid: tuple[int, int],
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        for neuron in neurons:
            if neuron.at_once > 1:
                raise ValueError(
                    f"A supernet takes no neuron of several steps at once, got {neuron.label}: search over levels, and "
                    "unroll what is found (kspike.models.unroll)."
                )
            if not neuron.one_pass:
                check_step(neuron)
        own = self.__dict__  # past Keras, which would track and wrap
        #: Takes the spikes of every neuron part, and its name, for measured costs; a function, or None.
        self.listener: Callable[[Any, str], None] | None = None
        own["component"], own["config"], own["at"] = component, config, at
        own["network"] = config.settings_of(component.role)
        own["declared"] = component.declared(own["network"])
        own["largest"], own["neurons"], own["grid"] = dict(largest), tuple(neurons), grid
        own["learned"] = {}
        own["neuron_arguments"] = {
            name: getattr(config, name) for name in ("v_reset", "decay_input", "detach_reset", "surrogate")
        }

    #: `attend` does not multiply by the scale itself, and takes time steps as they are.
    scales, at_once = False, 1

    # -- weights ------------------------------------------------------------------------------------------------

    def build(self, input_shape: tuple | None = None) -> None:
        groups: dict[str, list] = {}
        for name, part in self.declared.items():
            if isinstance(part, kinds_of_part.Neuron):
                self._add_neuron(name, part)
                continue
            layer = self._layer(name, part)
            if layer is None:
                continue
            layer.build()
            kind, _, stage = name.rpartition("_")
            if self.component.role == "stem" and stage.isdigit():  # conv_0 to conv_3 are one list, as in layers.SPS
                groups.setdefault(f"{kind}_layers", []).append(layer)
            else:
                setattr(self, name, layer)
            self.__dict__.setdefault("_by_name", {})[name] = layer
        for name, layers in groups.items():
            setattr(self, name, layers)
        self.built = True

    def _layer(self, name: str, part: Part) -> keras.layers.Layer | None:
        number = functools.partial(number_of, self.largest)
        common = {"dtype": self.dtype_policy, "name": name}
        if isinstance(part, Dense):
            return ElasticDense(number(part.inputs), number(part.outputs), part.copies, part.bias, **common)
        if isinstance(part, Conv):
            sides = (part.kernel, part.stride, part.bias)
            return ElasticConv(number(part.inputs), number(part.outputs), *sides, **common)
        if isinstance(part, DepthwiseConv):
            return ElasticDepthwise(number(part.channels), part.kernel, part.stride, part.bias, part.padded, **common)
        if isinstance(part, Norm):
            cls = ElasticBorderNorm if isinstance(part, BorderNorm) else ElasticNorm
            return cls(number(part.channels), part.copies, **common)
        return None

    def _add_neuron(self, name: str, part: kinds_of_part.Neuron) -> None:
        """Learned weights of a neuron, shared by every subnet; those of each neuron to choose from are its own."""
        tau = self.config.tau.at(part.kind, self.at.index)
        for neuron in self.neurons:
            for weight, start in neuron.weights(tau).items():
                whole = f"{name}_{weight}" if len(self.neurons) == 1 else f"{name}_{neuron.name}_{weight}"
                self.learned[name, neuron, weight] = self.add_weight(
                    shape=(part.copies,),
                    initializer=keras.initializers.Constant(start),
                    name=whole,
                    dtype="float32",
                    autocast=False,
                )

    def part(self, name: str) -> Any:
        """The layer of a part."""
        return self._by_name[name]

    @property
    def plain(self) -> bool:
        """Whether costs can be measured here: one neuron, no products but dense ones and 3x3 convolutions, and no pools
        but of what is known to be one neuron's spikes, or to be no spikes."""
        for name, part in self.declared.items():
            if isinstance(part, DepthwiseConv) or (isinstance(part, Conv) and (part.kernel, part.stride) != (3, 1)):
                return False
            if isinstance(part, Pool) and not self._tells(name):
                return False
        return len(self.neurons) == 1

    def _tells(self, pool: str) -> bool:
        """Whether the declaration says what a pool takes: the spikes of a whole neuron, or potentials."""
        source = self.declared.get(geometry.source(self.declared, pool) or "")
        if isinstance(source, kinds_of_part.Neuron):
            return source.copies == 1
        return not isinstance(source, (kinds_of_part.Sum, Pool))

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, x: Signal, given: Pass) -> Signal:
        """`forward` of the component; what is inactive is zero."""
        view, made = given.view, _Made()
        sizes = _kept(view, (self, "sizes"), lambda: self._sizes(view))
        calls = dict(_kept(view, (self, "products"), lambda: self._products(view)))
        for name, part in self.declared.items():
            if isinstance(part, Norm):
                calls[name] = _Normalise(self, name, given, made)
            elif isinstance(part, kinds_of_part.Neuron):
                calls[name] = functools.partial(self._fire_part, name, part, given, made)
        maps = sizes.to_grid(x) if self.component.role == "downsample" else x
        y = self.component.run(Parts(calls), maps, sizes, self.network)
        if self.at.field in components.BRANCHES and tuple(y.shape) != tuple(x.shape):
            raise ValueError(refused_shape(self.component, tuple(x.shape), tuple(y.shape)))
        return y if made.last is y else self.extent("width", view).mask(y)

    def _products(self, view: View) -> dict[str, Callable]:
        """Products and pools, over the channels that the view leaves of them."""
        calls: dict[str, Callable] = {}
        following = [*self.declared.values(), None][1:]
        for (name, part), after in zip(self.declared.items(), following, strict=True):
            if isinstance(part, Dense):
                call = functools.partial(
                    self.part(name), inputs=self.extent(part.inputs, view), outputs=self.extent(part.outputs, view)
                )
                calls[name] = self._masked(call, part, part.outputs, after, view)
            elif isinstance(part, Conv):
                inputs = self.extent(part.inputs, view) if part.inputs != "image" else None
                call = functools.partial(self.part(name), inputs=inputs, outputs=self.extent(part.outputs, view))
                calls[name] = self._masked(EachStep(call), part, part.outputs, after, view)
            elif isinstance(part, DepthwiseConv):
                call = functools.partial(self.part(name), extent=self.extent(part.channels, view))
                calls[name] = self._masked(EachStep(call), part, part.channels, after, view)
            elif isinstance(part, Pool) and not part.heads:
                calls[name] = EachStep(functools.partial(max_pool, stride=part.stride))
        return calls

    def extent(self, size: str, view: View) -> Extent:
        """The channels of a dimension here."""
        return _kept(view, ("extent", size, self.at), lambda: view.extent(size, self.at))

    def _masked(self, call: Callable, part: Any, outputs: str, after: Part | None, view: View) -> Callable:
        """A bias reaches inactive channels; a normalisation behind it would set them to zero."""
        if not part.bias or isinstance(after, Norm):
            return call
        extent = self.extent(outputs, view)
        return lambda x: extent.mask(call(x))

    def _sizes(self, view: View) -> Any:
        grid = geometry.last(self.declared, self.grid) if self.component.role == "stem" else self.grid
        if not isinstance(view, MaskedView):
            return SlicedSizes(self, view.sizes(self.at), grid)
        return MaskedSizes(self, grid, view)

    def attend(self, q: Tokens, k: Tokens, v: Tokens, heads: Any) -> Tokens:
        """q k^T v of spikes, head by head, in float32; `heads` is a number, or a masked view's widths and which."""
        if not isinstance(heads, int):
            return attend_chosen(q, k, v, *heads)
        return attend(*(ops.reshape(a, (-1, *a.shape[1:3], heads, a.shape[3] // heads)) for a in (q, k, v)))

    # -- neurons ------------------------------------------------------------------------------------------------

    def _membrane(
        self, name: str, part: kinds_of_part.Neuron, neuron: components.Neuron, view: View, channels: int
    ) -> tuple[Membrane, dict[str, Any] | None]:
        """A neuron with its parameters, and those as the fused pass takes them: None where it does not compute it."""
        weights: dict[str, Any] = {}
        if self.learned:
            own = {weight: v for (of, each, weight), v in self.learned.items() if of == name and each is neuron}
            weights = learned_weights(own, channels)
        values = _kept(view, ("neuron", part.kind, self.at), lambda: view.neuron(part.kind, self.at))
        membrane = Membrane(neuron, weights=weights, **values, **self.neuron_arguments)
        return membrane, membrane.fused if neuron.one_pass else None

    def _fire_part(
        self, name: str, part: kinds_of_part.Neuron, given: Pass, made: _Made, x: Signal, norm: Any = None
    ) -> Signal:
        def one(neuron: components.Neuron, given: Pass, norm: Any, x: Signal) -> Signal:
            view = given.view
            make = functools.partial(self._membrane, name, part, neuron, view, x.shape[-1])
            # what is learned is another tensor in every pass
            membrane, fused = make() if self.learned else _kept(view, (self, name, neuron), make)
            if norm is not None and fused is not None and "fire" not in self.__dict__:
                spikes = norm.then_fire(x, fused, self.compute_dtype)
                if spikes is not None:
                    return self._told(name, spikes)
            x = x if norm is None else norm(x)
            spikes = self.fire(x, name, membrane, fused, self.extent(part.channels, view), view.time_mask)
            return self._told(name, spikes)

        index = _kept(given.view, "neuron", lambda: given.view.choice("neuron"))
        if isinstance(index, int):
            return made.keep(one(self.neurons[index], given, norm, x))

        def branch_of(neuron: components.Neuron) -> Callable:
            def run(x: Signal, genes: Annotated[Array, "slots"]) -> Signal:
                inside = given.within(genes, self.at)
                return one(neuron, inside, norm and norm.within(inside), x)

            return run

        layers = [] if norm is None else [norm.layer]
        own = [weight for (part_name, _, _), weight in self.learned.items() if part_name == name]
        return made.keep(choose(index, [branch_of(n) for n in self.neurons], x, given.genes, layers, own))

    def _told(self, name: str, spikes: Signal) -> Signal:
        if self.listener is not None:
            self.listener(spikes, name)
        return spikes

    def fire(
        self,
        x: Signal,
        name: str,
        membrane: Membrane,
        fused: dict[str, Any] | None,
        extent: Extent,
        time_mask: PerStep | None,
    ) -> Signal:
        """Spikes of one neuron part, zero in inactive channels and time steps."""
        x = ops.cast(x, "float32")
        if fused is not None:
            y = lif(x, **fused)
        else:
            y = fire(membrane, x, self.compute_dtype)
        y = extent.mask(ops.cast(y, self.compute_dtype))
        if time_mask is None:
            return y
        return y * ops.cast(ops.reshape(time_mask, (1, -1, *([1] * (len(y.shape) - 2)))), y.dtype)


class _Made:
    """Keeps the last tensor that a normalisation or a neuron made: it is masked already."""

    last: Any = None

    def keep(self, made: Any) -> Any:
        """What was made, kept."""
        self.last = made
        return made


class _Normalise:
    """A normalisation, alone or with the neuron behind it."""

    def __init__(self, owner: ElasticComponent, name: str, given: Pass, made: _Made) -> None:
        self.owner, self.name, self.layer, self.made = owner, name, owner.part(name), made
        extent = owner.extent(owner.declared[name].channels, given.view)
        self.how = {"extent": extent, **given.normalising}

    def within(self, given: Pass) -> _Normalise:
        """The same inside a branch."""
        return _Normalise(self.owner, self.name, given, _Made())

    def __call__(self, x: Signal) -> Signal:
        return self.made.keep(self.layer(x, **self.how))

    def then_fire(self, x: Signal, fused: dict[str, Any], dtype: str) -> Signal | None:
        return self.layer.then_fire(x, dtype=dtype, **self.how, **fused)


def _kept(view: View, key: Any, make: Callable) -> Any:
    """What was made of a view, once: a view lasts as long as its network is active, or as one program is traced."""
    if key not in view.kept:
        view.kept[key] = make()
    return view.kept[key]


class SlicedSizes(PlainSizes):
    """The dimensions of one network on slices."""

    def _pool(self, x: Maps) -> Maps:
        return max_pool(x, stride=1)

    def _attend(self, q: Tokens, k: Tokens, v: Tokens) -> Tokens:
        return self._layer.attend(q, k, v, self.heads)


class MaskedSizes(PlainSizes):
    """The dimensions under masks: width, hidden and heads are extents; what works by them is done with tables."""

    def __init__(self, owner: ElasticComponent, grid: Any, view: MaskedView) -> None:
        at = owner.at
        super().__init__(owner, {"tokens": owner.largest["tokens"]}, grid)
        self._view, self._at = view, at
        self.width = view.extent("width", at)
        if at.field in components.BRANCHES:
            self.hidden, self.heads = view.extent("hidden", at), view.extent("heads", at)
        if at.field == "downsample":
            self.before = view.extent("before", at)

    def _attend(self, q: Tokens, k: Tokens, v: Tokens) -> Tokens:
        return self._layer.attend(q, k, v, self._view.heads(self._at))

    def of_head(self, function: Callable[[int], float]) -> Scalar:
        known, index = self._view.heads(self._at)
        return ops.take(ops.convert_to_tensor([function(dim) for dim in known], dtype="float32"), index)

    def pool_heads(self, x: Tokens) -> Tokens:
        widths, index = self._view.heads(self._at)
        return pool_heads(x, ops.take(ops.convert_to_tensor(widths, dtype="int32"), index))

    def sum_heads(self, x: Tokens) -> Annotated[Array, "batch time tokens heads"]:
        return ops.matmul(x, ops.cast(self._view.membership(self._at), x.dtype))

    def to_channels(self, x: Annotated[Array, "... heads"]) -> Annotated[Array, "... width"]:
        return ops.matmul(x, ops.cast(ops.transpose(self._view.membership(self._at)), x.dtype))

    def mean(self, x: Signal, over: str) -> Signal:
        axis, ones = {"time": (1, self._view.time_mask), "tokens": (2, None), "width": (-1, self.width.ones)}[over]
        if ones is None:
            return ops.mean(x, axis=axis, keepdims=True)
        shape = [1] * len(x.shape)
        shape[axis] = -1
        weights = ops.cast(ops.reshape(ones, shape), x.dtype)
        return ops.sum(x * weights, axis=axis, keepdims=True) / ops.cast(ops.sum(ones), x.dtype)


def pool_heads(x: Tokens, head_dim: int | Scalar) -> Tokens:
    """The largest of 3x3 neighbours over tokens and the channels of a head, of so many channels: no shape says it."""
    head = ops.arange(x.shape[-1], dtype="int32") // head_dim
    # channels before tokens: of equals the first in row-major order has the gradient, as in a pool
    return _largest_of_three(_largest_of_three(x, -1, ops.equal(head[1:], head[:-1])), 2)


def _largest_of_three(x: Tokens, axis: int, meet: Any = True) -> Tokens:
    """The largest of each number and its two neighbours on an axis, which `meet` or do not; of equals the first."""
    n = x.shape[axis]
    low = ops.full_like(ops.take(x, [0], axis=axis), float("-inf"))
    first, last = (ops.take(x, list(range(*ends)), axis=axis) for ends in ((0, n - 1), (1, n)))
    before = ops.concatenate([low, ops.where(meet, first, float("-inf"))], axis=axis)
    after = ops.concatenate([ops.where(meet, last, float("-inf")), low], axis=axis)
    y = ops.where(before >= x, before, x)
    return ops.where(y >= after, y, after)


class ElasticPlace(keras.layers.Layer):
    """A place of the supernet with several components to choose from; the chosen one alone runs."""

    def __init__(self, role: str, options: Sequence[ElasticComponent], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.role = role
        self.options = list(options)

    def build(self, input_shape: tuple | None = None) -> None:
        for option in self.options:
            option.build()
        self.built = True


def options_of(place: Any) -> list[ElasticComponent]:
    """The components of a place: one, or those to choose from."""
    return place.options if isinstance(place, ElasticPlace) else [place]


def chosen(place: Any, x: Signal, given: Pass, run: Callable) -> Signal:
    """run(component, x, given) of the component that a place holds in this network."""
    options = options_of(place)
    at = options[0].at
    index = given.view.choice(at.field, at.index) if len(options) > 1 else 0
    if isinstance(index, int):
        return run(options[index], x, given)

    def branch_of(option: ElasticComponent) -> Callable:
        return lambda x, genes: run(option, x, given.within(genes, at))

    return choose(index, [branch_of(option) for option in options], x, given.genes, options)


def branch(place: Any, x: Tokens, given: Pass) -> Tokens:
    """The stream behind a place: x + f(x), or f(x) of a component without a shortcut; x where the block is inactive."""
    options = options_of(place)
    gate = None if given.active is None else ops.cast(given.active, x.dtype)
    gated = x if gate is None else x * gate
    if len(options) == 1 and options[0].component.shortcut:
        y = options[0].run(gated, given)
        return x + (y if gate is None else gate * y)

    def after(option: ElasticComponent, x: Tokens, given: Pass) -> Tokens:
        y = option.run(x, given)
        return x + y if option.component.shortcut else y

    y = chosen(place, gated, given, after)
    return y if gate is None else ops.where(gate > 0, y, x)


def through(place: Any, x: Signal, given: Pass) -> Signal:
    """What a stem, a downsampling or a head makes of the stream."""
    options = options_of(place)
    return chosen(place, ops.cast(x, options[0].compute_dtype), given, lambda option, x, given: option.run(x, given))
