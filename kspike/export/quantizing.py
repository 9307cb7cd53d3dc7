"""Makes of a network one with int8 weights whose spikes integers decide, and compares the two."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

import kspike._finite as finite
from kspike._batches import batches_of, unaugmented
from kspike.export.exactness import why_inexact
from kspike.export.folding import Place, fill, largest_sum, per_step, places_of
from kspike.export.looking import calls, look
from kspike.export.observing import listening, neurons_of
from kspike.export.quantization import Quantization
from kspike.export.running import unpack
from kspike.layers.int8 import Int8Policy
from kspike.models import Spikformer
from kspike.models.image_model import read_images
from kspike.ops import jit

#: Images whose potentials are looked at for what integers can hold.
LOOKED_AT = 8


def quantize(model: Spikformer, calibration: Any, *, batches: int | None = 16) -> Spikformer:
    """Gives the same network with int8 weights: an ordinary model, whose every spike integers decide alike.

    Each product and the normalisation behind it become

        y[c] = (sum of x q[c]) * 2^-k[c] + b[c]          q int8, one k a channel, b a multiple of 2^-10 or 2^-k[c]

    with q = round(scale[c] kernel[c] 2^k[c]), clipped to int8, for the k up to 14 that comes nearest, scale and shift
    being the normalisation's at inference. b is shift[c], less what rounding the kernel changes for the mean input of
    the calibration images. x are spikes, levels or sums of them. Where real
    numbers come in (the image, and products that no neuron stands before) they are made whole first:
    x = clip(round(input * per_step), -127, 127), per_step from the largest that the calibration images give, its
    inverse taken into the kernel.

    That network is the reference: it computes in float32, where powers of two and whole numbers below 2^24 are exact,
    so that no order of summation changes a bit. With potentials in units of 2^-k[c] (thresholds times 2^k[c]) the same
    spikes come out of int8 weights and int32 sums, by additions and shifts, as long as time constants are powers of
    two; `quantization.inexact` names each neuron for which float32 has to round, and why. There a float32 potential
    within rounding of the threshold may be decided otherwise elsewhere.

    Attention between spikes is whole already. The head's int8 weights take the mean over tokens and time.

    Args:
        model: a `kspike.Spikformer` of float32. It is not changed.
        calibration: training images, as the network takes them: a data set or its training split (read unaugmented and
            in fixed order), an array, (images, labels), or batches.
        batches: how many batches are read; None for all.

    Returns:
        A `Spikformer` of the same config for inference: it saves, loads, predicts, is measured (with int8 costs) and
        exported as any other, and refuses to be trained. `quantization` on it is what changed, as plain JSON;
        `kspike.export.Quantization.from_dict(...)` of it prints.

    Raises:
        ValueError: another model, one of half precision or quantised already; real numbers where the components' parts
            say that spikes come in; a normalisation behind no product, an unknown part (all by name); no images, or
            images that are not finite.

    Example:
        >>> import kspike, numpy as np
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
        >>> small = kspike.quantize(kspike.Spikformer(config), np.random.rand(4, 8, 8, 1).astype("float32"))
        >>> small.quantized, small.quantization["inexact"]
        (True, {})
    """
    _check(model, batches)
    places = places_of(model)
    given = _given(calibration, model, batches)
    largest, means, fired = look(model, places, [images for images, _ in given])
    small = Spikformer(model.config, include_top=model.include_top, dtype=Int8Policy(), name=f"{model.name}_int8")
    sums = []
    levels = model.config.neuron_component.binary
    for place, into in zip(places, places_of(small), strict=True):
        step = per_step(*largest[place.path]) if place.rounds else np.float32(1.0)
        fill(place, into, step, means[place.path])
        sums.append(largest_sum(into, largest[place.path][0] * (levels.at_once if levels else 1)))
    for name, neuron in neurons_of(small).items():  # learned time constants
        neuron.set_weights(neurons_of(model)[name].get_weights())
    small.trainable = False
    found = _compare(model, small, given, fired, places, max(sums))
    small.__dict__["quantization"] = found.to_dict()
    return small


def _check(model: Any, batches: Any) -> None:
    if not isinstance(model, Spikformer):
        what = "; extract a supernet's network first, by extract()" if hasattr(model, "extract") else ""
        raise ValueError(f"Expected a kspike.Spikformer to quantise; received a {type(model).__name__}{what}.")
    if model.quantized:
        raise ValueError(f"{model.name} has int8 weights already. Give the network that it was made of.")
    policies = {layer.dtype_policy.name for layer in model._flatten_layers()}
    if policies - {"float32"}:
        raise ValueError(
            f"Expected a network of dtype float32 to quantise; received one with {', '.join(sorted(policies))}. Make "
            "it again with dtype='float32' and give it the weights."
        )
    if batches is not None and (isinstance(batches, bool) or not isinstance(batches, int) or batches < 1):
        raise ValueError(f"batches: expected a whole number of at least 1, or None, received {batches!r}.")
    finite.check_weights(model, "the network to quantise", "Training diverged: quantise an earlier checkpoint.")


def _given(calibration: Any, model: Spikformer, batches: int | None) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Batches of (images, labels or None)."""
    found = []
    data = unaugmented(getattr(calibration, "train", calibration))
    for batch in itertools.islice(batches_of(data), batches):
        several = isinstance(batch, (tuple, list))
        images = read_images("calibration", batch[0] if several else batch, model.config).astype("float32", copy=False)
        labels = np.asarray(ops.convert_to_numpy(batch[1])) if several and len(batch) > 1 else None
        if labels is not None and labels.ndim > 1:  # mixed labels are shares
            labels = labels.argmax(-1)
        if len(images):
            found.append((images, labels))
    if not found:
        raise ValueError("Expected calibration images; received none. Give some training images.")
    return found


