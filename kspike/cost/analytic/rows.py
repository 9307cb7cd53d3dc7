"""The cost of every layer of a Spikformer in closed form, for one network or a whole population."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from kspike.cost.analytic.sizes import Sizes


@dataclasses.dataclass(frozen=True)
class Row:
    """What one product of the network costs, for one image and one time step (the head: for one image).

    What surrounds a product is counted on its row: normalisation, neuron and pool after it, its bias, the neuron before
    it where the shortcut is "membrane", the residual sum after it. All rows of a network add up to the network's cost.

    Args:
        name: path of the layer in the model, "stem/conv_0" or "block_0/attention/qkv"; the attention products are
            "block_0/attention/qk" and "block_0/attention/av".
        kind: "conv", "dense" or "attention".
        steps: how often it runs for an image: T, or 1 for the head.
        macs: multiply-accumulates of the dense product, padding included (k * k * Cin * Cout * H * W for a
            convolution). Attention in the stated order, Q K^T and then A V: N * N * D each.
        parameters: trainable numbers (kernel, bias, gamma and beta, learned time constants).
        elements: numbers in its input (in q for "qk", in v for "av").
        neurons: membranes updated.
        normalised: numbers that go through normalisation.
        pooled: numbers that go into a max-pool.
        additions: operations not named above: biases, residual sums, the scaling of attention, the averages before the
            head.
        tokens, head_dim: of an attention product: tokens, and channels of one head.

    Numbers are Python ints for one network, int64 arrays `(n,)` for a population (0 where the block is not expressed).
    """

    name: str
    kind: str
    steps: Any
    macs: Any
    parameters: Any
    elements: Any
    neurons: Any = 0
    normalised: Any = 0
    pooled: Any = 0
    additions: Any = 0
    tokens: Any = 0
    head_dim: Any = 0

    def flops(self, counting: str = "syops") -> Any:
        """Operations of one image over all time steps, as `kspike.cost.flops` counts them: all rows add up to that.

        Raises:
            ValueError: an unknown counting.
        """
        if counting not in ("syops", "full"):
            raise ValueError(f"Unknown counting {counting!r}; known: syops, full.")
        around = 2 * self.normalised + self.neurons + self.pooled
        if counting == "syops":
            return self.steps * (around + (0 if self.kind == "attention" else self.macs))
        return self.steps * (around + self.macs + self.additions)

    def scaled(self, factor: Any) -> Row:
        """Every number times a factor: ones broadcast them to arrays, a 0/1 mask zeroes what is not expressed."""
        return dataclasses.replace(self, **{name: getattr(self, name) * factor for name in NUMBERS})


NUMBERS = tuple(field.name for field in dataclasses.fields(Row) if field.name not in ("name", "kind"))


def rows(sizes: Sizes) -> Iterator[Row]:
    """Lists the rows of a population in the order in which they run, blocks up to the deepest network's."""
    everywhere = np.ones_like(sizes.embed_dim)
    for row in _stem(sizes):
        yield row.scaled(everywhere)
    for block in range(sizes.hidden.shape[1]):
        for row in _block(sizes, block):
            yield row.scaled(sizes.expressed[:, block])
    tokens, d, classes = sizes.tokens, sizes.embed_dim, sizes.classes
    head = Row(
        name="head",
        kind="dense",
        steps=1,
        macs=d * classes,
        parameters=d * classes + classes,
        elements=d,
        additions=classes + sizes.timesteps * tokens * d,  # its bias; the average over tokens and time
    )
    yield head.scaled(everywhere)


def _stem(s: Sizes) -> Iterator[Row]:
    before = s.image_channels
    for stage in range(4):
        after = s.stem_channels[:, stage] if stage < 3 else s.embed_dim
        pixels = s.stage_pixels[:, stage]
        # the membrane shortcut leaves the last stage and the position encoding as potentials
        fires = 1 if stage < 3 else 1 - s.membrane
        firing = np.where(s.pools_first, s.stage_pixels[:, stage + 1], pixels)
        yield Row(
            name=f"stem/conv_{stage}",
            kind="conv",
            steps=s.timesteps,
            macs=9 * before * after * pixels,
            parameters=9 * before * after + 2 * after + s.plif * fires,
            elements=before * pixels,
            neurons=fires * after * firing,
            normalised=after * pixels,
            pooled=s.pooled[:, stage] * after * pixels,
        )
        before = after
    d, stream = s.embed_dim, s.embed_dim * s.tokens
    yield Row(
        name="stem/rpe_conv",
        kind="conv",
        steps=s.timesteps,
        macs=9 * d * stream,
        parameters=9 * d * d + 2 * d + s.plif * (1 - s.membrane),
        elements=stream,
        neurons=(1 - s.membrane) * stream,
        normalised=stream,
        additions=stream,
    )


def _block(s: Sizes, block: int) -> Iterator[Row]:
    d, h, n, membrane, steps = s.embed_dim, s.hidden[:, block], s.tokens, s.membrane, s.timesteps
    stream = n * d
    attention, mlp = f"block_{block}/attention", f"block_{block}/mlp"
    # q, k and v learn a time constant each; "membrane" has a neuron before the products instead of after proj and fc2
    yield Row(
        name=f"{attention}/qkv",
        kind="dense",
        steps=steps,
        macs=3 * d * stream,
        parameters=3 * d * d + 3 * d * s.qkv_bias + 6 * d + s.plif * (3 + membrane),
        elements=stream,
        neurons=(3 + membrane) * stream,
        normalised=3 * stream,
        additions=3 * stream * s.qkv_bias,
    )
    product = {"kind": "attention", "steps": steps, "macs": n * stream, "elements": stream}
    head = {"tokens": n, "head_dim": d // s.heads[:, block]}
    yield Row(name=f"{attention}/qk", parameters=0 * d, **product, **head)
    yield Row(
        name=f"{attention}/av",
        parameters=s.plif,
        neurons=stream,
        additions=stream,
        **product,
        **head,
    )
    yield Row(
        name=f"{attention}/proj",
        kind="dense",
        steps=steps,
        macs=d * stream,
        parameters=d * d + d * s.proj_bias + 2 * d + s.plif * (1 - membrane),
        elements=stream,
        neurons=(1 - membrane) * stream,
        normalised=stream,
        additions=stream * s.proj_bias + stream,
    )
    yield Row(
        name=f"{mlp}/fc1",
        kind="dense",
        steps=steps,
        macs=h * stream,
        parameters=d * h + h * s.mlp_bias + 2 * h + s.plif * (1 + membrane),
        elements=stream,
        neurons=n * h + membrane * stream,
        normalised=n * h,
        additions=n * h * s.mlp_bias,
    )
    yield Row(
        name=f"{mlp}/fc2",
        kind="dense",
        steps=steps,
        macs=h * stream,
        parameters=h * d + d * s.mlp_bias + 2 * d + s.plif * (1 - membrane),
        elements=n * h,
        neurons=(1 - membrane) * stream,
        normalised=stream,
        additions=stream * s.mlp_bias + stream,
    )
