"""Compares a subnet with the network taken out of the supernet, image by image, and traces what differs to a neuron."""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from kspike.components import PATHS, parts
from kspike.config import SpikformerConfig
from kspike.cost.analytic.table import neuron_counts
from kspike.layers import Neuron
from kspike.layers.stepping import run
from kspike.space import Genome, SearchSpace
from kspike.supernet import Supernet
from kspike.supernet.places import options_of
from kspike.supernet.view import word_choices
from tests.helpers import BACKEND, to_numpy, traced

#: Whether a supernet is masked: under torch both ways. FORMS as tests are told, where masks are not for `make fast`.
VIEWS = (False, True) if BACKEND == "torch" else (None,)
FORMS = [pytest.param(view, marks=pytest.mark.slow if view else ()) for view in VIEWS]
#: How near its threshold a potential must be for the order of a sum to decide whether the neuron fires.
ROUNDING = 1e-5
#: Share of images on which a spike may flip; and of the neurons' updates, which decides in networks of millions: sums
#: of hundreds of float32 numbers in another order differ by some 5e-7, and some tenths of potentials lie in a unit.
FLIPPED, FLIPPED_UPDATES = 0.02, 1e-7


def shrunk(space: SearchSpace, most: int = 3) -> SearchSpace:
    """A space at an eighth of its width (a quarter where it is narrow), half its heads, depth at most `most`, 16x16."""
    if space.stages > 1:
        return _shrunk_stages(space, most)
    base, genes = space.base, space.to_dict()["genes"]
    by = 8 if space.max_config().embed_dim > 128 else 4
    for field, less in (("embed_dim", by), ("num_heads", 2)):
        if field in genes:
            genes[field] = sorted({value // less for value in genes[field]})
    if "stem_channels" in genes:
        genes["stem_channels"] = [sorted({c // 4 for c in stage}) for stage in genes["stem_channels"]]
    if "depth" in genes:
        genes["depth"] = sorted({min(depth, most) for depth in genes["depth"]})
    side, steps, more = _shrunk_frames(space, genes)
    config = SpikformerConfig(
        input_shape=(*side, *(min(16, n) for n in base.image_shape[:2]), base.image_shape[2]),
        num_classes=base.num_classes,
        timesteps=steps,
        embed_dim=base.embed_dim // by,
        depth=min(base.depth, most),
        num_heads=base.num_heads[0] // 2,
        mlp_ratio=base.mlp_ratio[0],
        stem_pool=base.stem_pool,
        residual=base.residual,
        neuron=base.neuron,
    )
    return SearchSpace(config, name=space.name, **genes, **more)


def _shrunk_frames(space: SearchSpace, genes: dict[str, Any]) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    """The time axis of an input of frames, T, and where frames are from; T of frames at a quarter."""
    base = space.base
    if not base.has_time:
        return (), base.timesteps, {}
    steps = min(4, base.timesteps)
    if space.frames is None:
        return (steps,), steps, {}
    genes["timesteps"] = sorted({max(1, t // 4) for t in genes["timesteps"]})
    return (steps,), steps, {"frames_from": space.frames.way}


def _shrunk_stages(space: SearchSpace, most: int) -> SearchSpace:
    base, genes = space.base, space.to_dict()["genes"]
    narrow = lambda width: max(16, width // 8 // 8 * 8)
    for field, less in (("embed_dim", narrow), ("depth", lambda depth: min(depth, most - 1))):
        if field in genes:
            genes[field] = {int(stage): sorted({less(n) for n in each}) for stage, each in genes[field].items()}
    if "num_heads" in genes:
        genes["num_heads"] = sorted({heads // 2 for heads in genes["num_heads"]})
    side, steps = min(16, base.image_shape[0]), min(4, base.timesteps)
    time, _, more = _shrunk_frames(space, genes)
    small = base.replace(
        input_shape=(*time, side, side, base.image_shape[2]), timesteps=steps, num_heads=4,
        embed_dim=tuple(map(narrow, base.widths)), depth=tuple(min(depth, most - 1) for depth in base.depths),
    )  # fmt: skip
    return SearchSpace(small, name=space.name, **genes, **more)


def images_of(space: SearchSpace, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % space.base.num_classes
    images = rng.normal(0.3, 1.0, (n, *space.given.input_shape))
    if space.base.head != "mean":  # a neuron over the mean of all tokens tells images apart by more than their noise
        each = (n, *[1] * len(space.base.input_shape[:-1]), space.base.input_shape[-1])
        images = images * rng.uniform(0.2, 2.0, each) + rng.normal(0.0, 1.0, each)
    return images.astype("float32"), labels.astype("int32")


def loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def awake(space: SearchSpace, **options: Any) -> Supernet:
    """A supernet whose neurons fire, untrained."""
    keras.utils.set_random_seed(1)
    supernet = Supernet(space, seed=3, **options)
    for norm in supernet.norm_layers():
        norm.beta.assign(np.full(norm.beta.shape, 0.7, "float32"))
    return supernet


def trained(space: SearchSpace, images: np.ndarray, labels: np.ndarray, steps: int = 3, **options: Any) -> Supernet:
    """The same after some steps of training."""
    supernet = awake(space, **options)
    supernet.compile("adamw", loss())
    supernet.fit(images, labels, batch_size=len(images), epochs=steps, verbose=0, shuffle=False)
    return supernet


def compare(supernet: Supernet, genome: Genome, images: np.ndarray) -> dict[str, float]:
    """How a subnet, calibrated, and its extracted network agree; raises where they differ by more than a spike may.

    Returns:
        images, updates (of neurons, an image), flipped (images with a logit off by more than 1e-5), spikes (those of
        them with a neuron that fires differently; others differ by the last sums), worst (of the images not flipped),
        spread (of logits between images).
    """
    supernet.activate(genome)
    supernet.calibrate([images])
    alone = supernet.extract()
    assert alone.config == genome.to_config()
    frames = supernet.space.frames
    own = images if frames is None else frames.of(images, alone.config.timesteps)
    inside, outside = supernet.predict(images, verbose=0), alone.predict(own, verbose=0)
    difference = np.abs(inside - outside).max(axis=1)
    each = [slice(at, at + 1) for at in np.flatnonzero(difference > 1e-5)]
    spikes = sum(explain(supernet, alone, images[at], own[at]) for at in each)
    spread = float(np.abs(inside - inside[:1]).max())
    return {
        "images": len(images),
        "updates": alone.config.timesteps * sum(neuron_counts(alone.config).values()),
        "flipped": int((difference > 1e-5).sum()),
        "spikes": spikes,
        "worst": float(difference[difference <= 1e-5].max(initial=0.0)),
        "spread": spread,
    }


def allowed(rows: list[dict[str, float]], ordered: bool = False) -> float:
    """On how many images of some networks spikes may flip; every one of them is traced besides.

    With `ops.ordered_sums` a share of the images is all that may.
    """
    updates = 0.0 if ordered else FLIPPED_UPDATES
    each = [row["images"] * min(1.0, max(FLIPPED, updates * row["updates"])) for row in rows]
    return max(1.0, sum(each))


def explain(supernet: Supernet, alone: keras.Model, image: np.ndarray, own: np.ndarray | None = None) -> bool:
    """Whether a neuron fires differently; asserts that the first one's potential is near its threshold.

    `own` is the image as the network taken out sees it, where that is another: of frames, its own T of them.
    """
    names = neurons(alone)
    _, lone = traced(alone, {name: layer for name, (layer, _) in names.items()}, image if own is None else own)
    with listening(supernet, list(names)) as inside, uncompiled(supernet):
        _, shared = traced(supernet, inside, image)
    for name, (layer, part) in names.items():
        x, spikes = lone[name]
        found = leading(shared[name][1], spikes.shape, part.copies)
        wrong = found != spikes
        if wrong.any():
            step = next(t for t in range(wrong.shape[1]) if wrong[:, t].any())
            near = near_threshold(layer, x[:, : step + 1], spikes[:, : step + 1])
            assert near[wrong[:, step]].all(), f"{name} fires differently, more than {ROUNDING} from its threshold"
            return True
    return False


@contextlib.contextmanager
def uncompiled(supernet: Supernet) -> Iterator[None]:
    """On jax, what runs inside a branch of a switch cannot be listened to but operation by operation."""
    blocks = [place for block in supernet.blocks for place in block.places.values()]
    decoding = [] if supernet.decoding is None else [supernet.decoding]
    places = [options_of(place) for place in (supernet.stem, *supernet.downs, *blocks, *decoding)]
    switched = any(len(options) > 1 or len(options[0].neurons) > 1 for options in places)
    if BACKEND == "jax" and switched:
        import jax

        with jax.disable_jit():
            yield
    else:
        yield


def near_threshold(layer: Any, x: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """Which neurons have a potential within `ROUNDING` of the threshold in the last step."""
    if not isinstance(layer, Neuron):
        h = potentials(x, spikes, time_constant(layer, x), layer.v_reset)[:, -1]
        return np.abs(h - layer.v_threshold) < ROUNDING
    membrane = layer.membrane(x.shape[-1])  # any other: its spikes with a threshold a little lower, and higher
    less, more = (dataclasses.replace(membrane, v_threshold=layer.v_threshold + off) for off in (-ROUNDING, ROUNDING))
    x = keras.ops.convert_to_tensor(x)
    return (to_numpy(run(less, x, None, "float32")[0]) != to_numpy(run(more, x, None, "float32")[0]))[:, -1]


def time_constant(layer: Any, x: np.ndarray) -> Any:
    """tau of a neuron, one number or one a channel."""
    given = layer.time_constant(x.shape[-1])
    if given.get("tau") is not None:
        return given["tau"]
    return 1.0 / keras.ops.convert_to_numpy(given["inverse_tau"])


def potentials(x: np.ndarray, spikes: np.ndarray, tau: Any, v_reset: float) -> np.ndarray:
    """h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau, with a hard reset where a neuron fired."""
    h, v = np.zeros(x.shape, "float64"), np.full(x[:, 0].shape, v_reset, "float64")
    for t in range(x.shape[1]):
        h[:, t] = v + (x[:, t] - (v - v_reset)) / tau
        v = np.where(spikes[:, t] > 0, v_reset, h[:, t])
    return h


def leading(array: np.ndarray, shape: tuple[int, ...], groups: int) -> np.ndarray:
    """The active part of what a neuron of the supernet saw or gave: first time steps, first channels of each group."""
    array = array[:, : shape[1]]
    wide = array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)[..., : shape[-1] // groups]
    return wide.reshape(shape)


def neurons(model: keras.Model) -> dict[str, tuple[Any, parts.Neuron]]:
    """Path -> (layer, part) of the neurons of a network, in the order in which they fire."""
    made = {"stem": model.get_layer("stem")}
    for i in range(model.config.num_blocks):
        stage = model.config.stage(i)
        if stage and i == model.config.starts[stage]:
            made[f"down_{stage}"] = model.get_layer(f"down_{stage}")
        branches = zip(PATHS.values(), model.get_layer(f"block_{i}").branches, strict=True)
        made |= {f"block_{i}/{path}": layer for path, layer in branches if layer is not None}
    if model.config.head != "mean":
        made["decoding"] = model.get_layer("decoding")
    return {
        f"{path}/{name}": (layer.part(name), part)
        for path, layer in made.items()
        for name, part in layer.declared.items()
        if isinstance(part, parts.Neuron)
    }


@contextlib.contextmanager
def listening(supernet: Supernet, names: list[str]) -> Iterator[dict[str, Any]]:
    """The same neurons of a supernet, as what `traced` can listen to."""
    choices = word_choices(supernet.space, supernet.genome.indices)
    alone = {"stem": supernet.stem, "decoding": supernet.decoding}
    alone |= {f"down_{stage}": place for stage, place in enumerate(supernet.downs, 1)}
    places = {}
    for path in names:
        where, name = path.rsplit("/", 1)
        first, *rest = where.split("/")
        # a network's blocks are those of the slots that it expresses
        slot = None if first in alone else supernet.blocks[supernet.genome.blocks[int(first[6:])]]
        options = options_of(alone[first] if slot is None else getattr(slot, rest[0]))
        at = options[0].at
        place = options[choices.get((at.field, at.index), 0)]
        places.setdefault(where, (place, {}))[1][name] = path
    found = {}
    for place, inside in places.values():
        original = place.fire
        for name, path in inside.items():
            found[path] = types.SimpleNamespace(call=lambda x, *a, f=original, n=name: f(x, n, *a))
        object.__setattr__(place, "fire", lambda x, name, *a, inside=inside: found[inside[name]].call(x, *a))
    try:
        yield found
    finally:
        for place, _ in places.values():
            object.__delattr__(place, "fire")
