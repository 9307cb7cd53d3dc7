"""What a signature calls a tensor. Its shape stands beside it: `Annotated[Array, "batch time tokens channels"]`.

Axes are named in order, between blanks; `...` stands for any number of them, "" for a single number. Equal names in one
signature are equal sizes. The strings are for readers; nothing checks them when a program runs.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol


class Array(Protocol):
    """A tensor of the backend that runs, one of Keras that has a shape and no numbers, or a NumPy array.

    Keras has no types of its own: what `keras.ops` returns is Any to a type checker. This says what all of them share,
    so that None, a list or a layer in place of a tensor is seen.
    """

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...


#: What goes into neurons, what comes out, and what they hold after a time step.
Currents = Annotated[Array, "batch time ..."]
Spikes = Annotated[Array, "batch time ..."]
Potentials = Annotated[Array, "batch ..."]
#: What layers pass on, channels last: currents, potentials or spikes.
Signal = Annotated[Array, "batch time ... channels"]
Maps = Annotated[Array, "batch time height width channels"]
Tokens = Annotated[Array, "batch time tokens channels"]
Heads = Annotated[Array, "batch time tokens heads head_dim"]
#: Maps with time folded into the batch, or single images.
Frames = Annotated[Array, "frames height width channels"]
#: What a model takes: images, or event frames with time.
Images = Annotated[Array, "batch *image"]
Logits = Annotated[Array, "batch classes"]
PerChannel = Annotated[Array, "channels"]
#: 1.0 for the time steps that run, else 0.0.
PerStep = Annotated[Array, "time"]
Scalar = Annotated[Array, ""]
