"""Turns a recipe into a Keras optimizer and a loss for one model."""

from __future__ import annotations

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
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, clipnorm=recipe.clip_norm)
    undecayed = [v for v in model.trainable_variables if len(v.shape) < 2]
    if undecayed:
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    # on this instance alone: a saved optimizer stays Keras' AdamW
    optimizer._clip_gradients = functools.partial(_clip, optimizer)
    return optimizer


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
