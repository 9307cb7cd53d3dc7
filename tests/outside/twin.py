"""A Spikformer in plain PyTorch with the weights of ours, for counters that look at torch modules and operations.

The images and weights are dyadic: every sum is exact whatever its order, so that the two networks fire alike to the
last spike, and counts must agree exactly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import kspike


def config(**changes) -> kspike.SpikformerConfig:
    return kspike.SpikformerConfig(
        **{
            "input_shape": (8, 6, 2),
            "num_classes": 3,
            "timesteps": 3,
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "mlp_ratio": 2,
            "stem_pool": (False, False, True, True),
            "v_threshold": {"attention": 0.5},
            **changes,
        }
    )


def fill(model: kspike.Spikformer, zeros: bool, seed: int = 0) -> kspike.Spikformer:
    """Dyadic weights, of which a part is 0 or none, and norms that only shift, by what makes no tie."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape = tuple(variable.shape)
        if variable.name in ("kernel", "bias"):
            few = 4 if variable.name == "kernel" else 1
            values = rng.integers(-few, few + 1, shape) / 8
            if not zeros:
                values[values == 0] = 0.25
        elif variable.name == "beta":
            values = rng.integers(0, 24, shape) / 16 + 1 / 1024
        elif variable.name in ("gamma", "moving_variance"):
            values = np.ones(shape)
        else:
            values = np.zeros(shape)
        variable.assign(values.astype("float32"))
    return model


def images(n: int, shape: tuple, seed: int = 1) -> np.ndarray:
    """Quarters, of which a few are 0; the first three images hold nothing but -1, 0 and 1."""
    x = np.random.default_rng(seed).integers(-5, 6, (n, *shape)) / 4
    x[:3] = np.sign(x[:3])
    return x.astype("float32")


class Neuron(nn.Module):
    """LIF of tau 2 with hard reset to 0 over (T, ...)."""

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            h = v + (step - v) / 2
            spikes = (h >= self.threshold).to(x.dtype)
            v = h * (1 - spikes)
            out.append(spikes)
        return torch.stack(out)


class Twin(nn.Module):
    """(batch, channels, height, width) -> logits; time is folded in front of the batch, as SpikingJelly has it."""

    def __init__(self, model: kspike.Spikformer) -> None:
        super().__init__()
        c = self.config = model.config
        stem = model.get_layer("stem")
        self.convs = nn.ModuleList(_conv(layer) for layer in (*stem.conv_layers, stem.rpe_conv))
        self.norms = nn.ModuleList(_norm(layer) for layer in (*stem.norm_layers, stem.rpe_norm))
        self.neurons = nn.ModuleList(Neuron() for _ in range(5))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.ModuleList(Block(model.get_layer(f"block_{i}"), heads) for i, heads in enumerate(c.num_heads))
        self.head = _linear(model.get_layer("head"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, n = self.config.timesteps, len(x)
        x = x.expand(steps, *x.shape).flatten(0, 1)
        for i, pool in enumerate((*self.config.stem_pool, None)):
            y = self.norms[i](self.convs[i](x))
            y = self.neurons[i](y.unflatten(0, (steps, n))).flatten(0, 1)
            x = x + y if pool is None else self.pool(y) if pool else y
        x = x.flatten(2).transpose(1, 2).unflatten(0, (steps, n))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(2).mean(0))


class Part(nn.Module):
    """Linear, normalisation, neuron over (T, batch, tokens, channels)."""

    def __init__(self, dense, norm, columns: slice = slice(None)) -> None:
        super().__init__()
        self.linear, self.norm, self.neuron = _linear(dense, columns), _norm(norm, columns), Neuron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape[:-1]
        y = self.norm(self.linear(x.flatten(0, 2)))
        return self.neuron(y.view(*shape, -1))


class Block(nn.Module):
    def __init__(self, block, heads: int) -> None:
        super().__init__()
        a, mlp, d = block.attention, block.mlp, block.attention.proj.units
        self.heads = heads
        self.q, self.k, self.v = (Part(a.qkv, a.qkv_norm, slice(i * d, i * d + d)) for i in range(3))
        self.attention_neuron = Neuron(0.5)
        self.proj = Part(a.proj, a.proj_norm)
        self.fc1, self.fc2 = Part(mlp.fc1, mlp.fc1_norm), Part(mlp.fc2, mlp.fc2_norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in (self.q, self.k, self.v))
        y = (q @ k.transpose(-2, -1) * 0.125) @ v
        x = x + self.proj(self.attention_neuron(y.transpose(2, 3).flatten(3)))
        return x + self.fc2(self.fc1(x))


def _tensor(value) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(value))


def _numpy(variable) -> np.ndarray:
    return variable.value.detach().cpu().numpy()


def _conv(layer) -> nn.Conv2d:
    kernel = _numpy(layer.kernel).transpose(3, 2, 0, 1)
    conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False)
    conv.weight.data = _tensor(kernel)
    return conv


def _linear(layer, columns: slice = slice(None)) -> nn.Linear:
    kernel = _numpy(layer.kernel)[:, columns].T
    linear = nn.Linear(kernel.shape[1], kernel.shape[0], bias=layer.bias is not None)
    linear.weight.data = _tensor(kernel)
    if layer.bias is not None:
        linear.bias.data = _tensor(_numpy(layer.bias)[columns])
    return linear


def _norm(layer, columns: slice = slice(None)) -> nn.Module:
    values = [_numpy(v)[columns] for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)]
    image = layer.name.startswith(("norm_", "rpe"))  # of the stem
    norm = (nn.BatchNorm2d if image else nn.BatchNorm1d)(len(values[0]))
    norm.weight.data, norm.bias.data = _tensor(values[0]), _tensor(values[1])
    norm.running_mean, norm.running_var = _tensor(values[2]), _tensor(values[3])
    return norm.eval()
