"""The command line as a user meets it: what it prints, where, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import kspike
from kspike.cli import app
from kspike.data.tfds_errors import missing
from kspike.space import SearchSpace
from kspike.tuners.zero_cost import shortlist
from kspike.zoo import sealing
from tests.tuners.fakes import Untrained

ROOT = Path(__file__).resolve().parents[2]
CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=10, timesteps=1, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip


def kspike_command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(*arguments, code=2):
    """Runs it, holds it to a clear end without a traceback, and gives its message."""
    result = kspike_command(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and result.stderr.startswith("error: ")
    return result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run made by the command."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "net.json").write_text(json.dumps(CONFIG.to_dict()))
    arguments = ("train", folder / "net.json", "--epochs", 1, "--batch-size", 120, "--directory", folder / "run")
    result = kspike_command(*arguments)
    assert result.exit_code == 0, result.output
    assert "epoch 1/1" in result.stdout and "kspike evaluate" in result.stdout
    return folder / "run"


@pytest.mark.shared
@pytest.mark.parametrize(
    "command",
    [
        "",
        "search",
        "train",
        "evaluate",
        "energy",
        "predict",
        "export",
        "doctor",
        "zoo",
        "zoo list",
        "zoo show",
        "zoo verify",
        "zoo publish",
        "zoo export",
        "zoo import",
    ],  # fmt: skip
)
def test_every_command_explains_itself(command):
    result = kspike_command(*command.split(), "--help")
    assert result.exit_code == 0 and "Usage" in result.stdout
    assert command == "zoo" or "kspike " in result.stdout.split("Options")[0], "no example"
    assert "()" not in result.stdout  # a default that is none


@pytest.mark.once
def test_a_run_goes_on_where_it_stands_and_refuses_other_settings(run):
    arguments = ("train", run.parent / "net.json", "--batch-size", 120, "--directory", run)
    result = kspike_command(*arguments, "--epochs", 1)
    assert result.exit_code == 0 and "going on after epoch 1 of 1" in result.stdout
    refused = fails(*arguments, "--epochs", 2)
    assert "recipe.epochs" in refused and "or --restart to start anew" in refused and "resume" not in refused


@pytest.mark.once
def test_options_change_a_recipe_file(run, tmp_path):
    recipe = kspike.training.Recipe(epochs=1, batch_size=300, learning_rate=0.5, seed=4)
    recipe.save(tmp_path / "recipe.json")
    arguments = ("train", run.parent / "net.json", "--recipe", tmp_path / "recipe.json", "--learning-rate", 0.01)
    assert kspike_command(*arguments, "--directory", tmp_path / "run").exit_code == 0
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["recipe"] == recipe.replace(learning_rate=0.01).to_dict()


@pytest.mark.shared
def test_train_in_half_precision_says_so_and_publishes_so(run, tmp_path):
    folder = tmp_path / "half"
    arguments = ("train", run.parent / "net.json", "--epochs", 1, "--batch-size", 300, "--directory", folder)
    assert kspike_command(*arguments, "--precision", "mixed_bfloat16").exit_code == 0
    assert json.loads((folder / "settings.json").read_text("utf-8"))["precision"] == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"  # of the process, as it was
    assert "precision" in fails(*arguments)  # another precision is another run
    published = ("zoo", "publish", folder, "net", "--license", "cc0-1.0", "--half", "--directory", tmp_path / "zoo")
    assert kspike_command(*published, "--reproduce", "make net").exit_code == 0
    card = kspike.zoo.card(tmp_path / "zoo" / "net.v1")
    assert card["reproduce"] == "make net"
    assert card["training"]["seconds"] == round(kspike.training.read_history(folder)[0]["seconds"])
    assert card["training"]["precision"] == "mixed_bfloat16" and card["weights_dtype"] == "float16"
    (epoch,) = kspike.training.read_history(folder)
    assert card["training"]["history"] == {name: [round(epoch[name], 6)] for name in ("accuracy", "val_accuracy")}


def test_evaluate_agrees_with_keras(run):
    result = kspike_command("evaluate", run, "--split", "validation", "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    validation = kspike.data.load("digits").validation
    logits = kspike.training.load(run).predict(validation, verbose=0)
    assert row["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == validation.labels))
    assert row["energy_mj"] > 0 and row["images"] == validation.num_examples
    assert row["parameters"] == kspike.cost.parameters(CONFIG)
    shown = kspike_command("evaluate", run, "--split", "validation").stdout
    assert f"{100 * row['accuracy']:.2f} %" in shown


@pytest.mark.shared
def test_evaluate_takes_a_keras_file_of_ours_and_refuses_another(run, tmp_path):
    kspike.training.load(run).save(tmp_path / "net.keras")
    rows = [json.loads(kspike_command("evaluate", place, "--json").stdout) for place in (run, tmp_path / "net.keras")]
    assert rows[1] == rows[0] | {"model": str(tmp_path / "net.keras")}
    assert '"energy_mj"' in kspike_command("energy", tmp_path / "net.keras", "--limit", 8, "--json").stdout
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(tmp_path / "other.keras")
    assert "holds a Sequential; expected a kspike.Spikformer" in fails("evaluate", tmp_path / "other.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "net.keras").read_bytes()[:500])
    assert "is no model that Keras can read" in fails("energy", tmp_path / "cut.keras")
    assert "no such file" in fails("evaluate", tmp_path / "none.keras")
    assert "a SpikformerConfig as a JSON file" in fails("train", tmp_path / "net.keras")


@pytest.mark.once
def test_a_path_to_something_else_is_refused_with_all_that_was_expected(tmp_path):
    (tmp_path / "png" / "train").mkdir(parents=True)
    refused = fails("train", tmp_path / "png" / "train")
    assert (
        "an architecture: a SpikformerConfig as a JSON file, the folder of a run, an entry of the zoo, or one"
        in refused
    )
    assert "images are chosen by --data" in refused
    for command in ("evaluate", "energy"):
        assert "the folder of a run (kspike train), a .keras file, or" in fails(command, tmp_path / "png" / "train")
    assert "which is not there" in fails("evaluate", tmp_path / "png" / "test")


@pytest.mark.once
@pytest.mark.parametrize(
    "command",
    [
        "train {run}.json", "search digits", "evaluate {run}", "energy {run}", "zoo verify auto_spikformer_digits",
        "zoo publish {run} net --license mit",
    ],
)  # fmt: skip
def test_a_data_set_that_is_not_there_is_fetched_by_an_option(command, run, tmp_path, monkeypatch):
    (run.parent / "run.json").write_text((run.parent / "net.json").read_text())

    def load(name, *_, download=False, data_dir=None, **__):
        raise ValueError("fetched") if download else missing(name, Path(data_dir))

    monkeypatch.setattr(kspike.data.loading, "load", load)
    line = [*command.format(run=run).split(), "--data", "cifar10", "--data-dir", tmp_path]
    said = fails(*line, code=1)
    assert "pass --data-dir or" in said and "pass --download, or" in said and "download=" not in said
    assert fails(*line, "--download") == "error: fetched\n"


@pytest.mark.once
def test_publish_list_show_verify(run, tmp_path):
    zoo = tmp_path / "zoo"
    result = kspike_command("zoo", "publish", run, "tiny_digits", "--license", "apache-2.0", "--directory", zoo)
    assert result.exit_code == 0, result.output
    rows = json.loads(kspike_command("zoo", "list", "--directory", zoo, "--json").stdout)
    assert [row["name"] for row in rows] == ["tiny_digits.v1"]
    assert "tiny_digits.v1" in kspike_command("zoo", "list", "tiny*", "--directory", zoo).stdout
    card = json.loads(kspike_command("zoo", "show", zoo / "tiny_digits", "--json").stdout)
    assert card["training"]["recipe"]["epochs"] == 1
    shown = kspike_command("zoo", "show", "tiny_digits", "--directory", zoo).stdout
    assert f"{card['parameters']:,}" in shown and "apache-2.0" in shown
    verified = kspike_command("zoo", "verify", zoo / "tiny_digits")
    assert verified.exit_code == 0 and "agrees with its card" in verified.stdout
    every = kspike_command("zoo", "verify", "--all", "--directory", zoo)
    assert every.exit_code == 0 and "tiny_digits.v1" in every.stdout and "tiny_digits.v1 on" in every.stderr
    assert "--all" in kspike_command("zoo", "verify", "--directory", zoo).stderr
    entry = zoo / "tiny_digits.v1" / "metadata.json"
    card["evaluation"] |= {"accuracy": 0.5, "correct": 180}  # one epoch gets nowhere near
    card["accuracy"] = 0.5
    entry.write_text(json.dumps(sealing.seal(card)))  # an author who promises too much writes hashes that fit
    assert kspike_command("zoo", "verify", zoo / "tiny_digits").exit_code == 1
    assert kspike_command("zoo", "verify", "--all", "--directory", zoo).exit_code == 1


@pytest.mark.slow if keras.backend.backend() == "torch" else pytest.mark.proof  # a search compiled under masks
def test_search_leaves_what_the_next_command_takes(tmp_path):
    space = SearchSpace(
        kspike.SpikformerConfig(input_shape=(8, 8, 1), num_heads=2, stem_pool=(False, False, True, True)),
        embed_dim=(8, 16),
        depth=(1, 2),
        timesteps=(1, 2),
        v_threshold=(0.6, 1.0),
    ).save(tmp_path / "tiny.json")
    small = ("--epochs", 1, "--generations", 1, "--population", 3, "--parents", 2, "--batch-size", 250)
    result = kspike_command("search", space, *small, "--directory", tmp_path, "--project", "p")
    assert result.exit_code == 0, result.output
    best = kspike.SpikformerConfig.from_dict(json.loads((tmp_path / "p" / "best.json").read_text()))
    record = json.loads((tmp_path / "p" / "search.json").read_text())
    assert len(record["trials"]) == 6 and (tmp_path / "p" / "candidates.csv").is_file()
    assert best.input_shape == (8, 8, 1)
    project = ("--directory", tmp_path, "--project", "p")
    assert "--population: 3 in the project, 4 now" in fails("search", space, *small, "--population", 4, *project)
    # more generations go on where the search ended
    assert kspike_command("search", space, *small, "--generations", 2, "--report", *project).exit_code == 0
    assert "Genes that matter" in (tmp_path / "p" / "report.html").read_text()
    assert len(json.loads((tmp_path / "p" / "search.json").read_text())["trials"]) == 9


@pytest.mark.shared
def test_zero_cost_search_ranks_a_whole_space_and_leaves_what_the_next_command_takes(tmp_path):
    window = ("--min-parameters", 11_000_000, "--max-parameters", 12_000_000)
    command = ("search", "autost_small", "--method", "zero-cost", *window, "--directory", tmp_path, "--project", "p")
    for _ in range(2):  # run again, it is found done
        result = kspike_command(*command)
        assert result.exit_code == 0, result.output
        assert "exact: every network was ranked" in " ".join(result.stdout.split())
        assert "--data NAME (the space is for 32x32x3 images of 100 classes)" in result.stdout
    best = kspike.SpikformerConfig.from_dict(json.loads((tmp_path / "p" / "best.json").read_text()))
    assert (best.embed_dim, best.depth, best.mlp_ratio) == (512, 3, (3, 3, 3))
    record = json.loads((tmp_path / "p" / "search.json").read_text())
    assert record["method"] == "zero-cost" and len(record["trials"]) == 10
    assert (tmp_path / "p" / "candidates.csv").is_file()
    result = kspike_command(*command, "--report")
    assert result.exit_code == 0 and "What was ranked" in (tmp_path / "p" / "report.html").read_text()
    assert "give --energy with it" in fails(*command, "--plot")
    assert "tie_break: 'attention' in the project, 'params' now" in fails(*command, "--tie-break", "params")
    assert "did you mean 'zero-cost'" in fails("search", "digits", "--method", "zerocost")


@pytest.mark.shared
def test_zero_cost_search_measures_energy_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(shortlist, "evaluate", Untrained())
    options = ("--shortlist", 6, "--trials", 3, "--directory", tmp_path, "--project", "e")
    result = kspike_command("search", "digits", "--method", "zero-cost", "--energy", "--report", "--plot", *options)
    assert result.exit_code == 0, result.output
    assert "Pareto front of the shortlist" in result.stdout
    assert "Score and expected energy" in (tmp_path / "e" / "report.html").read_text()
    assert (tmp_path / "e" / "pareto.png").stat().st_size > 1000
    assert len((tmp_path / "e" / "candidates.csv").read_text().splitlines()) == 7


@pytest.mark.once
def test_options_that_the_method_does_not_read_are_refused(tmp_path):
    search = ("search", "digits", "--directory", tmp_path)
    zero = (*search, "--method", "zero-cost")
    assert "zero-cost does not read --epochs, --beta" in fails(*zero, "--epochs", 3, "--beta", 0.1)
    assert "zero-cost does not read --augment" in fails(*zero, "--augment", "none")
    assert "evolution does not read --energy, --trials" in fails(*search, "--energy", "--trials", 3)
    assert not list(tmp_path.iterdir())
    assert "give --energy with it" in fails(*zero, "--shortlist", 9)


@pytest.mark.shared
def test_mistakes_are_named_in_one_line(run, tmp_path):
    assert "Did you mean 'cifar10'" in fails("evaluate", run, "--data", "cifar1O")
    assert "published:" in fails("search", "digit")
    assert "cannot be read" in fails("train", tmp_path / "none.json")
    assert "unknown augment" in fails("train", run.parent / "net.json", "--augment", "standart")
    assert "settings.json" in fails("zoo", "publish", tmp_path, "x", "--license", "mit") or "none" in fails(
        "zoo", "publish", tmp_path, "x", "--license", "mit"
    )
    (tmp_path / "bad.json").write_text('{"embed_dimm": 3}')
    assert "embed_dim" in fails("train", tmp_path / "bad.json")
    assert "--weights needs an entry" in fails("train", run.parent / "net.json", "--weights")
    assert "no folder" in fails("zoo", "list", "--directory", tmp_path / "none")


@pytest.mark.shared
def test_a_wrong_option_exits_with_2_and_debug_shows_the_traceback(tmp_path):
    assert kspike_command("train", "x.json", "--epoch", "three").exit_code == 2
    assert isinstance(kspike_command("--debug", "search", "digit").exception, ValueError)


@pytest.mark.shared
def test_an_interrupt_exits_with_130(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(kspike.training, "train", interrupted)
    result = kspike_command("train", run.parent / "net.json", "--directory", run)
    assert result.exit_code == 130 and "goes on where this stopped" in result.stderr


@pytest.mark.slow
def test_a_process_of_its_own(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "kspike.cli", "search", "digit"], env=environment, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: Unknown search space 'digit'")


def test_export_writes_a_file_and_says_what_was_compared(run, tmp_path):
    pytest.importorskip("nir", reason="pip install 'kspike[nir]'")
    said = fails("export", run, tmp_path / "net.nir")
    assert "NIR cannot say block_0/attention" in said and not list(tmp_path.iterdir())
    assert "ends in one of .onnx" in fails("export", run, tmp_path / "net.onx")


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch writes it, the same way on each backend")
def test_export_prints_its_report(run, tmp_path):
    pytest.importorskip("onnx", reason="pip install 'kspike[onnx]'")
    result = kspike_command("export", run, tmp_path / "net.onnx", "--split", "validation", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["written"]["images"] == 285 and found["written"]["classes_changed"] == 0
    assert kspike_command("export", run, tmp_path / "net.onnx", "--no-overwrite").exit_code == 2


@pytest.mark.once
def test_a_name_near_an_architecture_says_so():
    from kspike.cli import starting

    with pytest.raises(ValueError, match=r"architectures\(\) \(did you mean 'qkformer_\w+'\?\)"):
        starting.read("qkformer", None, False, None)
