"""What signatures say of tensors: no Any where an array is meant, and shapes that a program can read."""

import ast
import typing
from pathlib import Path

import pytest

from kspike import _types, layers, models, ops

PACKAGE = Path(_types.__file__).parent
FILES = [
    *(path for part in ("layers", "models", "supernet") for path in sorted((PACKAGE / part).glob("*.py"))),
    *(PACKAGE / "ops" / name for name in ("contract.py", "dispatch.py", "reference.py")),
]
#: Arguments that are tensors wherever they stand.
ARRAYS = {
    "x", "y", "q", "k", "v", "u", "h", "s", "inputs", "images", "frames", "spikes", "potentials", "kernel", "bias",
    "gamma", "beta", "mean", "variance", "moments", "time_mask", "inverse_tau", "logits", "teacher", "student", "genes",
    "indices",
}  # fmt: skip
#: What also takes data sets, or reads what a user gave.
ANYTHING = {
    ("image_model.py", name) for name in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "as_numbers")
}


@pytest.mark.once
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_array_is_any(path):
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef) or (path.name, node.name) in ANYTHING:
            continue
        if node.returns is not None and ast.unparse(node.returns) == "bool":  # asks whether it is an array
            continue
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            said = ast.unparse(argument.annotation) if argument.annotation else "nothing"
            if argument.arg in ARRAYS and said in ("Any", "Any | None", "nothing"):
                wrong.append(f"{path.name}:{node.lineno} {node.name}({argument.arg}: {said})")
    assert not wrong, f"say which array, as kspike/_types.py does: {wrong}"


@pytest.mark.once
@pytest.mark.parametrize(
    "function, argument, shape",
    [
        (ops.attend, "q", "batch time tokens heads head_dim"),
        (ops.linear, "kernel", "inputs outputs"),
        (ops.lif, "x", "batch time ..."),
        (layers.SSA.call, "inputs", "batch time tokens channels"),
        (layers.SPS.call, "return", "batch time tokens channels"),
        (models.early_exit, "images", "batch *image"),
    ],
)
def test_shapes_can_be_read_when_a_program_runs(function, argument, shape):
    hint = typing.get_type_hints(function, include_extras=True)[argument]
    assert hint.__origin__ is _types.Array and hint.__metadata__ == (shape,)
