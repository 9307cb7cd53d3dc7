"""Sums, inside one forward pass, the inputs of every product and the spikes of every neuron."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from kspike.cost.conventions.activity import Geometry
from kspike.cost.measured import fanout
from kspike.cost.measured.layers import LISTENER, Tap
from kspike.cost.measured.left_out import MEASURING, MODEL, Place
from kspike.ops import place as at_place

#: How many neurons of a layer the raster of a report shows, evenly spaced.
RASTER = 40
#: The geometry of what is no product.
UNKNOWN = Geometry()


@contextlib.contextmanager
def replaced(calls: Iterable[tuple[keras.Layer, str, Callable]]) -> Iterator[None]:
    """Puts functions in place of layers' methods for a while.

    Into the instance's own dict: Keras' and torch's __setattr__ would track or refuse a function.
    """
    missing = object()
    before: list[tuple[dict, str, Any]] = []
    try:
        for layer, method, function in calls:
            slots = vars(layer)
            before.append((slots, method, slots.get(method, missing)))
            slots[method] = function
        yield
    finally:
        for slots, method, value in reversed(before):
            if value is missing:
                slots.pop(method, None)
            else:
                slots[method] = value


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is known of one recorded tensor before its values are: where it is, and its slice of the packed sums.

    Args:
        tap: name of the tap, unique call by call ("dense", "dense#2").
        role: of the tap; "possible_neuron" for the output of a user-defined layer, which may be spikes.
        of: which of its tensors: "q", "k", "v" of attention, "out" of a possible neuron, else "".
        steps: time steps told apart (1 where the tensor has no time).
        elements: numbers for one image, over all steps.
        dense: multiply-accumulates for one image, over all steps; None where only a closed form knows them.
        shape: (tokens, heads, head_dim) of an attention's input, else ().
        shown: neurons in the raster.
        geometry: of a product, for one image as it ran.
    """

    tap: str
    role: str
    of: str
    steps: int
    elements: int
    dense: int | None
    shape: tuple[int, ...] = ()
    shown: int = 0
    geometry: Geometry = Geometry()


