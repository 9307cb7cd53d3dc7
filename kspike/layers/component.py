"""A component as a layer: its parts become Keras layers, and `forward` runs them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import keras
from keras import ops

from kspike import components
from kspike._types import Array, Heads, Maps, Scalar, Signal, Tokens
from kspike.components import geometry
from kspike.components import parts as kinds_of_part
from kspike.components.parts import BorderNorm, Conv, Dense, DepthwiseConv, MatMul, Norm, Part, Pool, number_of
from kspike.components.signals import takes_spikes
from kspike.config import stem_channels_of
from kspike.layers._parts import SpikingComposite, conv_initializer, linear_initializer
from kspike.layers._shapes import Shapes, check_once
from kspike.layers.frames import EachStep, fold_time
from kspike.layers.int8 import classes, is_int8
from kspike.ops import attend, max_pool


class _WhereDeclared:
    """A function that a layer has if its component declares a part of that kind; one may be put in its place."""

    def __init__(self, kind: type[Part], function: Any) -> None:
        self.kind, self.function = kind, function

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None or not any(isinstance(part, self.kind) for part in layer.declared.values()):
            raise AttributeError(f"{owner.__name__} declares no {self.kind.__name__}.")
        return self.function


class ComponentLayer(SpikingComposite):
    """Base of all layers that are one component: makes the parts it declares and runs its `forward`.

    A subclass says the component and the network's settings (`hold`) and the sizes; parts are attributes.
    """

    #: Whether `attend` multiplies by the scale itself.
    scales = False

    def hold(self, component: Any, network: Mapping[str, Any]) -> None:
        """Says which component this is, and the settings of the network that it may name; before any part is made."""
        # past Keras, which would track and wrap a dict
        self.__dict__["component"] = component
        self.__dict__["network"] = dict(network)
        self.__dict__["declared"] = component.declared(network)

    # -- what a subclass says -----------------------------------------------------------------------------------

    def sizes(self, input_shape: tuple) -> dict[str, int]:
        """The dimensions that parts name, for inputs of this shape."""
        raise NotImplementedError

    def part(self, name: str) -> Any:
        """The layer of a part; those of stages, conv_0 to conv_3, are one list."""
        kind, _, stage = name.rpartition("_")
        return getattr(self, f"{kind}_layers")[int(stage)] if stage.isdigit() else getattr(self, name)

    # -- parts --------------------------------------------------------------------------------------------------

    def make(self, name: str, part: Part, size: Mapping[str, int] | None = None) -> Any:
        """The layer of a part; sizes are needed for a product alone."""
        common = {"dtype": self.dtype_policy, "name": name}
        of = classes(self.dtype_policy)
        if isinstance(part, Norm):
            return of.border(**common) if isinstance(part, BorderNorm) else of.norm(**common)
        if isinstance(part, kinds_of_part.Neuron):
            return self.make_neuron(part.kind, name, groups=part.copies)
        number = functools.partial(number_of, size or {})
        if isinstance(part, Dense):
            units = number(part.outputs) * part.copies
            return self._told(
                name, of.dense(units, use_bias=part.bias, kernel_initializer=linear_initializer(), **common)
            )
        assert isinstance(part, (Conv, DepthwiseConv))
        how: dict[str, Any] = {
            "strides": part.stride,
            "padding": "same" if getattr(part, "padded", True) else "valid",
            "use_bias": part.bias,
            "data_format": "channels_last",
        }
        if isinstance(part, Conv):
            filters = number(part.outputs)
            made = of.conv(filters, part.kernel, kernel_initializer=conv_initializer(), **how, **common)
        else:
            made = of.depthwise(part.kernel, depthwise_initializer=conv_initializer(), **how, **common)
        return self._told(name, made)

    def _told(self, name: str, product: Any) -> Any:
        """A product that, where its weights are int8, knows whether real numbers come in, which it then rounds."""
        if is_int8(self.dtype_policy):
            product.rounds = not takes_spikes(self.declared, name, self.component.role, self.residual)
        return product

    def made(self, *, products: bool, size: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Name -> new layer, of all products, or of all other parts that are layers."""
        own = (Dense, Conv, DepthwiseConv)
        return {
            name: self.make(name, part, size)
            for name, part in self.declared.items()
            if isinstance(part, own if products else (Norm, kinds_of_part.Neuron))
        }

    def build_parts(self, input_shape: tuple, grid: tuple[int, int] | None) -> None:
        """Builds every part on the shape that reaches it; ends `build`."""
        size = self.sizes(input_shape)
        where = geometry.grids(self.declared, grid) if grid is not None else {}
        lead = tuple(input_shape[:2])
        for name, part in self.declared.items():
            if not isinstance(part, (Dense, Conv, DepthwiseConv, Norm, kinds_of_part.Neuron)):
                continue
            channels = number_of(size, part.sizes[0]) * (1 if isinstance(part, Dense) else getattr(part, "copies", 1))
            if isinstance(part, (Conv, DepthwiseConv)):
                self.part(name).build((None, *where[name][0], channels))
            elif isinstance(part, BorderNorm):
                self.part(name).build((*lead, *where[name][0], channels))
            elif len(input_shape) == 5 and name in where:
                self.part(name).build((*lead, *where[name][1], channels))
            else:
                self.part(name).build((*input_shape[:-1], channels))
        self.settle()

    @property
    def at_once(self) -> int:
        """How many binary steps stand for a time step: of an unrolled integer neuron its levels, else 1."""
        return components.get("neuron", self.neuron).at_once

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, inputs: Signal, sizes: Sizes, training: bool | None) -> Signal:
        """`forward` of the component."""
        calls: dict[str, Any] = {}
        before: Part | None = None
        for name, part in self.declared.items():
            if isinstance(part, Norm):
                calls[name] = _Normalise(self.part(name), training)
            elif isinstance(part, kinds_of_part.Neuron):
                calls[name] = _Fire(self.part(name), training)
            elif isinstance(part, (Conv, DepthwiseConv)):
                calls[name] = EachStep(self.part(name))
            elif isinstance(part, Pool) and not part.heads:
                pool = self.downsample
                calls[name] = EachStep(pool if part.stride == 2 else functools.partial(pool, stride=part.stride))
                if self.at_once > 1 and not isinstance(before, kinds_of_part.Neuron):
                    calls[name] = functools.partial(_of_the_mean, calls[name], self.at_once)
            elif isinstance(part, Dense):
                calls[name] = self.part(name)
            before = part
        return self.component.run(Parts(calls), inputs, sizes, self.network)

    #: q k^T v in float32, (batch, time, tokens, heads, head_dim) -> (batch, time, tokens, channels); and the 3x3
    #: max-pool, of stride 2 unless said, of (frames, height, width, channels). Costs hook them where they are.
    attend: Any = _WhereDeclared(MatMul, attend)
    downsample: Any = _WhereDeclared(Pool, max_pool)


