"""Finishes .onnx files: names outputs, takes out those that are for the check alone, writes notes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kspike.export.table import CHECKED, FILE


def as_json(value: Any) -> str:
    """A note that programs read."""
    return json.dumps(value)


def named(
    path: Path,
    outputs: Sequence[str],
    inputs: Mapping[str, Sequence[int | None]],
    shapes: Sequence[Sequence[int | None]],
) -> Any:
    """The file's model, its outputs called by these names, the sizes of inputs and outputs written down.

    Args:
        path: of the file.
        outputs: names.
        inputs: name -> sizes; None is the batch.
        shapes: the outputs' sizes.

    Raises:
        ValueError: another number of outputs.
    """
    import onnx

    model = onnx.load(str(path))
    found = [each.name for each in model.graph.output]
    if len(found) != len(outputs):
        raise ValueError(f"Expected {len(outputs)} outputs of {path.name}; the exporter wrote {len(found)}.")
    renamed = dict(zip(found, outputs, strict=True))
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name in renamed:
                    names[i] = renamed[name]
    for each in model.graph.output:
        each.name = renamed.get(each.name, each.name)
    # what the exporter inferred knows no size: the checker, and runtimes, infer better
    del model.graph.value_info[:]
    for each, sizes in zip(model.graph.output, shapes, strict=True):
        _sized(each, sizes)
    for each in model.graph.input:
        _sized(each, inputs[each.name])
    return model


def _sized(value: Any, sizes: Sequence[int | None]) -> None:
    """Writes the sizes of a tensor; None is the batch."""
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in sizes:
        dim = shape.dim.add()
        if size is None:
            dim.dim_param = "batch"
        else:
            dim.dim_value = size


def without(model: Any, keep: Sequence[str]) -> Any:
    """A copy with these outputs alone, and with the nodes and weights that they take."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    outputs = [each for each in graph.output if each.name in keep]
    del graph.output[:]
    graph.output.extend(outputs)
    wanted = set(keep)
    nodes = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(name for name in node.input if name)
            for attribute in node.attribute:
                wanted.update(_outer(attribute.g))
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(nodes)]
    del graph.node[:]
    graph.node.extend(kept)
    weights = [each for each in graph.initializer if each.name in wanted]
    weights = [onnx.TensorProto.FromString(each.SerializeToString()) for each in weights]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    return made


def _outer(graph: Any) -> set[str]:
    """Names that a subgraph takes, its own among them: more than are needed are kept, never fewer."""
    return {name for node in graph.node for name in node.input if name}


def write(model: Any, path: Path, notes: Mapping[str, str]) -> None:
    """Checks a model and writes it, with notes as its metadata.

    Raises:
        RuntimeError: onnx's own check refuses it.
    """
    import onnx

    del model.metadata_props[:]
    for name, text in notes.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = f"kspike.{name}", text
    model.producer_name = "kspike"
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise RuntimeError(f"The graph that was written is no ONNX: {error}") from error
    onnx.save(model, str(path))


def finish(checked: Any, folder: Path, notes: Mapping[str, str], keep: Sequence[str] = ("logits",)) -> None:
    """Writes the file to be checked, and the one as it is shipped, with the outputs to keep alone."""
    write(checked, folder / f"{CHECKED}.onnx", notes)
    write(without(checked, keep), folder / f"{FILE}.onnx", notes)
