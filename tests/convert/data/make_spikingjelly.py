"""Writes the .npz files beside it: SpikingJelly 2.0 Spikformers with random weights, images, and their own logits.

Run with torch, and spikingjelly 2.0.0 and loguru installed without their dependencies:
    pip install --no-deps spikingjelly==2.0.0 loguru
    python tests/convert/data/make_spikingjelly.py

Weights are rounded to float16 (half the file, exact in float32), statistics of normalisation are random and scales
partly negative, so that every layer fires between 1 % and 99 % and an exchange of pool and neuron shows. Of the images
drawn, those are kept on which no potential comes within 1e-5 of its threshold: rounding decides nothing there, so every
backend must agree. The logits are the mean over time of what the model returns step by step, in inference mode.
"""

import json
import pathlib

import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.spikformer import Spikformer

HERE = pathlib.Path(__file__).parent
MARGIN = 1e-5


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Random weights and statistics with which neurons fire."""
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Linear):
            module.weight.data = (
                torch.randn(module.weight.shape, generator=random) * 1.5 / module.weight[0].numel() ** 0.5
            )
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            n = module.num_features
            module.weight.data = torch.rand(n, generator=random) * 1.5 + 0.5
            module.weight.data[::7] *= -1
            module.bias.data = torch.randn(n, generator=random) * 0.3 + 0.9
            module.running_mean = torch.randn(n, generator=random) * 0.3
            module.running_var = torch.rand(n, generator=random) + 0.3
        if isinstance(module, neuron.ParametricLIFNode):
            module.w.data = torch.randn((), generator=random) * 0.5
    model.load_state_dict({k: v.half().to(v.dtype) for k, v in model.state_dict().items()})


def run(model: Spikformer, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and each image's smallest distance of a potential from a threshold.

    Behind attention, multiples of 1/8 meet tau 2: ties there are exact on every machine, and no matter of rounding.
    """
    dyadic = [b.attn.attn_lif for b in model.blocks if not isinstance(b.attn.attn_lif, neuron.ParametricLIFNode)]
    margin = torch.full((images.shape[0 if images.ndim == 4 else 1],), torch.inf)

    def watch(module: neuron.BaseNode, inputs: tuple, spikes: torch.Tensor) -> None:
        assert 0.01 < spikes.mean() < 0.99, "a silent layer would hide a mistake"
        decay = module.w.sigmoid() if isinstance(module, neuron.ParametricLIFNode) else 1 / module.tau
        v = torch.zeros_like(inputs[0][0])
        for x, s in zip(inputs[0], spikes, strict=True):
            h = v + (x - v) * decay
            distance = (h - module.v_threshold).abs().flatten(1)
            if module in dyadic:
                distance = torch.where(distance == 0, torch.inf, distance)
            margin.copy_(torch.minimum(margin, distance.amin(1)))
            v = h * (1 - s)

    hooks = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, neuron.BaseNode)]
    with torch.no_grad():
        logits = model.eval()(images).mean(0).numpy()
    functional.reset_net(model)
    for hook in hooks:
        hook.remove()
    return logits, margin.numpy()


def write(name: str, model: Spikformer, images: torch.Tensor, count: int, **config: object) -> None:
    """Keeps `count` clear images."""
    randomise(model, seed=len(name))
    logits, margin = run(model, images)
    clear = np.flatnonzero(margin > MARGIN)[:count]
    assert len(clear) == count, np.sort(margin)
    kept = images.numpy()
    # channels last; frames come time first here
    kept = kept[clear].transpose(0, 2, 3, 1) if kept.ndim == 4 else kept[:, clear].transpose(1, 0, 3, 4, 2)
    weights = {
        f"w/{k}": v.numpy().astype("float16" if v.is_floating_point() else "int64")
        for k, v in model.state_dict().items()
    }
    path = HERE / f"{name}.npz"
    np.savez_compressed(path, config=json.dumps(config), images=kept.astype("float16"), logits=logits[clear], **weights)
    print(path, path.stat().st_size, "bytes; margins", margin[clear])


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    common = {"mlp_ratio": 3.0, "num_classes": 10}
    write(
        "spikingjelly_images",
        Spikformer(
            T=4,
            in_channels=3,
            img_size_h=32,
            img_size_w=32,
            patch_size=4,
            embed_dims=32,
            num_heads=4,
            depths=2,
            **common,
        ),
        torch.randn(24, 3, 32, 32, generator=generator).half().float(),
        count=4,
        num_heads=4,
        timesteps=4,
    )
    write(
        "spikingjelly_learned_tau",
        Spikformer(
            T=3, in_channels=2, img_size_h=64, img_size_w=64, patch_size=16, embed_dims=32, num_heads=2, depths=1,
            spiking_neuron=neuron.ParametricLIFNode, **common,
        ),
        torch.poisson(torch.full((3, 24, 2, 64, 64), 0.3), generator=generator),
        count=4,
        num_heads=2,
        stem_pool=[True] * 4,
    )  # fmt: skip
