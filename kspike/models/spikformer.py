"""Spikformer: a config becomes a keras.Model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import keras

from kspike import ops
from kspike.config import SpikformerConfig
from kspike.layers import SPS, DirectEncoding, RateDecoding, SpikformerBlock
from kspike.layers._parts import SpikingComposite, linear_initializer
from kspike.models.parts import infer


def check_images(images: Any, config: SpikformerConfig) -> None:
    """Refuses images of another size, channel count or T, by ValueError.

    Keras checks this where a model is called, not where it is compiled: under jax, `predict` would go on and take what
    is not of the config's size for something smaller or larger.
    """
    expected, found = tuple(config.input_shape), tuple(images.shape[1:])
    if len(found) != len(expected) or any(f not in (None, e) for f, e in zip(found, expected, strict=True)):
        axes = "time, height, width, channels" if config.has_time else "height, width, channels"
        raise ValueError(
            f"Expected images of shape (batch, {', '.join(map(str, expected))}), which is (batch, {axes}); received "
            f"shape {tuple(images.shape)}. Resize them, or make the model for them: input_shape={found}."
        )


@keras.saving.register_keras_serializable(package="kspike")
class Spikformer(keras.Model):
    """Classifies images or event frames with a spiking transformer.

    encoding (the image repeated T times) -> stem (SPS) -> blocks -> mean over tokens, then time -> head. A functional
    keras.Model: it compiles, fits, saves and loads as any other, and its layers are found by name: "encoding", "stem",
    "block_0", ..., "decoding", "head".

    Source: Spikformer (Zhou et al., 2023) and its code; with residual="membrane", Spikingformer and AutoST.

    Args:
        config: a `SpikformerConfig`, or its `to_dict()`.
        include_top: whether the head is there; without it the model gives features.
        spike_regularizer: activity regulariser of every neuron, as `kspike.regularizers.FiringRate(0.01)`. It belongs
            to training and not to the config; `model.spike_regularizer = ...` sets it later, before `compile`.

    Input shape: `(batch, height, width, channels)`, or `(batch, time, height, width, channels)` where the config's
    input_shape has time. Output shape: logits `(batch, num_classes)`, or features `(batch, embed_dim)`.

    Example:
        >>> import kspike
        >>> model = kspike.Spikformer(kspike.SpikformerConfig())
        >>> model.count_params()                                         # the statistics of normalisation with it
        9342298
    """

    def __init__(
        self,
        config: SpikformerConfig | Mapping[str, Any],
        *,
        include_top: bool = True,
        spike_regularizer: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(config, Mapping):
            config = SpikformerConfig.from_dict(config)
        if not isinstance(config, SpikformerConfig):
            raise ValueError(f"Spikformer expects a SpikformerConfig, got {type(config).__name__}.")
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        shared = {
            "residual": config.residual,
            "neuron": config.neuron,
            "v_reset": config.v_reset,
            "decay_input": config.decay_input,
            "detach_reset": config.detach_reset,
            "surrogate": config.surrogate,
            "spike_regularizer": spike_regularizer,
            "dtype": policy,
        }
        inputs = keras.Input(config.input_shape, name="images")
        x = inputs
        if not config.has_time:
            x = DirectEncoding(config.timesteps, dtype=policy, name="encoding")(x)
        x = SPS(
            config.embed_dim,
            channels=config.stem_channels,
            pool=config.stem_pool,
            pool_after=config.pool_after,
            tau=config.tau.stem,
            v_threshold=config.v_threshold.stem,
            name="stem",
            **shared,
        )(x)
        for i in range(config.depth):
            x = SpikformerBlock(
                config.num_heads[i],
                config.mlp_ratio[i],
                scale=config.scale,
                qkv_bias=config.qkv_bias,
                proj_bias=config.proj_bias,
                mlp_bias=config.mlp_bias,
                tau={kind: v[i] for kind, v in config.tau.items() if kind != "stem"},
                v_threshold={kind: v[i] for kind, v in config.v_threshold.items() if kind != "stem"},
                name=f"block_{i}",
                **shared,
            )(x)
        # Features and logits stay in float32: they are few, and half precision would decide close calls by rounding.
        last = "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy
        x = RateDecoding(dtype=last, name="decoding")(x)
        if include_top:
            x = keras.layers.Dense(
                config.num_classes, kernel_initializer=linear_initializer(), dtype=last, name="head"
            )(x)
        super().__init__(inputs=inputs, outputs=x, **kwargs)
        self.config = config
        self.include_top = bool(include_top)
        self._policy = policy
        self._spike_regularizer = keras.regularizers.get(spike_regularizer)

    @property
    def policy(self) -> keras.DTypePolicy:
        """The dtype policy of its layers; logits are float32 under one of half precision."""
        return self._policy

    @property
    def spike_regularizer(self) -> Any:
        """The activity regulariser of every neuron; a new one takes effect where the model is compiled anew."""
        return self._spike_regularizer

    @spike_regularizer.setter
    def spike_regularizer(self, value: Any) -> None:
        self._spike_regularizer = keras.regularizers.get(value)
        for layer in self.layers:
            if isinstance(layer, SpikingComposite):
                layer.spike_regularizer = self._spike_regularizer

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        check_images(inputs, self.config)
        if substitutes := ops.substituted(self):
            with keras.StatelessScope(state_mapping=substitutes):
                return super().call(inputs, training=training, mask=mask)
        forward = functools.partial(super().call, training=training, mask=mask)
        return forward(inputs) if training else infer(self, self.config, self._policy.compute_dtype, forward, inputs)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """As keras.Model.export; what is exported holds Keras' operations alone, and no call into this process."""
        with ops.portable():
            super().export(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "include_top": self.include_top,
            "spike_regularizer": keras.regularizers.serialize(self._spike_regularizer)
            if self._spike_regularizer is not None
            else None,
            "dtype": keras.dtype_policies.serialize(self._policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Spikformer:
        config = dict(config)
        trainable = config.pop("trainable", True)
        dtype = config.pop("dtype", None)
        if isinstance(dtype, dict):
            dtype = keras.dtype_policies.deserialize(dtype)
        model = cls(**config, dtype=dtype)
        model.trainable = trainable
        return model
