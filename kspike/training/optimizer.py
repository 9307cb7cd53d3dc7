"""Turns a recipe into a Keras optimizer and a loss for one model."""

from __future__ import annotations

import fnmatch
import functools
from typing import Any

import keras

from kspike.ops import clip_each
from kspike.training.recipe import Recipe


def make_optimizer(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Gives AdamW with the recipe's schedule, without weight decay of vectors and scalars.

    rate(step) = min + (max - min) step / warmup            while warming up
    rate(step) = min + (max - min) (1 + cos(pi share)) / 2  after; share: fraction of the remaining steps done

    Decay would pull a bias, a normalisation's scale and shift, and a neuron's time constant to 0, which means nothing
    for any of them: only variables of two dimensions and more decay, as in timm's recipes.

    Args:
        model: built, and not yet trained with this optimizer.
        recipe: the recipe.
        steps_per_epoch: batches of an epoch.
    """
    steps = max(1, round(steps_per_epoch * recipe.epochs))
    warmup = min(round(steps_per_epoch * recipe.warmup_epochs), steps - 1)
    alpha = recipe.min_learning_rate / recipe.learning_rate
    if warmup:
        schedule = keras.optimizers.schedules.CosineDecay(
            recipe.min_learning_rate, steps - warmup, alpha, warmup_target=recipe.learning_rate, warmup_steps=warmup
        )
    else:
        schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps, alpha)
    average: dict[str, Any] = {} if recipe.ema is None else {"use_ema": True, "ema_momentum": recipe.ema}
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, clipnorm=recipe.clip_norm, **average)
    undecayed = [v for v in model.trainable_variables if len(v.shape) < 2]
    if undecayed:
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    # on this instance alone: a saved optimizer stays Keras' AdamW
    optimizer._clip_gradients = functools.partial(_clip, optimizer)
    if (factors := layer_factors(model, recipe)) is not None:
        optimizer._backend_update_step = functools.partial(_update, optimizer, factors)
        optimizer._apply_weight_decay = functools.partial(_decay, optimizer, factors)
    return optimizer


def layer_factors(model: keras.Model, recipe: Recipe) -> list[float] | None:
    """The factor of the learning rate of each trainable variable, in their order; None where all are 1.

    Raises:
        ValueError: `layer_rates` names a layer that is not there, or that is frozen.
    """
    if recipe.layer_decay == 1.0 and not recipe.layer_rates:
        return None
    layers = [layer for layer in model.layers if layer.trainable_variables]
    names = [layer.name for layer in layers]
    factor = {name: recipe.layer_decay**i for i, name in enumerate(reversed(names))}
    for pattern, rate in (recipe.layer_rates or {}).items():
        meant = fnmatch.filter(names, pattern)
        if not meant:
            raise ValueError(
                f"The recipe says layer_rates={{{pattern!r}: {rate:g}}}, and the model has no layer of that name that "
                f"trains; it has {', '.join(names)}."
            )
        for name in meant:
            factor[name] *= rate
    of = {id(variable): factor[layer.name] for layer in layers for variable in layer.trainable_variables}
    return [of.get(id(variable), 1.0) for variable in model.trainable_variables]


def _update(optimizer: Any, factors: list[float], gradients: Any, variables: Any, rate: Any) -> None:
    """What Keras' optimizer does at once, for the variables of each factor with their own rate."""
    groups: dict[float, list[tuple[Any, Any]]] = {}
    for gradient, variable in zip(gradients, variables, strict=True):
        factor = factors[optimizer._get_variable_index(variable)]
        groups.setdefault(factor, []).append((gradient, variable))
    for factor, pairs in groups.items():
        some, of = zip(*pairs, strict=True)
        type(optimizer)._backend_update_step(optimizer, list(some), list(of), rate * factor)


def _decay(optimizer: Any, factors: list[float], variables: Any) -> None:
    """Weight decay, in proportion to each variable's own rate."""
    if optimizer.weight_decay is None:
        return
    rate = optimizer.learning_rate
    for variable in variables:
        if optimizer._use_weight_decay(variable):
            step = keras.ops.cast(rate * factors[optimizer._get_variable_index(variable)], variable.dtype)
            variable.assign(variable - variable * optimizer.weight_decay * step)


def _clip(optimizer: keras.optimizers.Optimizer, gradients: list[Any]) -> list[Any]:
    """What Keras' optimizer does with `clipnorm`, for all gradients at once where the backend can."""
    there = [g for g in gradients if g is not None]
    clipped = clip_each(there, optimizer.clipnorm) if there and optimizer.clipnorm else None
    if clipped is None:
        return type(optimizer)._clip_gradients(optimizer, gradients)
    left = iter(clipped)
    return [None if g is None else next(left) for g in gradients]


def make_loss(soft: bool, label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Cross-entropy of logits: with whole numbers as labels, or, if `soft`, with class probabilities."""
    if soft:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
