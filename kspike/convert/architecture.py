"""Recognises which code base tensors come from, whether they are complete, and which network they describe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kspike._registry import nearest
from kspike.convert.checkpoint import LISTED, some
from kspike.convert.namings import NAMINGS, NEURON_TENSOR, NORM_TENSORS, Naming, Unit
from kspike.convert.stored import cut


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network's architecture as read from names and shapes; `bias` says which products have a bias."""

    naming: Naming
    depth: int
    in_channels: int
    stem: tuple[int, int, int, int]
    hidden: tuple[int, ...]
    num_classes: int
    bias: Mapping[str, bool]
    learned_tau: bool

    @property
    def embed_dim(self) -> int:
        return self.stem[3]


def recognise(tensors: Mapping[str, Any]) -> Architecture:
    """Reads the architecture from names and shapes; checks values where the shapes fit.

    Args:
        tensors: arrays, or `Stored` ones.

    Raises:
        ValueError: every problem at once: unknown and missing names, shapes that do not fit, NaN.
    """
    naming = _naming(tensors)
    depth = len({match for name in tensors if (match := _block_of(naming, name)) is not None})
    bias = {group: any(f"{path}.bias" in tensors for path in paths) for group, paths in _biased(naming, depth).items()}
    learned_tau = any(f"{neuron}.{NEURON_TENSOR}" in tensors for neuron in neurons(naming, depth))
    expected = _names(naming, depth, bias, learned_tau)
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected and not _unused(naming, name)]
    architecture = None if missing else _measure(naming, depth, bias, learned_tau, tensors)
    misshapen = {} if architecture is None else _misshapen(architecture, tensors)
    fitting = [name for name in expected if name in tensors and name not in misshapen]
    problems: dict[str, list[str]] = {
        "missing": missing,
        # only for those that are shown: a file may hold a hundred thousand names
        "unknown": [f"{cut(name)}{nearest(name, missing)}" for name in unknown[:LISTED]] + unknown[LISTED:],
        "of another shape": [f"{name} is {found}" for name, found in misshapen.items()],
        "not finite (NaN or infinity)": [name for name in fitting if not np.isfinite(float32(tensors[name])).all()],
        "negative, for a variance": [
            name for name in fitting if name.endswith("running_var") and (float32(tensors[name]) < 0).any()
        ],
    }
    if architecture is None or any(problems.values()):
        raise ValueError(_report(naming, problems))
    return architecture


def units(naming: Naming, depth: int) -> list[tuple[str, Unit]]:
    """(group, unit) of the whole network, with full names; groups are stem, rpe, qkv, proj, fc1, fc2."""
    out = [("stem", unit) for unit in naming.stem] + [("rpe", naming.rpe)]
    for block in range(depth):
        out += [("qkv", _in_block(naming, block, unit)) for unit in naming.qkv]
        out += [(group, _in_block(naming, block, getattr(naming, group))) for group in ("proj", "fc1", "fc2")]
    return out


def neurons(naming: Naming, depth: int) -> list[str]:
    """Names of all neurons."""
    return [unit.neuron for _, unit in units(naming, depth)] + [
        naming.block.format(block) + naming.attention for block in range(depth)
    ]


def _in_block(naming: Naming, block: int, unit: Unit) -> Unit:
    prefix = naming.block.format(block)
    return Unit(prefix + unit.product, prefix + unit.norm, prefix + unit.neuron, unit.axes)


def _block_of(naming: Naming, name: str) -> str | None:
    match = re.match(re.escape(naming.block).replace(r"\{\}", r"(\d{1,4})"), name)
    return match[1] if match else None


def _unused(naming: Naming, name: str) -> bool:
    return name.endswith("num_batches_tracked") or any(re.fullmatch(pattern, name) for pattern in naming.unused)


def _biased(naming: Naming, depth: int) -> dict[str, list[str]]:
    """The products of each of the config's three bias switches."""
    groups = {"qkv": ("qkv",), "proj": ("proj",), "mlp": ("fc1", "fc2")}
    everything = units(naming, depth)
    return {key: [p.product for group, p in everything if group in members] for key, members in groups.items()}


