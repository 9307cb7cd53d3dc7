"""Reads every import of the package and keeps the order of dependence; nothing is imported here."""

import ast
import fnmatch
import functools
import re
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kspike"

#: Lower may not import higher. Parts of one rank may, but for the pairs below, as long as no circle comes of it.
RANKS = {
    "_batches": 0,
    "_csv": 0,
    "_files": 0,
    "_json": 0,
    "_messages": 0,
    "_named": 0,
    "_names": 0,
    "_process": 0,
    "_lock": 0,
    "_machine": 0,
    "_finite": 0,
    "_lazy": 0,
    "_registry": 0,
    "_stages": 0,
    "_resources": 0,
    "_start": 0,
    "_tables": 0,
    "_types": 0,
    "_npz": 0,
    "_zip": 0,
    "pages": 0,
    "surrogate": 0,
    "components": 0,
    "config": 0,
    "space": 0,
    "ops": 1,
    "data": 1,
    "events": 1,
    "regularizers": 1,
    "layers": 2,
    "metrics": 3,
    "models": 3,
    "convert": 4,
    "cost": 4,
    "export": 4,
    "supernet": 4,
    "training": 5,
    "tuners": 5,
    "zoo": 5,
    "cli": 6,
}
STRANGERS = [("tuners", "zoo"), ("zoo", "tuners"), ("convert", "cost"), ("cost", "convert"), ("convert", "supernet")]

#: Who alone may import what, as patterns of paths inside the package.
ONLY_IN = {
    "torch": ["ops/*", "export/torch_files.py", "export/running.py"],
    "jax": ["ops/*"],
    "jaxlib": ["ops/*"],
    "tensorflow": ["ops/*", "export/running.py"],
    "onnx": ["export/onnx_*.py"],
    "onnxruntime": ["export/running.py"],
    "ai_edge_litert": ["export/running.py"],
    "openvino": ["export/openvino_files.py", "export/running.py"],
    "nir": ["convert/nir.py", "export/nir_*.py"],
    "triton": ["ops/*"],
    "keras_tuner": [
        "tuners/evolution/*",
        "tuners/zero_cost/*",
        "tuners/project/*",
        "tuners/objectives.py",
        "tuners/hypermodel.py",
    ],  # fmt: skip
    "tensorflow_datasets": ["data/*"],
    "array_record": ["data/*"],
    "PIL": ["data/*"],
    "aedat": ["data/events/formats/*"],
    "moocore": ["tuners/engine/evolution/pareto.py"],
    "jinja2": ["pages/render.py"],
    "pandas": ["_tables.py"],
    "typer": ["cli.py", "cli/*"],
    "click": ["cli.py", "cli/*"],
    # Never at all: what opens a file by running it, what belongs to development, what Keras does not promise.
    "pickle": [],
    "dill": [],
    "joblib": [],
    "sklearn": [],
    "pytest": [],
    "keras.src": [],
    "tensorflow.keras": [],
}
#: Not even inside a function: these parts are plain Python.
WITHOUT_KERAS = (
    "config", "pages", "space", "_csv", "_files", "_json", "_lazy", "_lock", "_messages", "_named", "_names",
    "_process", "_registry", "_resources", "_stages", "_start", "_tables", "_types", "_npz", "_zip",
)  # fmt: skip
#: Public classes at the top of the package, and the part each comes from.
CLASSES = {"Spikformer": "models", "SpikformerConfig": "config", "Supernet": "supernet"}
#: Heavy, or of an extra: allowed only inside the function that needs it.
LAZY = (
    "aedat", "array_record", "jinja2", "matplotlib", "nir", "onnx", "onnxruntime", "openvino", "pandas",
    "safetensors", "tensorflow_datasets", "torch",
)  # fmt: skip


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imports(source: str, package: tuple[str, ...]) -> list[tuple[str, int, bool]]:
    """Every (dotted name, line, inside a function) that a file imports; names under TYPE_CHECKING count as any other.

    After a bare `import kspike`, every `kspike.name` counts as an import of that name. `package` is the file's package,
    ("kspike", "zoo"), from which relative imports count.
    """
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno, inside) for alias in node.names if alias.name != "kspike")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kspike":
            found.append((f"kspike.{node.attr}", node.lineno, inside))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) + 1 - node.level], base]).rstrip(".")
            found.extend((f"{base}.{alias.name}", node.lineno, inside) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(source), False)
    return found


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    return imports(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1])


def within(name: str, root: str) -> bool:
    return name == root or name.startswith(root + ".")


@functools.cache
def everything() -> list[tuple[Path, str, int, bool]]:
    return [(path, *entry) for path in modules() for entry in imports_of(path)]


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_part_has_a_rank():
    unknown = sorted({part_of(path) for path in modules()} - set(RANKS))
    assert not unknown, f"new parts of the package need a place in the order of dependence: {unknown}"


def test_imports_point_one_way():
    wrong = []
    for path, name, line, _ in everything():
        if not within(name, "kspike") or name == "kspike.__version__":
            continue
        own, pieces = part_of(path), name.split(".")
        other = pieces[1] if len(pieces) > 1 else ""
        if other == own:
            continue
        if other in CLASSES:
            other = CLASSES[other]
        if other not in RANKS:
            wrong.append(f"{place(path, line)} imports {name}: name the part it comes from")
        elif RANKS[other] > RANKS[own] or (own, other) in STRANGERS:
            wrong.append(f"{place(path, line)} imports {name}: {own} stands before or apart from {other}")
    assert not wrong, "\n".join(wrong)