#: What a forward must give, by role, where that is not the shape it takes.
GIVES = {
    "stem": "(batch, time, tokens, width) of its last part",
    "downsample": "(batch, time, tokens, width) of its last part",
    "head": "(batch, time, width)",
}


def refused_shape(component: Any, expected: tuple, found: tuple, where: str = "") -> str:
    """What to say of a forward that gives another shape."""
    what = GIVES.get(component.role, "the shape it takes")
    return f"{component.role} {component.label}{where}: forward must give {what}, {expected}; it gave {found}."


#: Role -> the one kind of its neurons.
SINGLE = {"stem": "stem", "downsample": "stem", "head": "head"}


class Parts:
    """What `forward` gets as `part`: `part.name(x)`, or `part["name"](x)`. A plain class: torch.compile traces it."""

    def __init__(self, calls: Mapping[str, Any]):
        for name, call in calls.items():
            setattr(self, name, call)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class _Normalise:
    """A normalisation as a component calls it."""

    def __init__(self, layer: Any, training: bool | None) -> None:
        self.layer, self.training = layer, training

    def __call__(self, x: Signal) -> Signal:
        return self.layer(x, training=self.training)


class _Fire:
    """Neurons as a component calls them: alone, or with the normalisation before them in one pass."""

    def __init__(self, layer: Any, training: bool | None) -> None:
        self.layer, self.training = layer, training

    def __call__(self, x: Signal, norm: Any = None) -> Signal:
        return self.layer(x) if norm is None else norm.layer.then_fire(self.layer, x, self.training)