class Recorder:
    """Collects the statistics of one forward pass over `batch` images, as few packed tensors.

    Args:
        batch: images.
        timesteps: T, where known.
        sizes: of products, by call and shapes, as passes before this one found them; those that lack are added.
    """

    def __init__(self, batch: int, timesteps: int | None, sizes: dict[tuple, fanout.ProductSize] | None = None) -> None:
        self.batch = batch
        self.timesteps = timesteps
        self.sizes = {} if sizes is None else sizes
        self.signals: list[Signal] = []
        self._sums: list[Any] = []
        self._active: list[Any] = []
        self._touched: list[Any] = []
        self._ranges: list[Any] = []
        self._raster: list[Any] = []
        self._binary: list[Any] = []
        #: Number of a tap's place -> multiply-accumulates that its rows count; None where the closed form counts them.
        self.counted: dict[int, int | None] = {}
        self._calls: dict[str, int] = {}

    @contextlib.contextmanager
    def hooked(self, places: Sequence[Place], marked: bool) -> Iterator[None]:
        """Hooks every tap while the block runs, and removes the hooks on every way out.

        `marked`: whether every place is hooked and marked too, so that `kspike.ops.watched` says which products ran
        there.
        """
        heard = [i for i, place in enumerate(places) if marked or place.own or place.tap is not None]
        calls = [(i, places[i]) for i in heard if i not in (MODEL, MEASURING)]
        at = at_place if marked else contextlib.nullcontext
        with replaced([(place.layer, place.method, self._hook(i, place, at)) for i, place in calls]):
            yield

    def _hook(self, number: int, place: Place, at: Callable) -> Callable:
        tap, method = place.tap, getattr(place.layer, place.method)
        if tap is not None and tap.method == LISTENER:
            return self._listener(number, tap, at, method)
        own = place.own and isinstance(place.layer, keras.Layer)

        def hooked(*args: Any, **kwargs: Any) -> Any:
            with at(number):
                outputs = method(*args, **kwargs)
            with at(MEASURING):
                if tap is not None:
                    self._record_call(number, tap, args, kwargs, outputs)
                if own and (tap is None or tap.role in ("conv", "dense")):
                    self._possible_neuron(place.name, outputs, (args, kwargs))
            return outputs

        return hooked

    def _listener(self, number: int, tap: Tap, at: Callable, before: Callable | None) -> Callable:
        """Takes what a layer tells, after whoever listened before."""

        def listen(x: Any, *part: str) -> None:
            if before is not None:
                before(x, *part)
            with at(MEASURING):
                self._record_call(number, tap, (x,), {}, x, *part)

        return listen

    def _record_call(
        self, number: int, tap: Tap, args: tuple, kwargs: dict[str, Any], outputs: Any, *part: str
    ) -> None:
        name = self._call_of("/".join((tap.name, *part)))
        before = len(self.signals)
        if tap.role == "norm":  # only how many numbers it normalises
            size = math.prod(args[0].shape) // self.batch
            self.signals.append(Signal(name, "norm", "", 1, size, None))
        elif tap.role == "neuron":
            self._record(name, "neuron", "", outputs)
        elif tap.role == "pool":
            self._record(name, "pool", "", args[0])
        elif tap.role == "attention":
            named = {k: kwargs[k] for k in "qkv" if k in kwargs}
            self._attention(name, **dict(zip("qkv", args, strict=False)), **named)
        else:
            self._product(tap, name, args[0] if args else next(iter(kwargs.values())), outputs)
        self._count(number, before)

    def _count(self, number: int, before: int) -> None:
        signal = self.signals[before]
        counted = self.counted.get(number, 0)
        if signal.role == "attention":  # Q K^T and A V
            inputs = sum(each.elements for each in self.signals[before:] if each.of in ("q", "v"))
            self.counted[number] = (counted or 0) + inputs * signal.shape[0] * self.batch
        elif signal.role in ("conv", "dense"):
            known = counted is not None and signal.dense is not None
            self.counted[number] = counted + signal.dense * self.batch if known else None  # type: ignore[operator]

    def _call_of(self, name: str) -> str:
        """The name of this call: the second of a layer is "dense#2"."""
        count = self._calls[name] = self._calls.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def _possible_neuron(self, name: str, outputs: Any, inputs: Any) -> None:
        """Records whether a layer turns real numbers into 0 and 1 alone, as a neuron does, whatever its class."""
        shape = tuple(getattr(outputs, "shape", ()))
        if len(shape) < 2 or None in shape or 0 in shape or shape[0] % self.batch or not _is_float(outputs):
            return
        given = [_is_binary(x) for x in keras.tree.flatten(inputs) if hasattr(x, "shape") and _is_float(x)]
        both = [_is_binary(outputs), ops.min(ops.stack(given)) if given else ops.ones(())]
        self._record(self._call_of(f"{name} spikes").replace(" spikes", ""), "possible_neuron", "out", outputs)
        self._binary.append(ops.stack(both))

    def _attention(self, name: str, q: Any, k: Any, v: Any) -> None:
        """A spike in q is multiplied by those of k in the same channel; one in v by a number of A for every token."""
        tokens = float(q.shape[2])
        keys = ops.sum(_nonzero(k), axis=2, keepdims=True)
        for of, x, fan in (("q", q, keys), ("k", k, 1.0), ("v", v, tokens)):
            self._record(name, "attention", of, x, fan=fan, shape=tuple(x.shape[2:]))

    def _product(self, tap: Tap, name: str, x: Any, outputs: Any) -> None:
        shapes = tuple(x.shape), tuple(outputs.shape)
        self._check(name, shapes[0])
        size = self.sizes.get((name, *shapes))
        if size is None:
            size = self.sizes[name, *shapes] = fanout.product_size(tap, *shapes, self.batch)
        self._record(
            name, tap.role, "", x, fan=size.fan, dense=size.dense, timed=size.timed, geometry=size.geometry
        )  # fmt: skip

    def _check(self, name: str, shape: tuple) -> None:
        if None in shape or shape[0] % self.batch:
            raise ValueError(
                f"{name} receives shape {shape} for a batch of {self.batch} images; kspike counts layers whose first "
                "axis is the batch, or batch times time."
            )

    def _record(
        self,
        name: str,
        role: str,
        of: str,
        x: Any,
        fan: Any = 1.0,
        dense: int | None = None,
        shape: tuple = (),
        timed: bool = True,
        geometry: Geometry = UNKNOWN,
    ) -> None:
        known = tuple(x.shape)
        self._check(name, known)
        steps = known[0] // self.batch
        if steps == 1 and timed and known[1] == self.timesteps:
            steps = known[1]
        elif steps == 1 and role == "attention" and self.timesteps and self.timesteps % known[1] == 0:
            # tokens of several steps together, in the order of the steps
            steps = self.timesteps if known[1] * known[2] % self.timesteps == 0 else steps
        # Half precision cannot hold a sum of spikes (bfloat16 is exact up to 256). float32 is exact up to 2**24 for an
        # image and step; sums over images are formed in float64, outside the pass.
        images = (self.batch, steps, -1)
        whole, x = x, ops.reshape(ops.cast(x, "float32"), images)
        features = math.prod(known) // self.batch // steps
        self._sums.append(ops.sum(x, axis=-1))
        shown = 0
        if role in ("neuron", "possible_neuron"):  # spikes: 0 or 1, so that the sum says all
            shown = min(RASTER, features)
            stride = features // shown
            self._raster.append(ops.reshape(x[0, :, : shown * stride : stride], (-1,)))
        else:
            # Plain float operations throughout: torch takes three times as long to compare and to count.
            active = ops.sum(ops.absolute(ops.sign(x)), axis=-1)
            self._active.append(active)
            if isinstance(fan, float):
                self._touched.append(active * fan)
            else:  # channels first, so that nothing is added up beyond what float32 holds exactly
                touched = ops.sum(_nonzero(whole) * fan, axis=-1)
                self._touched.append(ops.sum(ops.reshape(touched, images), axis=-1))
            self._ranges.append(ops.stack([ops.min(x), ops.max(x), ops.max(x - ops.floor(x))]))
        self.signals.append(Signal(name, role, of, steps, features * steps, dense, shape, shown, geometry))

    def packed(self) -> dict[str, Any]:
        """Sums, `(batch, all steps of all signals)`; for the inputs of products also how many numbers are not zero, how
        many weights those are multiplied by, and their range."""
        if not self._active:
            raise ValueError(
                "The model holds no product that kspike knows (Dense, convolution, SSA): nothing to count."
            )
        return {
            "sums": ops.concatenate(self._sums, axis=1),
            "active": ops.concatenate(self._active, axis=1),
            "touched": ops.concatenate(self._touched, axis=1),
            "ranges": ops.stack(self._ranges),  # smallest, largest, largest fractional part
            "raster": ops.concatenate(self._raster) if self._raster else ops.zeros((0,)),
            # of possible neurons: whether the whole output, and the whole input, is 0 or 1
            "binary": ops.stack(self._binary) if self._binary else ops.zeros((0, 2)),
        }


def _nonzero(x: Any) -> Any:
    """1 where a number is not zero, else 0, in float32."""
    return ops.absolute(ops.sign(ops.cast(x, "float32")))


def _is_float(x: Any) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))


def _is_binary(x: Any) -> Any:
    """1.0 where every number is 0 or 1, else 0.0."""
    x = ops.cast(x, "float32")
    return ops.cast(ops.all(ops.equal(x * (x - 1.0), 0.0)), "float32")
