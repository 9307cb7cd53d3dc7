"""Runs the scripts that the documentation shows, as a user would: each as it stands, in an empty folder."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests import processes
from tests.convert import reference
from tests.helpers import BACKEND

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def run(script: Path, folder: Path, *arguments: str) -> str:
    """Runs a script in a folder, its epochs of a few steps; returns what it printed, or fails with it."""
    done = processes.start(script, *arguments, folder=folder, short=True).ended()
    assert done.returncode == 0, f"{script.name}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


#: Searches as the page has them run in `make proof`; in `make test`, on torch, with fewer networks.
FEWER = [pytest.param(False, marks=pytest.mark.proof, id="as it stands")]
if BACKEND == "torch":  # elsewhere every network is compiled
    FEWER.append(pytest.param(True, marks=pytest.mark.slow, id="fewer networks"))


def with_fewer(script: Path, folder: Path, **changes: tuple[int, int]) -> Path:
    """A copy of a script with some of its numbers changed."""
    text = script.read_text()
    for name, (old, new) in changes.items():
        assert text.count(f"{name}={old},") == 1, f"{script.name} has no {name}={old}"
        text = text.replace(f"{name}={old},", f"{name}={new},")
    copy = folder / script.name
    copy.write_text(text)
    return copy


@pytest.mark.shared
def test_pages_show_the_scripts_themselves():
    """A page takes a script in by name, so that what it shows is the file that is run here."""
    shown = {name for page in PAGES for name in re.findall(r'--8<-- "([^"]+)"', page.read_text())}
    assert {path.name for path in EXAMPLES} <= shown


@pytest.mark.shared
@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_code_on_pages_is_python(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        if "--8<--" not in block:
            compile(block, page.name, "exec")


def blocks(page: str) -> list[str]:
    """The Python code of a page, block by block, with the scripts that it takes in."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    script = lambda name: (ROOT / "docs" / "examples" / name[1]).read_text()
    return [re.sub(r'--8<-- "([^"]+)"', script, block) for block in found]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "layers.md",
        "how-to/teacher.md",
        pytest.param("neuron.md", marks=pytest.mark.skipif(BACKEND != "torch", reason="shows torch.func")),
        # elsewhere each components.check compiles several networks
        pytest.param("components.md", marks=[] if BACKEND == "torch" else [pytest.mark.proof]),
    ],
)
def test_code_of_a_page_runs_in_order(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page)))
    run(script, tmp_path)


@pytest.mark.shared
@pytest.mark.slow
def test_ten_minutes_and_fine_tuning(tmp_path):
    """One process: the second page goes on with the pictures of the first."""
    text = "\n".join(blocks("ten_minutes.md") + blocks("tutorials/fine_tuning.md"))
    assert text.count("range(600)") == 1
    script = tmp_path / "page.py"
    script.write_text(text.replace("range(600)", "range(120)"))
    shown = run(script, tmp_path)
    assert "('circle', 'cross', 'square') (32, 32, 3)" in shown and "fresh: head" in shown
    assert re.search(r"^\[\(\d, '(circle|cross|square)', ", shown, re.M)
    assert {each.name for each in (tmp_path / "runs").iterdir()} == {"shapes", "fine"}
    assert (tmp_path / "energy.html").is_file() and (tmp_path / "my_zoo" / "shapes.v1" / "README.md").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_pages_on_ones_own_parts(tmp_path):
    """All in one process: what they register stands side by side."""
    pages = sorted(path.name for path in (ROOT / "docs" / "how-to").glob("own_*.md"))
    assert {"own_neuron.md", "own_mixer.md", "own_surrogate.md", "own_convention.md"} <= set(pages)
    assert {"own_score.md", "own_constraint.md"} <= set(pages)
    script = tmp_path / "page.py"
    script.write_text("\n".join("\n".join(blocks(f"how-to/{page}")) for page in pages))
    run(script, tmp_path)


@pytest.mark.shared
@pytest.mark.slow
def test_layers(tmp_path):
    run(ROOT / "docs" / "examples" / "layers.py", tmp_path)
    assert (tmp_path / "mine.keras").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_firing(tmp_path):
    run(ROOT / "docs" / "examples" / "firing.py", tmp_path)
    assert "firing_rate/stem/neuron_0" in (tmp_path / "firing.csv").read_text().splitlines()[0]


@pytest.mark.proof  # two epochs of training in a process of its own
def test_events(tmp_path):
    assert "after frame 6: " in run(ROOT / "docs" / "examples" / "events.py", tmp_path)