# -- beside each other ------------------------------------------------------------------------------------------------


def _compare(
    model: Spikformer, small: Spikformer, given: Sequence[tuple], fired: Sequence[tuple], places: Sequence[Place],
    largest: int,
) -> Quantization:  # fmt: skip
    """The network of int8 beside what the other gave for the same images."""
    neurons = neurons_of(small)
    names: list[str] = []

    def run(images: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        currents: dict[str, Any] = {}

        def see(name: str, x: Any, _: Any) -> None:
            currents[name] = x[:LOOKED_AT]

        with listening(small) as seen, calls(dict(neurons), see):
            logits = small(images, training=False)
        names[:] = [name for name, _ in seen]
        return logits, [spikes for _, spikes in seen], currents

    compiled = jit(run, small.variables)
    spikes: dict[str, list[int]] = {}
    inexact: dict[str, str] = {}
    changed = labelled = right = right_before = images = 0
    for number, ((batch, labels), (logits, before)) in enumerate(zip(given, fired, strict=True)):
        found, after, currents = compiled(batch)
        for i, (name, each) in enumerate(zip(names, after, strict=True)):
            differs = unpack(before, i) != ops.convert_to_numpy(each)
            count = spikes.setdefault(name, [0, 0])
            count[0] += differs.size
            count[1] += int(differs.sum())
        for name, x in currents.items() if number == 0 else ():
            why = why_inexact(neurons[name], small.config, np.asarray(ops.convert_to_numpy(x)))
            inexact |= {} if why is None else {name: why}
        classes, found = logits.argmax(-1), ops.convert_to_numpy(found).argmax(-1)
        images += len(batch)
        if model.include_top:
            changed += int((classes != found).sum())
            if labels is not None:
                labelled += len(labels)
                right += int((found == labels).sum())
                right_before += int((classes == labels).sum())
    return Quantization(
        weights=sum(int(np.prod(place.product.kernel.shape)) for place in places),
        bytes=_bytes(small), bytes_before=_bytes(model), images=images,
        spikes={name: (count[0], count[1]) for name, count in spikes.items()},
        classes_changed=changed, labels=labelled, right=right, right_before=right_before,
        largest_sum=largest, inexact=inexact,
    )  # fmt: skip


def _bytes(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in model.weights)
