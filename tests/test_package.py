"""What importing the package does, what it makes known to Keras, and where its published folders are found."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest

import kspike
from kspike import _resources, layers

ROOT = Path(__file__).resolve().parents[1]


def python(code: str, **environment: str) -> str:
    """Runs code in a fresh interpreter that sees this checkout; returns what it printed."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: what is meant stands in PYTHONPATH, not in the folder one is in
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


#: One process after the other things that it is asked: each answer is a line.
FRESH = """
import importlib, json, pathlib, sys
import keras
def settings():
    return [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(), keras.config.backend(),
            keras.config.dtype_policy().name, keras.config.is_interactive_logging_enabled()]
def known():
    return sorted(name for name in keras.saving.get_custom_objects() if name.startswith("kspike>"))
before, modules = settings(), set(sys.modules)
import kspike
print(json.dumps([before, settings(), sorted(set(sys.modules) - modules)]))
before = known()
print(kspike.zoo.cards.card is kspike.zoo.card, sorted(kspike.zoo.__all__) == dir(kspike.zoo))
root = pathlib.Path(kspike.__file__).parents[1]
for path in sorted((root / "kspike").rglob("*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    # what belongs to one backend alone: Triton's and TensorFlow's LLVM do not load in either order
    others = tuple(f"kspike.ops.{folder}" for folder in ("torch", "jax", "tensorflow", "gpu"))
    if "_data" not in name and not name.endswith("__main__") and not name.startswith(others):
        importlib.import_module(name)
print(json.dumps([before, known()]))
"""


@pytest.fixture(scope="module")
def fresh():
    """What a fresh interpreter says of importing, of the zoo, and of what is registered: three lines."""
    return python(FRESH).splitlines()[-3:]


@pytest.mark.slow
@pytest.mark.shared
def test_importing_adds_little_to_keras_and_changes_no_setting(fresh):
    before, after, new = json.loads(fresh[0])
    assert after == before
    heavy = {"torch", "jax", "tensorflow", "keras_tuner", "tensorflow_datasets", "aedat", "array_record", "matplotlib"}
    heavy |= {"rich", "typer", "click", "sklearn", "scipy", "pandas", "PIL"}
    # A backend that Keras has loaded already may load more of itself.
    assert not heavy & {name for name in new if "." not in name}
    parts = {name.split(".")[1] for name in new if name.startswith("kspike.")}
    assert {"layers", "models"} <= parts
    assert not parts & {"tuners", "zoo", "data", "training", "convert", "cli"}


@pytest.mark.shared
def test_public_names_are_listed_and_resolve():
    assert set(dir(kspike)) == set(kspike.__all__)
    for name in kspike.__all__:
        assert getattr(kspike, name) is not None


@pytest.mark.slow
@pytest.mark.shared
def test_the_zoo_resolves_its_names_and_modules_when_they_are_used(fresh):
    assert fresh[1] == "True True"
    with pytest.raises(AttributeError, match="no attribute 'lode'; public names: .*load"):
        kspike.zoo.lode  # noqa: B018


@pytest.mark.shared
def test_an_unknown_name_is_an_attribute_error_that_names_the_known():
    with pytest.raises(AttributeError, match="no attribute 'Spikformers'.*SpikformerConfig"):
        kspike.Spikformers  # noqa: B018


