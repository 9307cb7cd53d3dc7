"""Records, inside one forward pass, sums over what reaches every product and what every neuron fires."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras import ops

from kspike.cost import products
from kspike.cost.products import Tap

#: How many neurons of a layer the raster of a report shows, evenly spaced.
RASTER = 40


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is known of one recorded tensor before any number is: its place, and its share of the packed sums.

    Args:
        tap: name of the tap, unique call by call ("dense", "dense#2").
        role: of the tap; "q", "k" or "v" of an attention.
        of: which input of it, "" but for attention's "q", "k", "v".
        steps: time steps told apart (1 where the tensor has no time).
        elements: numbers for one image, over all steps.
        dense: multiply-accumulates for one image, over all steps; None where only a closed form knows them.
        shape: (tokens, heads, head_dim) of an attention's input, else ().
        shown: neurons in the raster.
    """

    tap: str
    role: str
    of: str
    steps: int
    elements: int
    dense: int | None
    shape: tuple[int, ...] = ()
    shown: int = 0


class Recorder:
    """Collects the statistics of one forward pass over `batch` images, as few packed tensors."""

    def __init__(self, batch: int, timesteps: int | None) -> None:
        self.batch = batch
        self.timesteps = timesteps
        self.signals: list[Signal] = []
        self._sums: list[Any] = []
        self._active: list[Any] = []
        self._ranges: list[Any] = []
        self._raster: list[Any] = []
        self._calls: dict[str, int] = {}

    @contextlib.contextmanager
    def listening(self, taps: Sequence[Tap]) -> Iterator[None]:
        """Puts a listener before every tap's method, and takes all of them away again, whatever happens."""
        replaced: list[tuple[dict, str, Any]] = []
        missing = object()
        try:
            for tap in taps:
                # Into the instance's own dict: Keras' and torch's __setattr__ would track or refuse a function.
                slots = vars(tap.layer)
                replaced.append((slots, tap.method, slots.get(tap.method, missing)))
                slots[tap.method] = self._listener(tap, getattr(tap.layer, tap.method))
            yield
        finally:
            for slots, method, before in reversed(replaced):
                if before is missing:
                    slots.pop(method, None)
                else:
                    slots[method] = before

    def _listener(self, tap: Tap, method: Callable) -> Callable:
        def listen(*args: Any, **kwargs: Any) -> Any:
            outputs = method(*args, **kwargs)
            count = self._calls[tap.name] = self._calls.get(tap.name, 0) + 1
            name = tap.name if count == 1 else f"{tap.name}#{count}"
            if tap.role == "neuron":
                self._record(name, "neuron", "", outputs)
            elif tap.role == "attention":
                named = {**dict(zip("qkv", args, strict=False)), **{k: kwargs[k] for k in "qkv" if k in kwargs}}
                for of, x in named.items():
                    self._record(name, "attention", of, x, shape=tuple(x.shape[2:]))
            else:
                x = args[0] if args else next(iter(kwargs.values()))
                # axis 1 of a convolution is height, except inside TimeDistributed
                timed = len(x.shape) > (2 if tap.role == "dense" else 2 + products.image_axes(tap.operator))
                dense = None
                if tap.operator is not None:
                    total = products.multiply_accumulates(tap.operator, tuple(x.shape), tuple(outputs.shape))
                    dense = total // self.batch
                self._record(name, tap.role, "", x, dense=dense, timed=timed)
            return outputs

        return listen

    def _record(
        self,
        name: str,
        role: str,
        of: str,
        x: Any,
        dense: int | None = None,
        shape: tuple = (),
        timed: bool = True,
    ) -> None:
        known = tuple(x.shape)
        if None in known or known[0] % self.batch:
            raise ValueError(
                f"{name} receives shape {known} for a batch of {self.batch} images; kspike counts layers whose first "
                "axis is the batch, or batch times time."
            )
        steps = known[0] // self.batch
        if steps == 1 and timed and known[1] == self.timesteps:
            steps = known[1]
        # Halves cannot hold a sum of spikes (bfloat16 stops counting at 256). float32 is exact here up to 2**24 for an
        # image and step; everything beyond is added up in float64 outside.
        x = ops.reshape(ops.cast(x, "float32"), (self.batch, steps, -1))
        features = math.prod(known) // self.batch // steps
        self._sums.append(ops.sum(x, axis=-1))
        shown = 0
        if role == "neuron":  # spikes: 0 or 1, so that the sum says all
            shown = min(RASTER, features)
            stride = features // shown
            self._raster.append(ops.reshape(x[0, :, : shown * stride : stride], (-1,)))
        else:
            # Plain float operations throughout: torch takes three times as long to compare and to count.
            self._active.append(ops.sum(ops.absolute(ops.sign(x)), axis=-1))
            self._ranges.append(ops.stack([ops.min(x), ops.max(x), ops.max(x - ops.floor(x))]))
        self.signals.append(Signal(name, role, of, steps, features * steps, dense, shape, shown))

    def packed(self) -> dict[str, Any]:
        """Sums, `(batch, all steps of all signals)`; of the products' inputs also nonzero counts, and their range."""
        if not self._active:
            raise ValueError(
                "The model holds no product that kspike knows (Dense, convolution, SSA): nothing to count."
            )
        return {
            "sums": ops.concatenate(self._sums, axis=1),
            "active": ops.concatenate(self._active, axis=1),
            "ranges": ops.stack(self._ranges),  # smallest, largest, largest part behind the point
            "raster": ops.concatenate(self._raster) if self._raster else ops.zeros((0,)),
        }