def summed(x: Signal, n: int) -> Signal:
    """The sum over each n time steps, at every one of them: `(batch, time, ...)` in and out."""
    known, running = x.shape, ops.shape(x)
    size = [running[i] if known[i] is None else known[i] for i in range(1, len(known))]
    by_group = ops.reshape(x, (-1, n, *size[1:]))
    whole = ops.broadcast_to(ops.sum(by_group, axis=1, keepdims=True), ops.shape(by_group))
    return ops.reshape(whole, (-1, *size))


def _of_the_mean(call: Any, n: int, x: Signal) -> Signal:
    """A function that is not linear, of real numbers: of the mean of each n steps, at every one of them."""
    return call(summed(x, n) / float(n))


class Sizes:
    """The dimensions of one network, as `forward` gets them: numbers, and what is done by heads, channels and time.

    `sizes.width`, `hidden`, `heads`, `tokens` are ints here; under a supernet's masks they are extents, without
    arithmetic, so that what works by them is written with the methods below.
    """

    width: Any
    heads: Any

    def __init__(self, layer: Any, numbers: Mapping[str, int], grid: tuple[int, int] | None) -> None:
        vars(self).update(numbers)
        self.grid = grid
        self._layer = layer

    def split(self, x: Signal, copies: int) -> list[Signal]:
        """`(..., copies * channels)` -> that many `(..., channels)`."""
        return ops.split(x, copies, axis=-1)

    def _by_heads(self, x: Tokens) -> Heads:
        return ops.reshape(x, (-1, *_known(x, 1, 2), self.heads, x.shape[-1] // self.heads))

    def attend(self, q: Tokens, k: Tokens, v: Tokens, scale: Any = 1.0, chunk: int = 1) -> Tokens:
        """scale * q k^T v, a head at a time, in float32: `(batch, time, tokens, channels)` each; v may be wider.

        Tokens meet those of their `chunk` time steps, which must divide T.
        """
        n = self._layer.at_once
        if n > 1:  # a product of moving factors: q fires step by step, k and v are held as how often they fire in all
            if chunk > 1:
                raise ValueError(f"Attention of {chunk} time steps together is not unrolled into binary steps.")
            k, v = (summed(a, n) for a in (k, v))
        y = self._attend(*((q, k, v) if chunk == 1 else (_together(a, chunk) for a in (q, k, v))))
        y = y if chunk == 1 else ops.reshape(y, (-1, *_known(q, 1, 2), v.shape[-1]))
        y = y if n == 1 else y / float(n * n)
        return y if self._layer.scales or (isinstance(scale, float) and scale == 1.0) else y * scale

    def _attend(self, q: Tokens, k: Tokens, v: Tokens) -> Tokens:
        return self._layer.attend(*(self._by_heads(a) for a in (q, k, v)))

    def of_head(self, function: Callable[[int], float]) -> float | Scalar:
        """A number that follows from the channels of a head: `function(width // heads)`; a tensor under masks."""
        return function(self.width // self.heads)

    def sum_heads(self, x: Tokens) -> Annotated[Array, "batch time tokens heads"]:
        """The sum over each head's channels: `(batch, time, tokens, channels)` -> `(batch, time, tokens, heads)`."""
        return ops.sum(self._by_heads(x), axis=-1)

    def to_channels(self, x: Annotated[Array, "... heads"]) -> Annotated[Array, "... width"]:
        """A number a head to each of its channels: `(..., heads)` -> `(..., width)`."""
        return ops.repeat(x, self.width // self.heads, axis=-1)

    def pool_heads(self, x: Tokens) -> Tokens:
        """The largest of 3x3 neighbours over tokens and the channels of a head: `(batch, time, tokens, channels)`."""
        tall = ops.swapaxes(fold_time(self._by_heads(x)), 2, 3)  # (frames, tokens, head_dim, heads), as a pool takes it
        y = ops.swapaxes(self._pool(tall), 2, 3)
        return ops.reshape(y, (-1, *_known(x, 1, 2), x.shape[-1]))

    def _pool(self, x: Maps) -> Maps:
        return self._layer.downsample(x, stride=1)

    def sum(self, x: Tokens, over: str) -> Signal:
        """The sum over "tokens" (axis 2), which is kept with length 1."""
        return ops.sum(x, axis={"tokens": 2}[over], keepdims=True)

    def mean(self, x: Signal, over: str) -> Signal:
        """The mean over "time" (axis 1), "tokens" (axis 2) or "width" (the last axis), which is kept with length 1."""
        return ops.mean(x, axis={"time": 1, "tokens": 2, "width": -1}[over], keepdims=True)

    def to_grid(self, x: Tokens) -> Maps:
        """`(batch, time, tokens, channels)` -> `(batch, time, height, width, channels)`, row by row."""
        time = x.shape[1] if x.shape[1] is not None else ops.shape(x)[1]
        height, width = self.grid or (None, None)
        return ops.reshape(x, (-1, time, height, width, x.shape[-1]))

    def to_tokens(self, x: Maps) -> Tokens:
        """`(batch, time, height, width, channels)` -> `(batch, time, tokens, channels)`, row by row."""
        time = x.shape[1] if x.shape[1] is not None else ops.shape(x)[1]
        return ops.reshape(x, (-1, time, x.shape[2] * x.shape[3], x.shape[-1]))


def _known(x: Signal, *axes: int) -> list[Any]:
    """Lengths of axes: numbers where they are known, else tensors."""
    running = ops.shape(x) if any(x.shape[i] is None for i in axes) else x.shape
    return [running[i] if x.shape[i] is None else x.shape[i] for i in axes]


def _together(x: Tokens, chunk: int) -> Tokens:
    """`(batch, time, tokens, channels)` -> `(batch, time / chunk, chunk * tokens, channels)`."""
    (tokens,) = _known(x, 2)
    time = x.shape[1]
    if time is None:  # of an unknown T no more than the batch's length is certain: a wrong one must not mix images
        return ops.reshape(x, (*_known(x, 0), -1, chunk * tokens, x.shape[-1]))
    if time % chunk:
        raise ValueError(f"{chunk} time steps are taken together, which must divide T, got {time} steps.")
    return ops.reshape(x, (-1, time // chunk, chunk * tokens, x.shape[-1]))


@keras.saving.register_keras_serializable(package="kspike")
class Component(ComponentLayer):
    """Any component but a neuron as a layer.

    Args:
        component: a name, an object, or its JSON form; see `kspike.components`.
        role: "mixer", "mlp", "stem", "downsample" or "head".
        num_heads: heads; divides the width where the component works by heads.
        mlp_ratio: hidden channels over width; `int(width * mlp_ratio)` are used.
        embed_dim: width of the tokens that a stem or a downsampling gives; of others the input's.
        grid: (height, width) of the tokens that come in; None for a square.
        scale, qkv_bias, proj_bias, mlp_bias: the network's, where the component has none of its own.
        residual, neuron, tau, v_threshold, v_reset, decay_input, detach_reset, surrogate, spike_regularizer: as
            `SpikformerBlock`.

    Input and output shape: `(batch, time, tokens, width)`; of a stem `(batch, time, height, width, channels)` ->
    `(batch, time, tokens, width)`; of a downsampling `(batch, time, tokens, channels)` -> the same of fewer tokens; of
    a head `(batch, time, tokens, width)` -> `(batch, time, width)`.

    Raises:
        ValueError: an unknown component or setting, sizes that it cannot work with, or a forward that gives another
            shape than it takes.
    """

    def __init__(
        self,
        component: Any = "ssa",
        *,
        role: str = "mixer",
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        embed_dim: int | None = None,
        grid: Any = None,
        scale: float = 0.125,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        mlp_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        role = getattr(component, "role", role)
        if role not in components.base.OFFERED:
            raise ValueError(f"role must be one of {', '.join(map(repr, components.base.OFFERED))}, got {role!r}.")
        if role in SINGLE:
            self.__dict__["kinds"] = (SINGLE[role],)
        super().__init__(**kwargs)
        self.role = role
        self.num_heads, self.mlp_ratio, self.embed_dim = num_heads, mlp_ratio, embed_dim
        self.grid = None if grid is None else tuple(grid)
        for name in ("num_heads", "embed_dim"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if role in ("stem", "downsample") and embed_dim is None:
            raise ValueError(f"embed_dim must be given for a {role}: the channels of its tokens.")
        self.scale = float(scale)
        self.qkv_bias, self.proj_bias, self.mlp_bias = bool(qkv_bias), bool(proj_bias), bool(mlp_bias)
        network = {name: getattr(self, name, components.base.USUAL.get(name)) for name in components.base.OFFERED[role]}
        self.hold(components.get(role, component), network)
        for name, layer in self.made(products=False).items():
            setattr(self, f"part_{name}", layer)

    def part(self, name: str) -> Any:
        return getattr(self, f"part_{name}")  # a part may have any name, that of an argument here too

    def sizes(self, input_shape: tuple) -> dict[str, int]:
        if self.role == "stem":
            d = int(self.embed_dim or 0)
            stem = {f"stem_{i}": channels for i, channels in enumerate(stem_channels_of(d))}
            return {"image": input_shape[-1], "width": d, **stem}
        if self.role == "downsample":
            return {"before": input_shape[-1], "width": int(self.embed_dim or 0)}
        width = input_shape[-1]
        if self.role == "head":
            return {"width": width, "tokens": input_shape[2]}
        hidden = int(width * self.mlp_ratio)
        return {"width": width, "heads": self.num_heads, "hidden": hidden, "tokens": input_shape[2]}

    @property
    def _maps(self) -> bool:
        """Whether tokens come in and the component works on maps of them."""
        return self.role == "downsample"

    def _grid(self, input_shape: tuple) -> tuple[int, int] | None:
        if self.role == "stem":
            return tuple(input_shape[2:4])
        side = math.isqrt(input_shape[2] or 0)
        if self.grid is None and side * side == input_shape[2]:
            return (side, side)
        return self.grid

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) != (5 if self.role == "stem" else 4) or input_shape[-1] is None:
            axes = "batch, time, height, width, channels" if self.role == "stem" else "batch, time, tokens, channels"
            raise ValueError(f"{self.component.label} expects ({axes}), got shape {tuple(input_shape)}.")
        if input_shape[1] is not None:
            self.component.check(input_shape[1])
        size, grid = self.sizes(input_shape), self._grid(input_shape)
        if (
            self.role in ("mixer", "mlp")
            and self.component.uses("heads", self.network)
            and size["width"] % self.num_heads
        ):
            raise ValueError(f"num_heads must divide the channels: {self.num_heads} heads, {size['width']} channels.")
        on_grid = (BorderNorm, Conv, DepthwiseConv, Pool)
        if grid is None and any(isinstance(part, on_grid) for part in self.declared.values()):
            raise ValueError(f"grid must be given: {input_shape[2]} tokens are no square, for {self.component.label}.")
        for name, layer in self.made(products=True, size=size).items():
            setattr(self, f"part_{name}", layer)
        self.build_parts((*input_shape[:2], *(grid or ()), input_shape[-1]) if self._maps else input_shape, grid)
        if None not in input_shape[2:]:  # Keras asks for shapes alone where a network is made, and would run no forward
            one = (1, input_shape[1] or self.component.together, *input_shape[2:])
            key = ("plain", self.component, *self.network.items(), *size.items(), grid, one)
            check_once(key, lambda: Shapes(self.call).of(one, "float32"))

    def call(self, inputs: Signal, training: bool | None = None) -> Tokens:
        sizes = Sizes(self, self.sizes(tuple(inputs.shape)), self._grid(tuple(inputs.shape)))
        outputs = self.run(sizes.to_grid(inputs) if self._maps else inputs, sizes, training)
        expected, found = self.compute_output_shape(tuple(inputs.shape)), tuple(outputs.shape)
        known = [(a, b) for a, b in zip(found, expected, strict=False) if None not in (a, b)]
        if len(found) != len(expected) or any(a != b for a, b in known):
            raise ValueError(refused_shape(self.component, expected, found))
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.role == "head":
            return (*input_shape[:2], input_shape[-1])
        grid = self._grid(tuple(input_shape))
        if self.role not in ("stem", "downsample") or grid is None:
            return tuple(input_shape)
        height, width = geometry.last(self.declared, grid)
        return (*input_shape[:2], height * width, self.embed_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "component": components.describe(self.component),
            "role": self.role,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "embed_dim": self.embed_dim,
            "grid": self.grid,
            "scale": self.scale,
            "qkv_bias": self.qkv_bias,
            "proj_bias": self.proj_bias,
            "mlp_bias": self.mlp_bias,
        }
