"""Writes .onnx and .pt2 files by PyTorch's own exporters."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on sizes that a graph fixes: they are meant to be fixed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _counted_from_the_front() -> Iterator[None]:
    """Without axes below 0 in torch.repeat_interleave.

    Its ONNX form adds the rank to the axis in place, and so to every other -1 of the graph: of a reshape to
    (-1, 8, 8, 2) it made (3, 8, 8, 2) (torch 2.13).
    """
    import torch

    original = torch.repeat_interleave

    def repeat(x: Any, repeats: Any, dim: int | None = None, **kwargs: Any) -> Any:
        return original(x, repeats, dim=dim if dim is None or dim >= 0 else dim + x.dim(), **kwargs)

    torch.repeat_interleave = repeat
    try:
        yield
    finally:
        torch.repeat_interleave = original


def _module(model: Any) -> Any:
    import torch

    class Plain(torch.nn.Module):
        """Takes tensors alone: exporters read the names of a Keras model's arguments otherwise."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return model(*inputs)

    return Plain().eval()


def write_onnx(
    model: Any,
    path: Path,
    examples: Sequence[np.ndarray],
    names: Sequence[str],
    opset: int,
    dynamic: bool,
) -> list[tuple[int, ...]]:
    """Writes what a Keras model computes as ONNX; gives the shapes of its outputs for the examples.

    Args:
        model: takes `examples`, of batch 2, one argument each.
        path: of the file.
        names: of the inputs.
        opset: version of ONNX' operators.
        dynamic: whether the batch is free.
    """
    import torch

    axes = {name: {0: "batch"} for name, example in zip(names, examples, strict=True) if len(example) == 2 and dynamic}
    module, inputs = _module(model), tuple(torch.from_numpy(each) for each in examples)
    with _quiet(), _counted_from_the_front(), torch.no_grad():
        torch.onnx.export(
            module, inputs, str(path), input_names=list(names), dynamic_axes=axes, opset_version=opset, dynamo=False
        )
        return [tuple(each.shape) for each in module(*inputs)]


def write_program(model: Any, path: Path, example: np.ndarray, dynamic: bool, notes: Mapping[str, str]) -> None:
    """Writes what a Keras model computes as a program of `torch.export`; notes are its extra files.

    Raises:
        Exception: whatever the exporter raises where it cannot leave the batch free.
    """
    import torch

    free = (({0: torch.export.Dim("batch")},),) if dynamic else None
    with _quiet(), torch.no_grad():
        program = torch.export.export(_module(model), (torch.from_numpy(example),), dynamic_shapes=free, strict=False)
        torch.export.save(program, str(path), extra_files={f"{name}.txt": text for name, text in notes.items()})
