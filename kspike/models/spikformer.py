"""Spikformer: a config becomes a keras.Model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import keras

from kspike import ops
from kspike._types import Array, Images
from kspike.components import BRANCHES, SINGLE_KINDS
from kspike.config import SpikformerConfig
from kspike.layers import SPS, Component, DirectEncoding, RateDecoding, SpikformerBlock
from kspike.layers._parts import SpikingComposite, linear_initializer
from kspike.layers._state import KEY, layer_state, restore
from kspike.layers.int8 import Int8Dense, is_int8
from kspike.models.image_model import ImageModel, checked
from kspike.models.parts import infer, largest

#: Layers behind the last block.
END = ("decoding", "averaging", "head")


@keras.saving.register_keras_serializable(package="kspike")
class Spikformer(ImageModel, keras.Model):
    """Classifies images or event frames with a spiking transformer.

    encoding (the image repeated T times) -> stem (SPS) -> blocks -> mean over tokens, then time -> head. A functional
    keras.Model: it compiles, fits, saves and loads as any other, and its layers are found by name: "encoding", "stem",
    "block_0", ..., "decoding", "head". With several stages "down_1", ... stand between the blocks, which are numbered
    through; with a head that fires, "averaging" is the mean over time.

    Source: Spikformer (Zhou et al., 2023) and its code; with residual="membrane", Spikingformer and AutoST.

    Args:
        config: a `SpikformerConfig`, or its `to_dict()`.
        include_top: whether the head is there; without it the model gives features.
        spike_regularizer: activity regulariser of every neuron, as `kspike.regularizers.FiringRate(0.01)`. It belongs
            to training and not to the config; `model.spike_regularizer = ...` sets it later, before `compile`.

    `quantization` says what `kspike.quantize` found, as plain JSON; None of a network of floats.

    Input shape: `(batch, height, width, channels)`, or `(batch, time, height, width, channels)` where the config's
    input_shape has time. Output shape: logits `(batch, num_classes)`, or features `(batch, embed_dim)`, of the last
    stage's width.

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
        shared_stem = {"tau": config.tau.stem, "v_threshold": config.v_threshold.stem, "name": "stem", **shared}
        if config.stem == "sps":
            pools: dict[str, Any] = {"pool": config.stem_pool, "pool_after": config.pool_after}
            x = SPS(config.widths[0], channels=config.stem_channels, **pools, **shared_stem)(x)
        else:
            x = Component(config.stem, role="stem", embed_dim=config.widths[0], **shared_stem)(x)
        for i in range(config.num_blocks):
            stage = config.stage(i)
            if stage and i == config.starts[stage]:
                x = Component(
                    config.downsample[stage - 1],
                    role="downsample",
                    embed_dim=config.widths[stage],
                    grid=config.grids[stage - 1],
                    **{**shared_stem, "name": f"down_{stage}"},
                )(x)
            x = SpikformerBlock(
                config.num_heads[i],
                config.mlp_ratio[i],
                scale=config.scale,
                qkv_bias=config.qkv_bias,
                proj_bias=config.proj_bias,
                mlp_bias=config.mlp_bias,
                **{field: getattr(config, field)[i] for field in BRANCHES},
                grid=config.grids[stage],
                tau={kind: v[i] for kind, v in config.tau.items() if kind not in SINGLE_KINDS},
                v_threshold={kind: v[i] for kind, v in config.v_threshold.items() if kind not in SINGLE_KINDS},
                name=f"block_{i}",
                **shared,
            )(x)
        last = policy_at_the_end(policy)
        if config.head == "mean":
            x = RateDecoding(dtype=last, name="decoding")(x)
        else:
            average = RateDecoding(dtype=last, name="averaging")
            how = {"tau": config.tau.head, "v_threshold": config.v_threshold.head, **shared, "dtype": last}
            x = Component(config.head, role="head", name="decoding", **how)(x)
            x = x if config.averages_logits and include_top else average(x)
        if include_top:
            dense = Int8Dense if is_int8(policy) else keras.layers.Dense
            x = dense(config.num_classes, kernel_initializer=linear_initializer(), dtype=last, name="head")(x)
            x = average(x) if config.averages_logits else x
        super().__init__(inputs=inputs, outputs=x, **kwargs)
        self.config = config
        self.include_top = bool(include_top)
        # Known before it runs: torch.compile cannot trace the way there.
        self._largest = largest(config)
        # Layers have theirs; the model's own is what Keras asks for when it scales the loss of mixed_float16.
        self.dtype_policy = policy
        self._spike_regularizer = keras.regularizers.get(spike_regularizer)
        # past Keras, which would track and wrap a dict
        self.__dict__["quantization"] = None

    @property
    def quantized(self) -> bool:
        """Whether its products have int8 weights (`kspike.quantize`): it is for inference then."""
        return is_int8(self.policy)

    @property
    def policy(self) -> keras.DTypePolicy:
        """The dtype policy of its layers; logits are float32 under one of half precision."""
        return self.dtype_policy

    @property
    def image_config(self) -> SpikformerConfig:
        """The config."""
        return self.config

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

    def call(
        self, inputs: Images, training: bool | None = None, mask: Array | None = None
    ) -> Annotated[Array, "batch outputs"]:
        inputs = checked(inputs, self.config)
        if training and self.quantized:
            raise ValueError(
                f"{self.name} has int8 weights, which no gradient moves: it is for inference alone. Train the network "
                "that it was made of, and give that to kspike.quantize again."
            )
        if substitutes := ops.substituted(self):
            with keras.StatelessScope(state_mapping=substitutes):
                return super().call(inputs, training=training, mask=mask)
        forward = functools.partial(super().call, training=training, mask=mask)
        return forward(inputs) if training else infer(self, self._largest, self.compute_dtype, forward, inputs)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """As keras.Model.export; what is exported holds Keras' operations alone, and no call into this process."""
        with ops.portable():
            super().export(*args, **kwargs)

    def _policy_of(self, path: str) -> keras.DTypePolicy:
        return policy_at_the_end(self.policy) if path.split("/")[0] in END else self.policy

    def get_config(self) -> dict[str, Any]:
        state = layer_state(self, self._policy_of)
        return {
            **({KEY: state} if state else {}),
            **({"quantization": self.quantization} if self.quantization is not None else {}),
            "config": self.config.to_dict(),
            "include_top": self.include_top,
            "spike_regularizer": keras.regularizers.serialize(self._spike_regularizer)
            if self._spike_regularizer is not None
            else None,
            "dtype": keras.dtype_policies.serialize(self.policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Spikformer:
        config = dict(config)
        trainable, state = config.pop("trainable", True), config.pop(KEY, None)
        quantization = config.pop("quantization", None)
        dtype = config.pop("dtype", None)
        if isinstance(dtype, dict):
            dtype = keras.dtype_policies.deserialize(dtype)
        model = cls(**config, dtype=dtype)
        model.trainable = trainable
        restore(model, state)
        model.__dict__["quantization"] = quantization
        return model


def policy_at_the_end(policy: keras.DTypePolicy) -> keras.DTypePolicy:
    """The dtype policy of decoding and head.

    Features and logits stay in float32: they are few, and half precision would decide close calls by rounding.
    """
    half = policy.compute_dtype in ("float16", "bfloat16")
    return keras.dtype_policies.get("float32") if half else policy
