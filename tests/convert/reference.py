"""A Spikformer in plain NumPy, written from the papers and apart from kspike, and its tensors under official names.

A network here is a dict: "stem" (four of (kernel, None, norm)), "rpe", "blocks" (dicts of q, k, v, proj, fc1, fc2) and
"head"; kernels as PyTorch keeps them, (out, in, ...), norms the rows gamma, beta, mean, variance.
"""

import numpy as np

NORM = ("weight", "bias", "running_mean", "running_var")


def network(seed, dim=16, depth=2, hidden=40, classes=5, channels=3, qkv_bias=True, bias=True):
    """Random weights whose neurons fire, with statistics as lively as the weights."""
    rng = np.random.default_rng(seed)

    def part(outputs, inputs, *kernel, bias=False):
        weight = rng.normal(0, 1.5 / np.sqrt(inputs * np.prod(kernel, dtype=int)), (outputs, inputs, *kernel))
        norm = np.stack(
            [
                rng.uniform(0.5, 2, outputs),
                rng.normal(0.9, 0.3, outputs),
                rng.normal(0, 0.3, outputs),
                rng.uniform(0.3, 1.3, outputs),
            ]
        )
        norm[0, ::5] *= -1
        return tuple(
            None if a is None else a.astype("float32")
            for a in (weight, rng.normal(0, 0.2, outputs) if bias else None, norm)
        )

    widths = (channels, dim // 8, dim // 4, dim // 2, dim)
    return {
        "stem": [part(widths[i + 1], widths[i], 3, 3) for i in range(4)],
        "rpe": part(dim, dim, 3, 3),
        "blocks": [
            {
                **{name: part(dim, dim, bias=qkv_bias) for name in "qkv"},
                "proj": part(dim, dim, bias=bias),
                "fc1": part(hidden, dim, bias=bias),
                "fc2": part(dim, hidden, bias=bias),
            }
            for _ in range(depth)
        ],
        "head": (rng.normal(0, 1, (classes, dim)).astype("float32"), rng.normal(0, 1, classes).astype("float32")),
    }


def official(net, kind="linear", axes=0, mlp_axes=0, first_release=False, dead=True):
    """The state dict of the official code: CIFAR's; with conv, 1, 1 CIFAR10-DVS'; with conv, 1, 2 ImageNet's."""
    out = {}

    def put(product, norm, part, axes=0):
        weight, bias, statistics = part
        out[f"{product}.weight"] = weight.reshape(weight.shape + (1,) * axes)
        if bias is not None:
            out[f"{product}.bias"] = bias
        out.update({f"{norm}.{name}": row for name, row in zip(NORM, statistics, strict=True)})
        out[f"{norm}.num_batches_tracked"] = np.int64(7)

    for i, part in enumerate(net["stem"]):
        number = "" if i == 0 else i
        names = (
            (f"block{i + 1}_conv", f"block{i + 1}_bn") if first_release else (f"proj_conv{number}", f"proj_bn{number}")
        )
        put(*(f"patch_embed.{name}" for name in names), part)
    put("patch_embed.rpe_conv", "patch_embed.rpe_bn", net["rpe"])
    for j, block in enumerate(net["blocks"]):
        for name in ("q", "k", "v", "proj"):
            put(f"block.{j}.attn.{name}_{kind}", f"block.{j}.attn.{name}_bn", block[name], axes)
        for name in ("fc1", "fc2"):
            put(f"block.{j}.mlp.{name}_{kind}", f"block.{j}.mlp.{name}_bn", block[name], mlp_axes)
        if dead:
            for name in ("norm1", "norm2"):
                out[f"block.{j}.{name}.weight"] = np.ones(16, "float32")
                out[f"block.{j}.{name}.bias"] = np.zeros(16, "float32")
    out["head.weight"], out["head.bias"] = net["head"]
    return out


def logits(net, images, *, heads, timesteps=4, scale=0.125, pools=(2, 3)):
    """(logits, margin): margin is each image's smallest distance of a potential from its threshold.

    `images` (batch, height, width, channels), or with a time axis behind batch; computed in float64.
    """
    x = np.asarray(images, "float64")
    x = np.repeat(x[:, None], timesteps, 1) if x.ndim == 4 else x
    margin = np.full(len(x), np.inf)

    def lif(x, threshold=1.0):
        v, spikes = np.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = v + (x[:, t] - v) / 2
            distance = np.abs(h - threshold).reshape(len(h), -1)
            if threshold == 0.5:  # behind attention all numbers are multiples of 1/128: a tie is exact on every machine
                distance = np.where(distance == 0, np.inf, distance)
            np.minimum(margin, distance.min(1), out=margin)
            spikes.append((h >= threshold).astype("float64"))
            v = h * (1 - spikes[-1])
        out = np.stack(spikes, 1)
        assert 0.01 < out.mean() < 0.99, "a silent neuron layer would hide a mistake"
        return out

    def normalise(x, norm):
        gamma, beta, mean, variance = norm.astype("float64")
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def conv(x, weight):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = x.shape[2:4]
        return sum(
            padded[:, :, i : i + height, j : j + width] @ weight[:, :, i, j].T.astype("float64")
            for i in range(3)
            for j in range(3)
        )

    def pool(x):  # 3x3, stride 2, padding 1; spikes are never below the padding
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        return np.max(
            [padded[:, :, i : i + x.shape[2] : 2, j : j + x.shape[3] : 2] for i in range(3) for j in range(3)], 0
        )

    def dense(x, part):
        weight, bias, norm = part
        return normalise(x @ weight.T.astype("float64") + (0 if bias is None else bias), norm)

    for i, (weight, _, norm) in enumerate(net["stem"]):
        x = lif(normalise(conv(x, weight), norm))
        x = pool(x) if i in pools else x
    x = x + lif(normalise(conv(x, net["rpe"][0]), net["rpe"][2]))
    x = x.reshape(*x.shape[:2], -1, x.shape[-1])
    for block in net["blocks"]:
        q, k, v = (lif(dense(x, block[name])).reshape(*x.shape[:3], heads, -1) for name in "qkv")
        y = np.einsum("btnhd,btmhd,btmhe->btnhe", q, k, v, optimize=True).reshape(x.shape) * scale
        x = x + lif(dense(lif(y, 0.5), block["proj"]))
        x = x + lif(dense(lif(dense(x, block["fc1"])), block["fc2"]))
    return x.mean((1, 2)) @ net["head"][0].T + net["head"][1], margin


def clear_cases(net, shape, count=4, seed=0, **kwargs):
    """Images on which rounding decides no spike, and their logits."""
    images = np.random.default_rng(seed).normal(size=(4 * count, *shape)).astype("float32")
    expected, margin = logits(net, images, **kwargs)
    clear = np.flatnonzero(margin > 5e-6)[:count]
    assert len(clear) == count, f"margins {np.sort(margin)}"
    return images[clear], expected[clear]
