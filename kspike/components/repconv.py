"""RepConv: the projection of Spike-driven Transformer V2, a composition of parts for mixers.

    y = BN(W2 dw(border(BN(W1 x))))          W1, W2: token by token; dw: each channel by itself over 3x3 tokens

`border` surrounds the map by what the normalisation makes of 0 (`kspike.components.parts.BorderNorm`), so that at
inference the whole is one 3x3 convolution. No product has a bias. Source: Spike-driven Transformer V2 (Yao et al.,
2024) and its code, which puts a further normalisation behind each. Departure: it is trained and run in this form alone;
the one convolution that it could become at inference is not made of it.
"""

from __future__ import annotations

from typing import Any

from kspike.components.parts import BorderNorm, Dense, DepthwiseConv, Norm, Part


def parts(name: str) -> dict[str, Part]:
    """The parts of one RepConv from width to width; their names begin with `name`."""
    return {
        f"{name}_in": Dense("width", "width", bias=False),
        f"{name}_border": BorderNorm("width"),
        f"{name}_dw": DepthwiseConv("width", padded=False),
        f"{name}_out": Dense("width", "width", bias=False),
        f"{name}_inner_norm": Norm("width"),
    }


def forward(part: Any, name: str, x: Any, sizes: Any) -> Any:
    """Runs it on `(batch, time, tokens, width)`: the same shape."""
    y = part[f"{name}_border"](sizes.to_grid(part[f"{name}_in"](x)))
    y = part[f"{name}_out"](sizes.to_tokens(part[f"{name}_dw"](y)))
    return part[f"{name}_inner_norm"](y)
