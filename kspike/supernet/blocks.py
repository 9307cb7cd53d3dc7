"""Elastic SPS, SSA, MLP and block: Spikformer's parts over shared weights, as slices or under masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kspike._types import Array, Maps, PerStep, Scalar, Signal, Tokens
from kspike.config import SpikformerConfig
from kspike.layers._parts import fold_time, unfold_time
from kspike.ops import attend, attend_chosen, lif, max_pool
from kspike.supernet.elastic import ElasticConv, ElasticDense, ElasticNorm, Statistics
from kspike.supernet.view import Extent, View


class ElasticPart(keras.layers.Layer):
    """Base of the elastic parts: neurons fixed by the base network, except tau and threshold, which the view gives."""

    def __init__(self, config: SpikformerConfig, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.config = config
        self.neuron_arguments = {
            "v_reset": config.v_reset,
            "decay_input": config.decay_input,
            "detach_reset": config.detach_reset,
            "surrogate": config.surrogate,
        }
        self.membrane = config.residual == "membrane"
        # 1 / tau = sigmoid(w) is learned and shared by every subnet; tau is no gene then
        self.learned: dict[str, keras.Variable] = {}

    def add_neuron(self, name: str, kind: str, block: int | None = None, groups: int = 1) -> None:
        """Declares a neuron; it holds a weight only where tau is learned."""
        if self.config.neuron == "plif":
            start = -math.log(self.config.tau.at(kind, block) - 1.0)
            self.learned[name] = self.add_weight(
                shape=(groups,),
                initializer=keras.initializers.Constant(start),
                name=f"{name}_w",
                dtype="float32",
                autocast=False,
            )

    def neuron(self, name: str, values: Mapping[str, float | Array], channels: int) -> dict[str, Any]:
        """A neuron as `kspike.ops.lif` takes it."""
        if name in self.learned:
            inverse = ops.sigmoid(ops.convert_to_tensor(self.learned[name]))
            groups = self.learned[name].shape[0]
            time_constant = {"inverse_tau": ops.repeat(inverse, channels // groups) if groups > 1 else inverse}
        else:
            time_constant = {"tau": values["tau"]}
        return {**time_constant, "v_threshold": values["v_threshold"], **self.neuron_arguments}

    def fire(
        self, x: Signal, name: str, extent: Extent, values: Mapping[str, float | Array], time_mask: PerStep | None
    ) -> Signal:
        """Spikes of one neuron layer, zero in inactive channels and time steps."""
        y = lif(ops.cast(x, "float32"), **self.neuron(name, values, x.shape[-1]))
        y = extent.mask(ops.cast(y, self.compute_dtype))
        if time_mask is None:
            return y
        return y * ops.cast(ops.reshape(time_mask, (1, -1, *([1] * (len(y.shape) - 2)))), y.dtype)

    def normalise_and_fire(
        self, norm: ElasticNorm, x: Signal, name: str, extent: Extent, values: Mapping[str, float | Array], *,
        statistics: Statistics, time_mask: PerStep | None, active: Scalar | None = None,
    ) -> Signal:  # fmt: skip
        """Spikes after a normalisation: in one pass where the backend has one, and nobody listens."""
        how: dict[str, Any] = {"extent": extent, "statistics": statistics, "time_mask": time_mask, "active": active}
        if "fire" not in vars(self):
            neuron = self.neuron(name, values, x.shape[-1])
            spikes = norm.then_fire(x, dtype=self.compute_dtype, **how, **neuron)
            if spikes is not None:
                return spikes
        x = norm(x, **how)
        return self.fire(x, name, extent, values, time_mask)


class ElasticSPS(ElasticPart):
    """Spiking patch splitting of elastic width."""

    def build(self, input_shape: tuple | None = None) -> None:
        widths = (self.config.image_shape[-1], *self.config.stage_channels)
        self.conv_layers = [
            ElasticConv(widths[i], widths[i + 1], dtype=self.dtype_policy, name=f"conv_{i}") for i in range(4)
        ]
        self.norm_layers = [ElasticNorm(widths[i + 1], dtype=self.dtype_policy, name=f"norm_{i}") for i in range(4)]
        self.rpe_conv = ElasticConv(widths[4], widths[4], dtype=self.dtype_policy, name="rpe_conv")
        self.rpe_norm = ElasticNorm(widths[4], dtype=self.dtype_policy, name="rpe_norm")
        layers: list[keras.layers.Layer] = [*self.conv_layers, *self.norm_layers, self.rpe_conv, self.rpe_norm]
        for layer in layers:
            layer.build()
        self.neurons = 3 if self.membrane else 4
        for i in range(self.neurons):
            self.add_neuron(f"neuron_{i}", "stem")
        if not self.membrane:
            self.add_neuron("rpe_neuron", "stem")

    def call(self, x: Maps, view: View, statistics: Statistics) -> Tokens:
        values, time = view.neuron("stem"), view.time_mask
        extents = (None, *view.stem, view.embed)
        how: dict[str, Any] = {"statistics": statistics, "time_mask": time}
        x = fold_time(ops.cast(x, self.compute_dtype))
        for i, (conv, norm) in enumerate(zip(self.conv_layers, self.norm_layers, strict=True)):
            x = unfold_time(conv(x, inputs=extents[i], outputs=extents[i + 1]), view.timesteps)
            pool, fires = self.config.stem_pool[i], i < self.neurons
            if fires and not (pool and self.config.pool_after == "norm"):
                x = self.normalise_and_fire(norm, x, f"neuron_{i}", extents[i + 1], values, **how)
            else:
                x = norm(x, extent=extents[i + 1], **how)
                if pool and self.config.pool_after == "norm":
                    x = unfold_time(max_pool(fold_time(x)), view.timesteps)
                if fires:
                    x = self.fire(x, f"neuron_{i}", extents[i + 1], values, time)
            x = fold_time(x)
            if pool and self.config.pool_after == "neuron":
                x = max_pool(x)
        position = unfold_time(self.rpe_conv(x, inputs=view.embed, outputs=view.embed), view.timesteps)
        if self.membrane:
            position = self.rpe_norm(position, extent=view.embed, **how)
        else:
            position = self.normalise_and_fire(self.rpe_norm, position, "rpe_neuron", view.embed, values, **how)
        x = unfold_time(x, view.timesteps) + position
        return ops.reshape(x, (-1, view.timesteps, x.shape[2] * x.shape[3], x.shape[4]))


class ElasticSSA(ElasticPart):
    """Spiking self-attention of elastic width and head count."""

    def __init__(self, config: SpikformerConfig, block: int, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.block = block

    def build(self, input_shape: tuple | None = None) -> None:
        d, policy = self.config.embed_dim, self.dtype_policy
        self.qkv = ElasticDense(d, d, 3, self.config.qkv_bias, dtype=policy, name="qkv")
        self.qkv_norm = ElasticNorm(d, 3, dtype=policy, name="qkv_norm")
        self.proj = ElasticDense(d, d, 1, self.config.proj_bias, dtype=policy, name="proj")
        self.proj_norm = ElasticNorm(d, dtype=policy, name="proj_norm")
        for layer in (self.qkv, self.qkv_norm, self.proj, self.proj_norm):
            layer.build()
        if self.membrane:
            self.add_neuron("input_neuron", "input", self.block)
        self.add_neuron("qkv_neuron", "qkv", self.block, groups=3)
        self.add_neuron("attention_neuron", "attention", self.block)
        if not self.membrane:
            self.add_neuron("proj_neuron", "proj", self.block)

    def attend(self, q: Tokens, k: Tokens, v: Tokens, heads: int | tuple[tuple[int, ...], Scalar]) -> Tokens:
        """scale * q k^T v of spikes (batch, time, tokens, channels), head by head, in float32.

        `heads` is a number, or a masked view's widths and which of them it is.
        """
        if isinstance(heads, int):
            shape = (-1, *q.shape[1:3], heads, q.shape[3] // heads)
            y = attend(*(ops.reshape(a, shape) for a in (q, k, v)))
        else:
            y = attend_chosen(q, k, v, *heads)
        return y * self.config.scale

    def call(self, x: Tokens, view: View, statistics: Statistics, active: Scalar | None = None) -> Tokens:
        d, time, b = view.embed, view.time_mask, self.block
        how: dict[str, Any] = {"statistics": statistics, "time_mask": time, "active": active}
        if self.membrane:
            x = self.fire(x, "input_neuron", d, view.neuron("input", b), time)
        x = self.qkv(x, inputs=d, outputs=d)
        spikes = self.normalise_and_fire(self.qkv_norm, x, "qkv_neuron", d, view.neuron("qkv", b), **how)
        q, k, v = ops.split(spikes, 3, axis=-1)
        y = self.attend(q, k, v, view.heads(b))
        y = self.fire(y, "attention_neuron", d, view.neuron("attention", b), time)
        y = self.proj(y, inputs=d, outputs=d)
        if self.membrane:
            return self.proj_norm(y, extent=d, **how)
        return self.normalise_and_fire(self.proj_norm, y, "proj_neuron", d, view.neuron("proj", b), **how)


class ElasticMLP(ElasticPart):
    """Spiking MLP of elastic width and ratio."""

    def __init__(self, config: SpikformerConfig, block: int, hidden: int, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.block, self.hidden = block, hidden

    def build(self, input_shape: tuple | None = None) -> None:
        d, policy = self.config.embed_dim, self.dtype_policy
        self.fc1 = ElasticDense(d, self.hidden, 1, self.config.mlp_bias, dtype=policy, name="fc1")
        self.fc1_norm = ElasticNorm(self.hidden, dtype=policy, name="fc1_norm")
        self.fc2 = ElasticDense(self.hidden, d, 1, self.config.mlp_bias, dtype=policy, name="fc2")
        self.fc2_norm = ElasticNorm(d, dtype=policy, name="fc2_norm")
        for layer in (self.fc1, self.fc1_norm, self.fc2, self.fc2_norm):
            layer.build()
        if self.membrane:
            self.add_neuron("input_neuron", "input", self.block)
        self.add_neuron("fc1_neuron", "fc1", self.block)
        if not self.membrane:
            self.add_neuron("fc2_neuron", "fc2", self.block)

    def call(self, x: Tokens, view: View, statistics: Statistics, active: Scalar | None = None) -> Tokens:
        d, hidden, time, b = view.embed, view.hidden(self.block), view.time_mask, self.block
        how: dict[str, Any] = {"statistics": statistics, "time_mask": time, "active": active}
        if self.membrane:
            x = self.fire(x, "input_neuron", d, view.neuron("input", b), time)
        x = self.fc1(x, inputs=d, outputs=hidden)
        x = self.normalise_and_fire(self.fc1_norm, x, "fc1_neuron", hidden, view.neuron("fc1", b), **how)
        x = self.fc2(x, inputs=hidden, outputs=d)
        if self.membrane:
            return self.fc2_norm(x, extent=d, **how)
        return self.normalise_and_fire(self.fc2_norm, x, "fc2_neuron", d, view.neuron("fc2", b), **how)


class ElasticBlock(ElasticPart):
    """Attention, then MLP, each added to the stream; adds nothing where the genome is shallower."""

    def __init__(self, config: SpikformerConfig, block: int, hidden: int, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.block = block
        self.attention = ElasticSSA(config, block, dtype=self.dtype_policy, name="attention")
        self.mlp = ElasticMLP(config, block, hidden, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: tuple | None = None) -> None:
        self.attention.build()
        self.mlp.build()

    def call(self, x: Tokens, view: View, statistics: Statistics) -> Tokens:
        active = view.active(self.block)
        if isinstance(active, bool):
            if not active:
                return x
            x = x + self.attention(x, view=view, statistics=statistics)
            return x + self.mlp(x, view=view, statistics=statistics)
        gate = ops.cast(active, x.dtype)
        x = x + gate * self.attention(x * gate, view=view, statistics=statistics, active=active)
        return x + gate * self.mlp(x * gate, view=view, statistics=statistics, active=active)