def _names(naming: Naming, depth: int, bias: Mapping[str, bool], learned_tau: bool) -> dict[str, None]:
    """Every tensor such a network has, in order."""
    with_bias = {path for group, paths in _biased(naming, depth).items() if bias[group] for path in paths}
    out: list[str] = []
    for _, unit in units(naming, depth):
        out.append(f"{unit.product}.weight")
        if unit.product in with_bias:
            out.append(f"{unit.product}.bias")
        out += [f"{unit.norm}.{tensor}" for tensor in NORM_TENSORS]
    if learned_tau:
        out += [f"{neuron}.{NEURON_TENSOR}" for neuron in neurons(naming, depth)]
    return dict.fromkeys([*out, f"{naming.head}.weight", f"{naming.head}.bias"])


def _naming(tensors: Mapping[str, Any]) -> Naming:
    """The code base with most of the names, ties broken by kernel shapes."""

    def score(naming: Naming) -> tuple[int, int]:
        known = _names(naming, 1, {"qkv": True, "proj": True, "mlp": True}, True)
        generic = [re.sub(r"^(blocks?)\.\d+\.", r"\1.0.", name) for name in tensors]
        axes = {f"{unit.product}.weight": unit.axes for _, unit in units(naming, 1)}
        fitting = sum(
            plain in axes and getattr(tensors[name], "ndim", -1) == 2 + axes[plain]
            for name, plain in zip(tensors, generic, strict=True)
        )
        return sum(name in known for name in generic), fitting

    best = max(NAMINGS, key=score)
    if score(best)[0] == 0 or not any(_block_of(best, name) for name in tensors):
        raise ValueError(
            f"No Spikformer is known by these names: {some([cut(name) for name in tensors])}. Known: "
            + "; ".join(f"{naming.name} ({naming.block.format(0)}{naming.qkv[0].product}.weight)" for naming in NAMINGS)
            + ". Rename the tensors to one of these, or choose another entry of the file by which=."
        )
    return best


def _measure(
    naming: Naming, depth: int, bias: Mapping[str, bool], learned_tau: bool, tensors: Mapping[str, Any]
) -> Architecture:
    def width(name: str, axis: int = 0) -> int:
        shape = np.shape(tensors[f"{name}.weight"])
        return int(shape[axis]) if len(shape) > axis else 0

    return Architecture(
        naming=naming,
        depth=depth,
        in_channels=width(naming.stem[0].product, 1),
        stem=tuple(width(unit.product) for unit in naming.stem),  # type: ignore[arg-type]
        hidden=tuple(width(_in_block(naming, block, naming.fc1).product) for block in range(depth)),
        num_classes=width(naming.head),
        bias=bias,
        learned_tau=learned_tau,
    )


def float32(tensor: Any) -> np.ndarray:
    """The values of a tensor as a model keeps them."""
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is listed
        return np.asarray(tensor).astype("float32", copy=False)


def _misshapen(a: Architecture, tensors: Mapping[str, Any]) -> dict[str, str]:
    """Names of tensors whose shapes do not fit the others, with the expected shape."""
    dim, stages = a.embed_dim, (a.in_channels, *a.stem)
    sizes = [(stages[i], stages[i + 1]) for i in range(4)] + [(dim, dim)]
    for hidden in a.hidden:
        sizes += [(dim, 3 * dim // len(a.naming.qkv))] * len(a.naming.qkv) + [(dim, dim), (dim, hidden), (hidden, dim)]
    expected: dict[str, tuple[int, ...]] = {}
    for (group, unit), (inputs, outputs) in zip(units(a.naming, a.depth), sizes, strict=True):
        kernel = (3, 3) if group in ("stem", "rpe") else (1,) * unit.axes
        expected[f"{unit.product}.weight"] = (outputs, inputs, *kernel)
        expected[f"{unit.product}.bias"] = (outputs,)
        expected.update({f"{unit.norm}.{tensor}": (outputs,) for tensor in NORM_TENSORS})
    expected |= {f"{neuron}.{NEURON_TENSOR}": () for neuron in neurons(a.naming, a.depth)}
    expected |= {f"{a.naming.head}.weight": (a.num_classes, dim), f"{a.naming.head}.bias": (a.num_classes,)}
    return {
        name: f"{np.shape(tensors[name])}, expected {shape}"
        for name, shape in expected.items()
        if name in tensors and (np.shape(tensors[name]) != shape or 0 in shape)
    }


def _report(naming: Naming, problems: Mapping[str, list[str]]) -> str:
    lines = [f"These tensors were taken for the naming {naming.name!r}, but do not make a whole Spikformer of it."]
    lines += [f"  {kind} ({len(found)}): {some(found)}" for kind, found in problems.items() if found]
    lines.append("Save the whole state dict of an unchanged model; rename or drop what was added to it.")
    return "\n".join(lines)