def test_parts_form_no_circle():
    edges: dict[str, set[str]] = {}
    for path, name, _, _ in everything():
        if within(name, "kspike") and name.count("."):
            other = name.split(".")[1]
            if other in RANKS and other != part_of(path):
                edges.setdefault(part_of(path), set()).add(other)

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges.get(start, ()))
        while todo:
            part = todo.pop()
            if part not in seen:
                seen.add(part)
                todo.extend(edges.get(part, ()))
        return seen

    circles = sorted(part for part in edges if part in reach(part))
    assert not circles, f"parts that import each other in a circle: {circles}"


#: A genome knows its space, and a space makes genomes; what a space is made of is told the space.
ONE_WITH_ITSELF = {
    f"kspike.space.{name}" for name in ("checks", "conditions", "expression", "extremes", "genome", "search_space")
}


def test_modules_form_no_circle():
    """Imports inside functions and for types count: what cannot be read alone cannot be changed alone."""
    names = {}
    for path in modules():
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names[dotted] = path
    edges: dict[str, set[str]] = {name: set() for name in names}
    by_path = {path: name for name, path in names.items()}
    for path, name, _, _ in everything():
        found = next((n for n in (name, name.rpartition(".")[0]) if n in names), None)
        if found and found != by_path[path]:
            edges[by_path[path]].add(found)
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in way:
            circle = way[way.index(name) :]
            return None if set(circle) <= ONE_WITH_ITSELF else circle
        if name in done:
            return None
        for other in sorted(edges[name]):
            if circle := visit(other, (*way, name)):
                return circle
        done.add(name)
        return None

    circles = [circle for name in sorted(edges) if (circle := visit(name, ()))]
    assert not circles, f"modules that import each other: {' -> '.join(circles[0])}"


@pytest.mark.parametrize("root", sorted(ONLY_IN))
def test_outside_packages_stay_in_their_place(root):
    wrong = [
        f"{place(path, line)} imports {name}"
        for path, name, line, _ in everything()
        if within(name, root)
        and not any(fnmatch.fnmatch(path.relative_to(PACKAGE).as_posix(), pattern) for pattern in ONLY_IN[root])
    ]
    assert not wrong, f"{root} may be imported only in {ONLY_IN[root] or 'no file'}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("part", WITHOUT_KERAS)
def test_plain_parts_import_no_keras(part):
    wrong = [
        f"{place(path, line)} imports {name}"
        for path, name, line, _ in everything()
        if part_of(path) == part and (within(name, "keras") or within(name, "keras_tuner"))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_package_that_is_imported_is_declared():
    """Auto-Spikformer's search needs four packages that it names nowhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in ("dev", "docs")}
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    declared = {re.split(r"[<>=!;\[ ]", line, maxsplit=1)[0].replace("-", "_") for line in lines} | {"PIL"}
    assert any(line.startswith("pillow") for line in lines), "PIL is what pillow is imported as"
    roots = {name.split(".")[0] for _, name, _, _ in everything()} - set(sys.stdlib_module_names) - {"kspike"}
    assert roots <= declared, f"imported and declared nowhere: {sorted(roots - declared)}"


def test_no_place_or_device_of_one_machine_is_written_down():
    """Auto-Spikformer's code names its authors' home folder and their second GPU."""
    machine = re.compile(r"^(/(home|root|data|mnt|tmp|Users)/|[A-Z]:\\\\)|\b(cuda|gpu):\d", re.IGNORECASE)
    wrong = [
        place(path, node.lineno)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and machine.search(node.value)
    ]
    assert not wrong, wrong


def test_heavy_packages_are_imported_only_where_used():
    wrong = [
        f"{place(path, line)} imports {name} at its top"
        for path, name, line, inside in everything()
        if not inside and part_of(path) != "ops" and any(within(name, root) for root in LAZY)
    ]
    assert not wrong, "\n".join(wrong)


def test_published_scripts_use_public_names_only():
    wrong = []
    for path in sorted((ROOT / "tuners").glob("*.py")) + sorted((ROOT / "docs" / "examples").glob("*.py")):
        for name, line, _ in imports_of(path):
            if within(name, "kspike") and any(piece.startswith("_") for piece in name.split(".")):
                wrong.append(f"{place(path, line)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_reader_sees_an_import_wherever_it_stands():
    """The rules above mean nothing if an import inside a function, or a relative one, slips past."""
    lines = ["def f():", "    from . import zoo", "    import torch.nn", "from .. import tuners", "import kspike"]
    lines += ["from kspike import data", "x = kspike.cli.main"]
    assert imports("\n".join(lines), ("kspike", "cost")) == [
        ("kspike.cost.zoo", 2, True),
        ("torch.nn", 3, True),
        ("kspike.tuners", 4, False),
        ("kspike.data", 6, False),
        ("kspike.cli", 7, False),
    ]


def test_tests_that_a_page_names_are_there():
    page = (ROOT / "docs" / "defects.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 25
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8") or not test, f"{file}::{test}"
