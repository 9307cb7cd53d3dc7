"""Genomes in words, for tables on pages and in terminals."""

from __future__ import annotations

from kspike.space import Genome

#: Genes in words, in the order in which they are shown; T has a column of its own.
WORDS = {
    "stem": "stem",
    "downsample": "downsampling",
    "head": "head",
    "neuron": "neuron",
    "local": "local mixer",
    "mixer": "mixer",
    "mlp": "MLP",
    "embed_dim": "width",
    "depth": "depth",
    "stem_channels": "stem",
    "num_heads": "heads",
    "mlp_ratio": "ratio",
    "tau": "tau",
    "v_threshold": "threshold",
}


def genes(genome: Genome) -> str:
    """A genome in words, genes without effect left out: `width 64; depth 2; ratio 1,2; tau stem 2, qkv 1.5,2`.

    With several stages: `width stage 1 64, stage 2 96; mixer dwconv3|ssa,ssa`, blocks of stages with "|" between them.
    """
    found: dict[str, list[str]] = {field: [] for field in WORDS}
    for gene in genome.space.genes:
        if len(gene.choices) == 1 or gene.field not in WORDS:
            continue
        shown = genome.text(gene)
        if shown:
            staged = [f"stage {gene.stage}"] if gene.stage is not None and gene.field != "stem_channels" else []
            found[gene.field].append(" ".join([*([gene.kind] if gene.kind else []), *staged, shown]))
    return "; ".join(f"{WORDS[field]} {', '.join(parts)}" for field, parts in found.items() if parts)