@pytest.mark.shared
def test_type_checkers_see_every_public_name():
    import ast

    tree = ast.parse((ROOT / "kspike" / "__init__.py").read_text())
    checking = next(n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING")
    seen = {alias.name for node in checking.body for alias in node.names}
    assert seen | {"__version__"} == set(kspike.__all__)


@pytest.mark.slow
@pytest.mark.shared
def test_a_keras_file_loads_after_nothing_but_import_kspike(tmp_path):
    path = tmp_path / "model.keras"
    inputs = keras.Input((8, 8, 1))
    x = layers.DirectEncoding(timesteps=2)(inputs)
    x = layers.SPS(embed_dim=8, pool=(False, False, False, True))(x)
    x = layers.SpikformerBlock(num_heads=2, mlp_ratio=1.0, neuron="plif")(x)
    keras.Model(inputs, layers.RateDecoding()(x)).save(path)
    code = f"import kspike, keras; print(keras.models.load_model({str(path)!r}).output_shape)"
    assert python(code).splitlines()[-1] == "(None, 8)"


@pytest.mark.slow
@pytest.mark.shared
def test_everything_that_can_be_saved_is_known_after_import(fresh):
    """Whatever any part of the package registers with Keras must be registered by `import kspike` alone."""
    before, after = json.loads(fresh[2])
    assert before and before == after


@pytest.mark.shared
def test_without_a_backend_a_config_works_and_a_model_says_what_to_do():
    """Keras' default is tensorflow, which most users of this package do not have."""
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "tensorflow" else find(name, *a)
import kspike
print(kspike.SpikformerConfig(depth=2).depth)
try:
    kspike.Spikformer
except ImportError as error:
    print(error)
"""
    depth, message = python(code, KERAS_BACKEND="tensorflow").splitlines()[-2:]
    assert depth == "2"
    assert "'tensorflow'" in message and "KERAS_BACKEND" in message


@pytest.mark.shared
def test_a_backend_that_there_is_not_leaves_a_config_and_a_model_says_what_to_do():
    code = """
import kspike
print(kspike.SpikformerConfig(depth=2).depth)
try:
    kspike.Spikformer
except ImportError as error:
    print(error, error.__suppress_context__)
"""
    depth, message = python(code, KERAS_BACKEND="pytorch").splitlines()[-2:]
    assert depth == "2" and message.endswith("True"), "Keras' traceback would stand in front"
    assert "'pytorch'" in message and "did you mean 'torch'" in message and "torch, jax or tensorflow" in message


@pytest.mark.shared
def test_published_folders_are_found_in_the_checkout():
    assert _resources.published("zoo") == ROOT / "zoo"
    assert _resources.published("spaces") == ROOT / "tuners" / "spaces"


@pytest.mark.shared
def test_an_unknown_published_folder_names_the_known():
    with pytest.raises(ValueError, match="'models'.*zoo, spaces"):
        _resources.published("models")


@pytest.mark.shared
def test_a_lost_folder_is_said_to_be_a_broken_installation(tmp_path, monkeypatch):
    # A stranger's zoo/ beside the installed package must not be taken for ours.
    (tmp_path / "zoo").mkdir()
    monkeypatch.setattr(_resources, "__file__", str(tmp_path / "kspike" / "_resources.py"))
    with pytest.raises(FileNotFoundError, match="Install kspike again"):
        _resources.published("zoo")


@pytest.mark.slow
@pytest.mark.once
def test_the_wheel_carries_the_published_folders_as_data(tmp_path):
    build = pytest.importorskip("build", reason="needs the dev extra")
    del build
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"kspike", f"kspike-{kspike.__version__}.dist-info"}
    assert "kspike/py.typed" in names
    for folder, inside in (("zoo", "zoo"), ("tuners/spaces", "spaces")):
        published = {p.relative_to(ROOT / folder).as_posix() for p in (ROOT / folder).rglob("*.json")}
        prefix = f"kspike/_data/{inside}/"
        carried = {n.removeprefix(prefix) for n in names if n.startswith(prefix) and n.endswith(".json")}
        assert published and published <= carried
    assert not [n for n in names if n.startswith("kspike/_data/") and n.endswith(".py")]
    code = """
from kspike._resources import published
from kspike.pages import render
print(published("zoo"), published("spaces"))
print(render("search.html", title="a & b", facts=[], evaluated=0))
"""
    found, page = python(code, PYTHONPATH=str(tmp_path / "installed")).split("\n", 1)
    assert found.split() == [str(tmp_path / "installed" / "kspike" / "_data" / name) for name in ("zoo", "spaces")]
    templates = {f"kspike/pages/templates/{p.name}" for p in (ROOT / "kspike" / "pages" / "templates").iterdir()}
    assert templates and templates <= set(names)
    assert "<h1>a &amp; b</h1>" in page
