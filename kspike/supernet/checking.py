"""Checks a component of one's own: in a supernet it must give what the plain network gives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kspike import components
from kspike.config import SpikformerConfig
from kspike.layers.stepping import check_fused
from kspike.space import Genome, SearchSpace
from kspike.supernet.supernet import Supernet

#: What a logit may be off by, and on which share of the images more: there a spike may decide by rounding.
TOLERANCE, FLIPPED = 1e-4, 0.1
_IMAGES = 32


def check(component: Any, role: str = "mixer", seed: int = 0) -> float:
    """Compares a component under masks, on slices and in the plain network, on small networks that fire.

    Four genomes of two widths, two T and two numbers of heads run, for every shortcut that it is made for. Parameters
    by closed form are compared with those of the built network. It takes seconds, on a compiled backend up to minutes:
    call it in the component's test.

    Args:
        component: the mixer, MLP, stem or neuron: an object, or a name with its `role`.
        role: of a component given by name.
        seed: of weights and images.

    Returns:
        The largest difference of a logit among images on which no spike flipped.

    Raises:
        ValueError: what differs, and what to do.

    Example:
        >>> from kspike import components
        >>> components.check("identity") < 1e-4
        True
    """
    role = getattr(component, "role", role)
    component = components.get(role, component)
    if component.role == "neuron" and component.one_pass:
        check_fused(component)
    worst = 0.0
    for residual in getattr(component, "residuals", ("add",)):
        space = _space(component, residual)
        genomes = [space.smallest(), space.largest(), *(space.sample(seed=seed + i) for i in (1, 2))]
        for masked in (False, True) if keras.backend.backend() == "torch" else (None,):
            worst = max(worst, _compare(component, _awake(space, masked, seed), genomes, masked is False, seed))
    return worst


def _space(component: Any, residual: str) -> SearchSpace:
    fields: dict[str, Any] = {"input_shape": (16, 16, 1), "num_classes": 3, "residual": residual, "num_heads": 2}
    between = component.role == "downsample"  # two stages, whose widths are genes by themselves
    fields |= {"embed_dim": (32, 32), "depth": (1, 1)} if between else {"depth": 1}
    base = SpikformerConfig(**fields, **{component.role: component})
    steps, widths = getattr(component, "together", 1), (16, 32)
    genes: dict[str, Any] = {"timesteps": (steps, 2 * steps)}
    genes |= {"embed_dim": {0: widths, 1: widths} if between else widths}
    branches = base.blocks[0].values()
    if any(made.uses("heads", base.network) for made in branches):
        genes["num_heads"] = (1, 2)
    if any(made.uses("hidden", base.network) for made in branches):
        genes["mlp_ratio"] = (1, 2)
    return SearchSpace(base, name="check", **genes)


def _awake(space: SearchSpace, masked: bool | None, seed: int) -> Supernet:
    """A supernet whose neurons fire."""
    supernet = Supernet(space, masked=masked, seed=seed)
    rng = np.random.default_rng(seed)
    for variable in supernet.trainable_variables:
        if variable.name == "beta":
            variable.assign(rng.uniform(0.3, 1.2, variable.shape).astype("float32"))
        elif variable.name == "bias":  # a bias of 0 would hide that it reaches inactive channels
            variable.assign(rng.normal(0.0, 0.3, variable.shape).astype("float32"))
    return supernet


def _compare(component: Any, supernet: Supernet, genomes: list[Genome], slices: bool, seed: int) -> float:
    shape = (_IMAGES, *supernet.space.base.input_shape)
    images = np.random.default_rng(seed).normal(0.3, 1.0, shape).astype("float32")
    what, worst = f"{component.role} {component.label}", 0.0
    how = "on slices" if slices else "under masks"
    for genome in genomes:
        try:
            supernet.activate(genome)
            supernet.calibrate([images])
            inside = ops.convert_to_numpy(supernet.predict_on_batch(images)).astype("float64")
        except Exception as error:
            raise ValueError(
                f"{what}: {how} it does not run ({genome}): {error}\nUnder masks width and heads are no numbers: use "
                "`sizes` (sizes.attend, sum_heads, to_channels, mean)."
            ) from error
        outside = ops.convert_to_numpy(supernet.extract().predict_on_batch(images)).astype("float64")
        if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
            raise ValueError(f"{what} gives numbers that are not finite on images that are.")
        off = np.abs(inside - outside).max(axis=1)
        if (off > TOLERANCE).mean() > FLIPPED:
            raise ValueError(
                f"{what}: {how} its network is off by {off.max():.2g} from the plain one ({genome}). Reduce over "
                "channels, heads and time by `sizes` alone (sizes.attend, sum_heads, to_channels, mean): beside what "
                "is active there are zeros."
            )
        worst = max(worst, float(off[off <= TOLERANCE].max(initial=0.0)))
    return worst
