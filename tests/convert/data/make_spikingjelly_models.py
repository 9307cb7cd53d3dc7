"""Writes the .npz files beside it of SpikingJelly 2.0's QKFormer, Max-Former and Spike-driven Transformer.

Random weights under which every neuron layer fires, images, and what the models themselves make of them: logits, and
the spikes of every neuron. Run as make_spikingjelly.py, beside which it lies:
    pip install --no-deps spikingjelly==2.0.0 loguru
    python tests/convert/data/make_spikingjelly_models.py

Keys: `meta` (JSON: class, its arguments, shape of every neuron's spikes), `images` (channels last), `w/<name>` (the
state dict as float16 numbers, counters left out), `logits`, `spikes/<neuron>` (numpy.packbits of the flattened array,
time first), and of QKFormer `logits_channel`: the same weights with qka_type="channel". Of the images drawn, those are
kept on which no potential comes within 1e-5 of its threshold, but for sums of spikes, which are exact.
"""

import json
import pathlib

import numpy as np
import torch
from make_spikingjelly import MARGIN, randomise
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.maxformer import MaxFormer
from spikingjelly.activation_based.model.qkformer import QKFormer
from spikingjelly.activation_based.model.spike_driven_transformer import SpikeDrivenTransformer

HERE = pathlib.Path(__file__).parent
COMMON = {"num_classes": 5, "embed_dims": 32}
#: File -> class, arguments, side of the images, class of its neurons.
CASES = {
    "spikingjelly_qkformer": (
        QKFormer, {**COMMON, "T": 3, "num_heads": (4, 8, 2), "depths": (1, 2, 1), "mlp_ratio": 2}, 32, None,
    ),
    "spikingjelly_max_former": (
        MaxFormer, {**COMMON, "T": 3, "depths": (1, 1, 2), "mlp_ratio": 2, "cifar": True}, 16, None,
    ),
    "spikingjelly_max_former_large": (
        MaxFormer, {**COMMON, "T": 2, "depths": (1, 1, 1), "mlp_ratio": 1}, 32, neuron.ParametricLIFNode,
    ),
    "spikingjelly_sdt": (
        SpikeDrivenTransformer,
        {**COMMON, "T": 3, "num_heads": 4, "depths": 1, "mlp_ratio": 2, "pooling_stat": "0011"}, 16, None,
    ),
}  # fmt: skip


def run(model: torch.nn.Module, images: torch.Tensor, awake: bool = True) -> tuple[np.ndarray, np.ndarray, dict]:
    """Logits, each image's smallest distance of a potential from a threshold, and the spikes of every neuron."""
    margin = torch.full((len(images),), torch.inf)
    spikes: dict[str, np.ndarray] = {}

    def watch(name: str, module: neuron.BaseNode, x: torch.Tensor, fired: torch.Tensor) -> None:
        assert not awake or 0.01 < fired.mean() < 0.99, f"{name} is silent, or always fires: {fired.mean()}"
        learned = isinstance(module, neuron.ParametricLIFNode)
        decay = module.w.sigmoid() if learned else 1 / module.tau
        v = torch.zeros_like(x[0])
        for now, s in zip(x, fired, strict=True):
            h = v + (now - v) * decay
            distance = (h - module.v_threshold).abs().flatten(1)
            if name.endswith("attn_lif") and not learned:
                distance = torch.where(distance == 0, torch.inf, distance)
            margin.copy_(torch.minimum(margin, distance.amin(1)))
            v = h * (1 - s)
        spikes[name] = fired.numpy().astype("uint8")

    hooks = [
        module.register_forward_hook(lambda m, inputs, out, name=name: watch(name, m, inputs[0], out))
        for name, module in model.named_modules()
        if isinstance(module, neuron.BaseNode)
    ]
    functional.reset_net(model)
    with torch.no_grad():
        logits = model.eval()(images).numpy()
    for hook in hooks:
        hook.remove()
    return logits, margin.numpy(), spikes


def write(name: str, count: int = 3) -> None:
    """Keeps `count` clear images."""
    made, arguments, side, kind = CASES[name]
    torch.manual_seed(len(name))
    model = made(**arguments, **({} if kind is None else {"spiking_neuron": kind}))
    randomise(model, seed=len(name))
    images = torch.randn(24, 3, side, side, generator=torch.Generator().manual_seed(0)).half().float()
    logits, margin, spikes = run(model, images)
    clear = np.flatnonzero(margin > MARGIN)[:count]
    assert len(clear) == count, np.sort(margin)
    arrays = {"images": images.numpy()[clear].transpose(0, 2, 3, 1).astype("float16"), "logits": logits[clear]}
    kept = {key: value[:, clear] for key, value in spikes.items()}
    arrays |= {f"spikes/{key}": np.packbits(value.reshape(-1)) for key, value in kept.items()}
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            arrays[f"w/{key}"] = value.numpy().astype("float16")
    if made is QKFormer:
        other = QKFormer(**arguments, qka_type="channel")
        other.load_state_dict(model.state_dict())
        arrays["logits_channel"] = run(other, images, awake=False)[0][clear]
    meta = {"class": made.__name__, "arguments": arguments, "shapes": {k: v.shape for k, v in kept.items()}}
    path = HERE / f"{name}.npz"
    np.savez_compressed(path, meta=json.dumps(meta), **arrays)
    rates = [float(value.mean()) for value in kept.values()]
    print(f"{path}: {path.stat().st_size:,} bytes; rates {min(rates):.3f} to {max(rates):.3f}; margins {margin[clear]}")


if __name__ == "__main__":
    for each in CASES:
        write(each)
