"""Sections that the pages of all searches have: values against energy, genes that matter, genes that were chosen."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Sequence

from kspike.space import SearchSpace
from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.drawing import Frame, bar, drawing, rows, section
from kspike.tuners.engine.importance import histogram, importance


@dataclasses.dataclass(frozen=True)
class Promise:
    """What candidates are judged by beside their energy.

    Args:
        name: in words.
        of: a candidate's value.
        digits: how one value is written, as a format.
    """

    name: str
    of: Callable[[Candidate], float]
    digits: str = ".4f"


ACCURACY = Promise("accuracy", lambda c: c.accuracy)


def scatter(
    promise: Promise, candidates: Sequence[Candidate], front: Sequence[Candidate], number: str = "trial"
) -> str:
    """Candidates by what they promise and their energy, with its spread where one is known, and the front.

    Args:
        promise: what is drawn upwards.
        candidates: all that were measured.
        front: those on the front.
        number: what a candidate's number counts.
    """
    frame = Frame([c.energy_mj for c in candidates], [promise.of(c) for c in candidates])
    spreads = [(c, c.metrics.get("energy_mj_std", 0.0)) for c in candidates]
    drawn = [frame.spread(c.energy_mj, promise.of(c), width) for c, width in spreads if width > 0]
    for kind, radius, members in (("", 4, candidates), ("front", 6, front)):
        for c in members:
            value = f"{promise.name} {promise.of(c):{promise.digits}}"
            about = f"{number} {c.number}: {value}, {c.energy_mj:.6g} mJ, {c.parameters:,} parameters; {c.genome}"
            drawn.append(frame.dot(kind or ("dot" if c.feasible else "out"), radius, c.energy_mj, promise.of(c), about))
    axes = frame.axes("energy of an image, mJ", promise.name)
    return drawing(axes + "".join(drawn), f"{promise.name} against energy")


def genes_that_matter(promise: Promise, candidates: Sequence[Candidate], note: str) -> str:
    """Share of the variance of the promise, and of the energy, that goes with each gene."""
    promised, energy = importance(candidates, promise.of), importance(candidates, lambda c: c.energy_mj)
    lines = [[html.escape(name), bar(share, "last"), bar(energy[name], "edge")] for name, share in promised.items()]
    return section(
        "Genes that matter",
        rows(("gene", promise.name, "energy"), lines, raw=True),
        f"Share of the variance among {note} that goes with a gene by itself, corrected for chance. The search chose "
        "these networks: genes that were chosen together share what either does.",
    )


def genes_that_were_chosen(space: SearchSpace, groups: Sequence[tuple[str, str, Sequence[Candidate]]]) -> str:
    """How often each choice of a gene is in groups of candidates.

    Args:
        space: where they come from.
        groups: (colour: "first", "last" or "edge", name, members).
    """
    key = "".join(f'<span class="key {kind}"></span>{html.escape(name)}' for kind, name, _ in groups)
    figures = []
    for gene in space.genes:
        if len(gene.choices) < 2:
            continue
        shares = [(kind, histogram(members, gene)) for kind, _, members in groups]
        lines = []
        for i, choice in enumerate(gene.choices):
            bars = (f'<div class="{kind}" style="width:{100 * share[i]:.1f}%"></div>' for kind, share in shares)
            lines.append([f"{choice:g}", f'<div class="bars" style="width:8rem">{"".join(bars)}</div>'])
        caption = f"<figcaption>{html.escape(gene.name)}</figcaption>"
        figures.append(f"<figure>{caption}{rows((), lines, raw=True)}</figure>")
    inside = f'<p class="dim">{key}</p><div class="row">{"".join(figures)}</div>'
    return section("Genes that were chosen", inside)
