"""Components of one's own in other processes: what must be imported there, and what is said where it was not."""

import importlib.util
import json
import os
import sys

import keras
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import kspike
from kspike.cli import app
from kspike.components import elsewhere
from kspike.space import SearchSpace
from tests.components import own
from tests.components.own import temporary  # noqa: F401
from tests.tuners.fakes import FakeSearch, essence

pytestmark = pytest.mark.usefixtures("temporary")

OTHERS = [b for b in ("torch", "jax", "tensorflow") if importlib.util.find_spec(b) and b != keras.backend.backend()]
FIELDS = {"input_shape": (8, 8, 1), "num_classes": 10, "timesteps": 1, "embed_dim": 16, "depth": 1, "num_heads": 2}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `away` in a folder of the path."""
    folder = tmp_path / "src"
    folder.mkdir()
    own.write(folder, "away")
    return own.imported(folder, "away", monkeypatch)


def config(module, **fields):
    return kspike.SpikformerConfig(**{**FIELDS, "mixer": "away_gate", "neuron": module.ALIF(beta=0.1), **fields})


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


# -- what another process imports ---------------------------------------------------------------------------------


def test_modules_are_those_that_are_not_ours(module):
    assert elsewhere.modules(elsewhere.of_config(config(module))) == ("away",)
    assert elsewhere.modules(elsewhere.of_config(kspike.SpikformerConfig())) == ()


def test_what_another_process_could_not_import_is_refused_and_says_what_to_do(module, monkeypatch):
    things = elsewhere.of_config(config(module))
    monkeypatch.setattr(module.Gate, "__module__", "__main__")
    with pytest.raises(ValueError, match=r"mixer 'away_gate' \(Gate\) is defined in the script.*into a module"):
        elsewhere.modules(things)
    monkeypatch.setattr(module.Gate, "__module__", "away")
    module.Gate.__qualname__ = "make.<locals>.Gate"
    with pytest.raises(ValueError, match="mixer 'away_gate'.*inside a function of away"):
        elsewhere.modules(things)
    module.Gate.__qualname__ = "Gate"
    monkeypatch.setattr(module.ALIF, "__module__", "nowhere.at_all")
    with pytest.raises(ValueError, match="'nowhere.at_all' of the neuron 'away_alif'.*cannot be found"):
        elsewhere.modules(things)
    monkeypatch.setattr(module.ALIF, "__module__", "away")
    monkeypatch.setattr(module, "__file__", __file__)  # another file of that name would be imported there
    with pytest.raises(ValueError, match="'away'.*cannot be found"):
        elsewhere.modules(things)


@pytest.mark.skipif(not OTHERS, reason="one backend is installed")
def test_a_class_of_the_script_is_refused_by_publish_before_anything_is_made(module, tmp_path, monkeypatch):
    model = kspike.Spikformer(config(module))
    data = kspike.data.load("digits", batch_size=120)
    monkeypatch.setattr(module.Gate, "__module__", "__main__")
    where = {"directory": tmp_path / "zoo", "license": "cc0-1.0"}
    with pytest.raises(ValueError, match="mixer 'away_gate'.*publish without backends="):
        kspike.zoo.publish(model, "net", data=data, backends=OTHERS[:1], **where)
    assert not (tmp_path / "zoo").exists()
    assert kspike.zoo.publish(model, "net", backends=(), **where).is_dir()  # nobody else needs it


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not OTHERS, reason="one backend is installed")
def test_publish_measures_on_another_backend_what_only_a_module_of_the_users_knows(module, tmp_path):
    data = kspike.data.load("digits", batch_size=120)
    model = kspike.Spikformer(config(module))
    path = kspike.zoo.publish(
        model, "net", data=data, backends=OTHERS[:1], directory=tmp_path / "zoo", license="cc0-1.0"
    )
    rows = kspike.zoo.card(path)["evaluation"]["backends"]
    assert set(rows) == {keras.backend.backend(), OTHERS[0]} and rows[OTHERS[0]]["logits_equal_to_1e-5"] >= 0.98


# -- the command line -----------------------------------------------------------------------------------------------


def commands(group, path=()):
    for name, command in group.commands.items():
        yield from commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]


@pytest.mark.once
def test_every_command_imports_a_module_first():
    found = dict(commands(typer.main.get_command(app)))
    assert {" ".join(path) for path in found} >= {"train", "search", "evaluate", "energy", "zoo list", "zoo publish"}
    for path, command in found.items():
        options = {name: p for p in command.params for name in p.opts}
        assert "--import" in options and options["--import"].is_eager, path


@pytest.mark.once
def test_a_module_that_cannot_be_imported_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_here.py").write_text("import keras\n1 / 0\n")
    (tmp_path / "lacking_here.py").write_text("import not_there_at_all\n")
    for name, said in {
        "not_there_at_all": "there is no module 'not_there_at_all' on the Python path, nor in this folder",
        "broken_here.inner": "cannot be imported: ZeroDivisionError",
        "broken_here": "cannot be imported: ZeroDivisionError: division by zero",
        "lacking_here": "cannot be imported: ModuleNotFoundError: No module named 'not_there_at_all'",
        "src/gates.py": "expected the name of a module, not a path: --import src.gates",
        "gates.py": "expected the name of a module, not a path: --import gates",
        "a b": "expected the name of a module, not a path.",
        "": "expected the name of a module",
    }.items():
        for command in (["zoo", "list"], ["train", "x.json"]):
            result = run(*command, "--import", name)
            assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1, result.stderr
            assert result.stderr.startswith(f"error: --import {name}: ") and said in result.stderr


@pytest.mark.slow
@pytest.mark.once
def test_the_command_trains_what_a_module_of_the_working_folder_knows(module, tmp_path, monkeypatch):
    file = tmp_path / "gate.json"
    file.write_text(json.dumps(config(module).to_dict()))
    own.unregister("away")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path / "src")])
    monkeypatch.chdir(tmp_path / "src")
    options = ["train", file, "--epochs", 1, "--batch-size", 512, "--directory", tmp_path / "run"]
    refused = run(*options)
    assert refused.exit_code == 2 and "Unknown neuron 'away_alif'" in refused.stderr
    assert "--import MODULE" in refused.stderr and not (tmp_path / "run").exists()
    done = run(*options, "--import", "away")
    assert done.exit_code == 0 and kspike.training.load(tmp_path / "run").config.mixer == ("away_gate",), done.stderr


# -- files whose component nobody registered ------------------------------------------------------------------------


@pytest.fixture
def files(module, tmp_path):
    """Files of every kind that name components of `away`, which is forgotten then, and must not be imported."""
    here = tmp_path / "files"
    here.mkdir()
    made = config(module)
    model = kspike.Spikformer(made)
    kspike.zoo.publish(model, "net", directory=here / "zoo", license="cc0-1.0")
    plain = kspike.Spikformer(kspike.SpikformerConfig(**FIELDS))
    kspike.zoo.publish(plain, "plain", directory=here / "zoo", license="cc0-1.0")
    model.save(here / "model.keras")
    space = SearchSpace(kspike.SpikformerConfig(**FIELDS), mixer=("ssa", "away_gate", module.Gate(bias=False)))
    kspike.Supernet(space).save(here / "supernet.keras")
    space.save(here / "space.json")
    (here / "config.json").write_text(json.dumps(made.to_dict()))
    images = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype("float32")
    recipe = kspike.training.Recipe(epochs=1, batch_size=16)
    kspike.training.train(model, (images, np.arange(16) % 10), recipe, directory=here / "run", verbose=0)
    own.unregister("away")
    (tmp_path / "src" / "away.py").write_text("raise SystemExit('imported by the word of a file')")
    return here


@pytest.mark.shared
def test_a_file_that_needs_a_component_which_is_not_registered_says_so_and_imports_nothing(files):
    mixer = r"mixer 'away_gate'.*is known once its module is imported.*--import MODULE"
    neuron = r"neuron 'away_alif'.*is known once its module is imported.*--import MODULE"
    either = f"{mixer}|{neuron}"
    for weights in (True, False):
        with pytest.raises(ValueError, match=f"net.v1 needs the ({either})"):
            kspike.zoo.load("net", weights=weights, directory=files / "zoo")
    assert kspike.zoo.card("net", directory=files / "zoo")["parameters"] > 0
    with pytest.raises(ValueError, match=mixer):
        SearchSpace.load(files / "space.json")
    with pytest.raises(ValueError, match=either):
        kspike.SpikformerConfig.from_dict(json.loads((files / "config.json").read_text()))
    with pytest.raises(ValueError, match=either):
        keras.models.load_model(files / "model.keras")
    with pytest.raises(ValueError, match=mixer):
        keras.models.load_model(files / "supernet.keras")
    with pytest.raises(ValueError, match=either):
        kspike.training.load(files / "run")
    assert "away" not in sys.modules


@pytest.mark.shared
def test_the_list_shows_an_entry_whose_component_is_not_registered_as_unavailable(files):
    with pytest.warns(UserWarning, match="net.v1 is unavailable here.*--import MODULE"):
        table = kspike.zoo.list_models(directory=files / "zoo")
    assert table == ["plain.v1"] and [row["name"] for row in table.damaged] == ["net.v1"]
    assert "unavailable" in str(table) and "damaged" not in str(table)
    shown = run("zoo", "list", "--directory", files / "zoo")
    assert shown.exit_code == 0 and shown.stderr.startswith("unavailable: net.v1: net.v1 needs the ")
    rows = {row["name"]: row for row in json.loads(run("zoo", "list", "--directory", files / "zoo", "--json").stdout)}
    assert "not registered here" in rows["net.v1"]["damaged"] and rows["plain.v1"]["damaged"] is None


@pytest.mark.once
def test_commands_say_which_component_is_not_registered(files):
    for command in (
        ["train", files / "config.json", "--directory", files / "new"],
        ["train", files / "zoo" / "net", "--directory", files / "new"],
        ["search", files / "space.json", "--directory", files / "new"],
        ["evaluate", files / "run"],
        ["evaluate", files / "model.keras"],
        ["energy", files / "zoo" / "net"],
        ["zoo", "verify", files / "zoo" / "net"],
        ["zoo", "publish", files / "run", "other", "--license", "cc0-1.0", "--directory", files / "new"],
    ):
        result = run(*command)
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1, (command, result.stderr)
        assert "away_" in result.stderr and "--import MODULE" in result.stderr
    assert not (files / "new").exists() and "away" not in sys.modules


@pytest.mark.shared
def test_a_search_resumes_where_its_components_are_known_and_is_refused_where_not(module, tmp_path):
    space = SearchSpace(
        kspike.SpikformerConfig(**{**FIELDS, "num_classes": 4}), mixer=("ssa", "away_gate"), embed_dim=(8, 16),
        depth=(1, 2), mlp_ratio=(1, 2), num_heads=(2,),
    )  # fmt: skip
    space.save(tmp_path / "space.json")
    first = FakeSearch(tmp_path, space=space).run()
    assert any("away_gate" in c.genome.to_config().mixer for c in first.state.archive)
    again = FakeSearch(tmp_path, space=tmp_path / "space.json")
    assert essence(again) == essence(first)
    own.unregister("away")
    before = sorted((os.path.relpath(f, tmp_path), f.stat().st_mtime_ns) for f in tmp_path.rglob("*.json*"))
    with pytest.raises(ValueError, match="Unknown mixer 'away_gate'.*--import MODULE"):
        FakeSearch(tmp_path, space=tmp_path / "space.json")
    assert before == sorted((os.path.relpath(f, tmp_path), f.stat().st_mtime_ns) for f in tmp_path.rglob("*.json*"))