@pytest.mark.shared
@pytest.mark.slow
def test_spiking_cnn(tmp_path):
    shown = run(ROOT / "docs" / "examples" / "spiking_cnn.py", tmp_path)
    assert "firing_rate" in shown and "head" in shown and "Reading(step=4" in shown
    assert (tmp_path / "spiking_cnn.keras").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_train(tmp_path):
    assert "accuracy" in run(ROOT / "docs" / "examples" / "train.py", tmp_path)


@pytest.mark.parametrize("fewer", FEWER)
def test_search_and_search_again(fewer, tmp_path):
    script = ROOT / "docs" / "examples" / "search.py"
    if fewer:
        script = with_fewer(script, tmp_path, generations=(3, 1), population_size=(12, 4))
    first = run(script, tmp_path)
    front = [line for line in first.splitlines() if line.endswith(tuple("0123456789")) and " mJ  " in line]
    assert front, first[-2000:]
    assert (tmp_path / "my_zoo" / "my_spikformer_digits.v1" / "model.weights.h5").is_file()
    if fewer:  # that a finished project is found is `tests/tuners/test_resume.py`'s
        return
    # Run again, the project is found finished: the same front, and a new version beside the old.
    again = run(script, tmp_path)
    assert [line for line in again.splitlines() if line in front] == front
    assert (tmp_path / "my_zoo" / "my_spikformer_digits.v2").is_dir()


@pytest.mark.shared
@pytest.mark.slow
def test_supernet(tmp_path):
    run(ROOT / "docs" / "examples" / "supernet.py", tmp_path)
    assert (tmp_path / "mine.json").is_file()


@pytest.mark.parametrize("fewer", FEWER[:1])  # the search above is the script that `make test` runs
def test_training_free(fewer, tmp_path):
    script = ROOT / "docs" / "examples" / "training_free.py"
    if fewer:
        script = with_fewer(script, tmp_path, shortlist=(20, 4), max_trials=(5, 2))
    shown = run(script, tmp_path)
    assert shown.startswith("13060693980\n") and "11,864,764" in shown
    assert ("shortlist 4/4" if fewer else "shortlist 20/20") in shown


@pytest.mark.proof  # the page of components, which shows it, runs in `make test`
def test_components(tmp_path):
    shown = run(ROOT / "docs" / "examples" / "components.py", tmp_path)
    assert "block_0/attention/gate_neuron" in shown and "block_1/attention/qkv" in shown
    assert "mixer" in shown and (tmp_path / "my_zoo" / "my_gate_digits.v1" / "model.weights.h5").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_energy(tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks("energy.md")[:1] + [b for b in blocks("energy.md") if "report.under" in b]))
    shown = run(script, tmp_path)
    assert "9324730" in shown and "block_0/attention/qkv" in shown
    assert (tmp_path / "energy.csv").is_file() and (tmp_path / "energy.html").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_zoo(tmp_path):
    assert "auto_spikformer_digits" in run(ROOT / "docs" / "examples" / "zoo.py", tmp_path)


@pytest.mark.shared
@pytest.mark.slow
def test_own_data(tmp_path):
    shown = run(ROOT / "docs" / "examples" / "own_data.py", tmp_path)
    assert "fresh: head" in shown and ("'ant'" in shown or "'bee'" in shown)
    assert (tmp_path / "my_zoo" / "mine.v1" / "model.weights.h5").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_convert(tmp_path):
    tensors = reference.official(reference.network(seed=0, dim=48, depth=1, hidden=96, classes=10))
    np.savez(tmp_path / "weights.npz", **tensors)
    run(ROOT / "docs" / "examples" / "convert.py", tmp_path, "weights.npz")
    assert (tmp_path / "spikformer.keras").is_file()


@pytest.mark.shared
@pytest.mark.slow
def test_export(tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="pip install 'kspike[onnx]'")
    shown = run(ROOT / "docs" / "examples" / "export.py", tmp_path)
    assert "written by torch" in shown and "classes changed: 0" in shown
    assert {each.name for each in tmp_path.iterdir()} == {"digits.onnx", "stream.onnx", "raw.onnx"}


@pytest.mark.shared
@pytest.mark.slow
def test_quantize(tmp_path):
    shown = run(ROOT / "docs" / "examples" / "quantize.py", tmp_path)
    assert "integers decide every spike" in shown and "Convention 'int8'" in shown


@pytest.mark.shared
@pytest.mark.slow
def test_readme(tmp_path):
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(found) == 2
    script = tmp_path / "readme.py"
    script.write_text("\n".join(found))
    assert "block_0/attention/qkv" in run(script, tmp_path)
