"""Narrows a search space to networks that run elsewhere: written as NIR, or by shifts and additions alone."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kspike.components.parts import Conv, Dense, DepthwiseConv, MatMul, Neuron
from kspike.components.signals import takes_spikes
from kspike.config import SpikformerConfig
from kspike.space import Gene, Genome, SearchSpace
from kspike.space.parse import to_spec

#: Path of a component, "" for the whole network -> why it does not run there.
Refused = Mapping[str, str]


def narrowed(space: SearchSpace, kinds: Iterable[str]) -> SearchSpace:
    """The space without the choices of any gene that one of these (`KINDS`) refuses.

    A choice is judged alone, in every place where its gene acts. The networks of what is left all run there.

    Raises:
        ValueError: nothing is left of a gene, or the base itself is refused; says why.
        ImportError: "nir" needs what writes it; names the extra.
    """
    for kind in kinds:
        space = _narrowed(space, kind, KINDS[kind])
    return space


def _narrowed(space: SearchSpace, kind: str, refusals: Callable[[SpikformerConfig], Refused]) -> SearchSpace:
    genes: list[Gene] = list(space.genes)
    # what all components have comes first: whatever else is chosen is judged with neurons that may stay
    order = ["tau", "neuron", *dict.fromkeys(gene.field for gene in genes)]
    for at in sorted(range(len(genes)), key=lambda i: order.index(genes[i].field)):
        gene = genes[at]
        if gene.field == "tau" and kind == "integer":
            kept, why = [tau for tau in gene.choices if _shifts(tau)], "none is a power of two"
        elif gene.word:
            kept, why = [], ""
            for choice in gene.choices:
                found = [_of_gene(gene, refusals(each)) for each in _networks(space, genes, gene, choice)]
                kept += [] if any(found) else [choice]
                why = next(filter(None, found), why)
        else:
            continue
        if not kept:
            raise ValueError(
                f"constraints={{{kind!r}: True}} leaves no choice of {gene.name} in space {space.name!r}: "
                f"{why.rstrip('.')}."
            )
        genes[at] = dataclasses.replace(gene, choices=tuple(kept))
    left = SearchSpace.from_dict({**space.to_dict(), "genes": to_spec(genes)})
    for genome in (left.smallest(), left.largest()):
        for why in refusals(genome.to_config()).values():
            raise ValueError(f"constraints={{{kind!r}: True}} refuses space {space.name!r}: {why.rstrip('.')}.")
    return left


def _networks(space: SearchSpace, genes: Sequence[Gene], judged: Gene, choice: Any) -> Iterator[SpikformerConfig]:
    """Networks with a choice: the first choice of every other gene, all blocks there, and every width of a head."""
    first = {gene.name: gene.choices[-1 if gene.field == "depth" else 0] for gene in genes} | {judged.name: choice}
    sides = [gene for gene in genes if gene.field in ("embed_dim", "num_heads")]
    for values in itertools.product(*(gene.choices for gene in sides)):
        named = first | {gene.name: value for gene, value in zip(sides, values, strict=True)}
        yield Genome.from_dict(named, space).to_config()


def _of_gene(gene: Gene, refused: Refused) -> str:
    """Why what a gene sets does not run, or ""."""
    for path, why in refused.items():
        field = {"stem": "stem", "decoding": "head"}.get(path.partition("/")[0], path.rpartition("/")[2])
        field = {"attention": "mixer", "down": "downsample"}.get(field.partition("_")[0], field)
        if gene.field in ("neuron", "tau") and not path:
            return why
        if gene.field == field:
            return why
    return ""


# -- NIR --------------------------------------------------------------------------------------------------------------


def nir_refusals(config: SpikformerConfig) -> Refused:
    """What the writer of .nir files refuses of a network, by path; found on one of the smallest widths."""
    fields = {"embed_dim": 8 if config.stages == 1 else (8,) * config.stages, "num_heads": 1, "mlp_ratio": 1}
    return _nir_refusals(config.replace(**fields, stem_channels=None))


@functools.lru_cache(maxsize=1024)
def _nir_refusals(small: SpikformerConfig) -> Refused:
    if importlib.util.find_spec("nir") is None:
        raise ImportError("constraints={'nir': True} asks what .nir files can say: pip install 'kspike[nir]'.")
    from kspike.export.nir_files import graph_of
    from kspike.layers.initializers import undrawn
    from kspike.models import Spikformer

    refused: dict[str, str] = {}
    with undrawn():
        graph_of(Spikformer(small, dtype="float32"), refused)
    everywhere = [path for path in refused if "neurons" in refused[path] or "soft reset" in refused[path]]
    if everywhere:  # of all that fire
        refused[""] = refused[everywhere[0]]
    return refused


# -- shifts and additions ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def integer_refusals(config: SpikformerConfig) -> Refused:
    """Where a network needs more than additions of int8 weights and shifts, by path.

    Every product but the image's takes spikes or levels; time constants and attention's factor are powers of two.
    """
    refused: dict[str, str] = {}
    component = config.neuron_component
    if component.learns_tau:
        refused[""] = f"neurons {component.label} learn their time constant, which is no power of two"
    elif component.states and not component.one_pass:
        refused[""] = f"the step of neurons {component.label} is their own"
    elif not component.states and component.binary is None and component.at_once == 1:
        refused[""] = f"neurons {component.label} give real numbers"
    for at in config.standing:
        path, declared = at.place.path, at.declared
        for name, part in declared.items():
            image = path == "stem" and next(iter(declared)) == name
            products = isinstance(part, (Dense, Conv, DepthwiseConv))
            if products and not image and not takes_spikes(declared, name, at.component.role, config.residual):
                refused[path] = f"{path}/{name} multiplies real numbers: no neuron stands before it"
            if isinstance(part, Neuron) and component.one_pass and not component.constants:
                tau = _tau(config, part.kind, at.place)
                if not _shifts(tau):
                    refused[""] = f"the time constant of {path}/{name}, {tau:g}, is no power of two"
        if any(isinstance(part, MatMul) for part in declared.values()):
            factor = _factor(at, config)
            if factor is None or not _shifts(factor):
                shown = "unknown" if factor is None else f"{factor:g}"
                refused[path] = f"the factor of attention in {path}, {shown}, is no power of two"
    fires = any(isinstance(part, Neuron) for part in config.standing[-1].declared.values())
    if config.residual != "add" and not fires:
        refused["decoding"] = "the linear layer multiplies potentials: head='neuron' gives it spikes"
    return refused


def _shifts(factor: float) -> bool:
    """Whether a multiplication by it, or a division, is a shift."""
    return factor > 0 and math.log2(factor) % 1 == 0


def _tau(config: SpikformerConfig, kind: str, place: Any) -> float:
    value = config.tau[kind]
    return float(value[place.index] if isinstance(value, tuple) else value)


class _Any:
    """Takes whatever a `forward` does with tensors and parts."""

    def _same(self, *_: Any, **__: Any) -> _Any:
        return self

    __getattr__ = __getitem__ = __call__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __truediv__ = _same


class _Sizes(_Any):
    """Writes down the factor of attention."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self.factors: list[Any] = []
        self.numbers = numbers

    def split(self, x: Any, copies: int) -> list[Any]:
        return [x] * copies

    def attend(self, q: Any, k: Any, v: Any, scale: Any = 1.0, chunk: int = 1) -> Any:
        self.factors.append(scale)
        return q

    def of_head(self, function: Callable[[int], float]) -> float:
        return function(self.numbers["width"] // self.numbers["heads"])


def _factor(at: Any, config: SpikformerConfig) -> float | None:
    """What attention multiplies its product by; None where that is not one number."""
    sizes, anything = _Sizes(at.sizes), _Any()
    try:
        at.component.run(anything, anything, sizes, at.settings)
    except Exception:  # a forward of the user's may do anything with what is no tensor
        return None
    factors = {each for each in sizes.factors if isinstance(each, (int, float))}
    return float(factors.pop()) if len(factors) == 1 and len(sizes.factors) else None


#: What may be asked for -> what refuses a network.
KINDS: Mapping[str, Callable[[SpikformerConfig], Refused]] = {"nir": nir_refusals, "integer": integer_refusals}
