"""The largest and the smallest genome of a search space, as gene values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kspike.space.gene import Gene, settings_of
from kspike.space.parameters import of_neuron, parameters

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace

#: A neuron of tau 10 or threshold 2 is silent at small T: an extreme of size should still be a living net.
USUAL = {"tau": 2.0, "v_threshold": 1.0}


def extreme(space: SearchSpace, largest: bool) -> dict[str, Any]:
    """Values of every gene: numbers at one end, neurons nearest the usual, words by their parameters.

    A word of a block has most or fewest parameters where it stands: of several stages, at each stage's width.
    """
    values: dict[str, Any] = {}
    for gene in space.genes:
        if gene.word and gene.scope == "block":
            blocks = [slot.block or 0 for slot in space.slots if slot.gene.name == gene.name]
            best = {stage: _word(space, gene, stage, largest) for stage in {space.stage(block) for block in blocks}}
            values[gene.name] = [best[space.stage(block)] for block in blocks]
        elif gene.word:
            values[gene.name] = _word(space, gene, gene.stage or 0, largest)
        else:
            wanted = 0.5 if gene.name == "v_threshold.attention" else USUAL.get(gene.field)
            end = gene.choices[-1 if largest else 0]
            values[gene.name] = end if wanted is None else min(gene.choices, key=lambda c: (abs(c - wanted), c))
    return values


def _word(space: SearchSpace, gene: Gene, stage: int, largest: bool) -> Any:
    counts = _counts(space, gene, stage)
    return gene.choices[counts.index((max if largest else min)(counts))]


def _counts(space: SearchSpace, gene: Gene, stage: int) -> list[int]:
    """Trainable numbers of each choice of a word, at the largest sizes of a stage."""
    if gene.field == "neuron":
        return [of_neuron(neuron) for neuron in gene.components]
    weights = max(of_neuron(neuron) for neuron in space.components("neuron"))
    sizes = largest_sizes(space, space.stages - 1 if gene.field == "head" else stage)
    return [parameters(made.declared(settings_of(space.base, made)), sizes, weights) for made in gene.components]


def largest_sizes(space: SearchSpace, stage: int) -> Mapping[str, int]:
    """The largest number of every dimension in the blocks of a stage, in the stem, and in what stands before it."""
    base, first = space.base, space.starts[stage]
    width = space.choices("embed_dim", stage=stage)[-1]
    blocks = range(first, first + space.max_depths[stage])
    ratio = max(max(space.choices("mlp_ratio", block)) for block in blocks)
    sizes = {
        "width": width,
        "hidden": int(width * ratio),
        "heads": max(max(space.choices("num_heads", block)) for block in blocks),
        "tokens": math.prod(space.grids[stage]),
        "image": base.image_shape[2],
    }
    if stage:
        sizes["before"] = space.choices("embed_dim", stage=stage - 1)[-1]
    for i in range(3):
        usual = space.choices("embed_dim", stage=0)[-1] >> (3 - i)
        follows = space.stem_follows_width
        sizes[f"stem_{i}"] = usual if follows else space.choices("stem_channels", stage=i)[-1]
    return sizes
