"""A user's way from a folder of photographs to an answer on another backend, from the built wheel alone.

    python -m build && python benchmarks/journey.py dist/kspike-*.whl

Two fresh environments, one with torch and one with jax, hold the wheel and nothing of the checkout. The pictures are
those that docs/ten_minutes.md draws. By command line: train, search, train what was found, energy page, publish, zip;
on the other backend: verify, predict. Then the same by Python. Every command, its seconds, and the end of what it
printed go to docs/results/journey.md; a command that fails ends the run.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "journey.md"
PICTURES = ["photos/circle/000.png", "photos/cross/001.png", "photos/square/002.png"]
#: Of what a command printed.
LINES = 14
TRAIN = "--epochs 8 --batch-size 32 --learning-rate 3e-3"
#: (backend, command) by command line, then (backend, code) by Python, all in one folder.
COMMANDS = [
    ("torch", f"kspike train net.json --data photos --image-size 32 {TRAIN} --directory runs/shapes"),
    (
        "torch",
        "kspike search digits --data photos --image-size 16 --epochs 8 --generations 2 --population 8 --directory runs "
        "--project found --report",
    ),
    ("torch", f"kspike train runs/found/best.json --data photos --image-size 16 {TRAIN} --directory runs/best"),
    ("torch", "kspike energy runs/shapes runs/best --data photos --split validation --html energy.html"),
    ("torch", "kspike zoo publish runs/best shapes --data photos --license cc0-1.0 --directory my_zoo"),
    ("torch", "kspike zoo export my_zoo/shapes shapes.zip"),
    ("jax", "kspike zoo verify shapes.zip --data photos"),
    ("jax", f"kspike predict shapes.zip {' '.join(PICTURES)} --top 2"),
]
CODE = [
    (
        "torch",
        """import kspike
from kspike import tuners
from kspike.training import Recipe, train

data = kspike.data.from_directory("photos", image_size=(16, 16), batch_size=32)
tuner = tuners.EvolutionSearch(
    space=tuners.SearchSpace.load("digits").for_data(data),
    generations=2, population_size=8, seed=0, directory="runs", project_name="by_python",
)
tuner.train_supernet(data.train, validation_data=data.validation, epochs=8)
tuner.search(data.train, validation_data=data.validation)
found = tuner.pareto_front()[-1].config
recipe = Recipe(epochs=8, batch_size=32, learning_rate=3e-3)
model = train(kspike.Spikformer(found), data, recipe, directory="runs/again")
kspike.cost.measure(model, data.validation).to_html("energy_again.html")
kspike.zoo.publish(model, "again", directory="my_zoo", data=data, search=tuner, license="cc0-1.0")
print(kspike.zoo.export_zip("my_zoo/again", "again.zip"))
""",
    ),
    (
        "jax",
        f"""import kspike

print(kspike.zoo.list_models(directory="my_zoo"))
predict = kspike.zoo.Predictor("again.zip")
for classes in predict({PICTURES}, top=2):
    print(classes)
""",
    ),
]


def environment(folder: Path, wheel: Path, backend: str) -> Path:
    """A fresh environment with the wheel and one backend; its bin folder."""
    where = folder / f"environment-{backend}"  # by the bare name it would be imported
    subprocess.run([sys.executable, "-m", "venv", where], check=True)
    pinned = re.findall(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.M) if backend == "torch" else []
    pip = [where / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[{backend}]", *pinned]
    subprocess.run(pip, check=True)
    return where / "bin"


def pictures(bin_folder: Path, folder: Path) -> None:
    """The photographs and the network that the page of ten minutes draws and trains."""
    text = (ROOT / "docs" / "ten_minutes.md").read_text()
    drawn, opened, trained = re.findall(r"```python\n(.*?)```", text, re.S)[:3]
    config = trained.split("recipe =")[0]
    save = 'import json\nPath("net.json").write_text(json.dumps(config.to_dict()))\n'
    run("torch", [bin_folder / "python", "-c", "\n".join((drawn, opened, config, save))], folder)


def run(backend: str, command: list, folder: Path) -> tuple[float, str]:
    """Seconds of a command, and what it printed."""
    env = {**os.environ, "KERAS_BACKEND": backend, "COLUMNS": "150", "TF_CPP_MIN_LOG_LEVEL": "2"}
    env.pop("PYTHONPATH", None)  # the wheel, not the checkout
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - start, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder unless given")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    bins = {backend: environment(folder, given.wheel.resolve(), backend) for backend in ("torch", "jax")}
    installed = time.perf_counter() - start
    pictures(bins["torch"], folder)
    steps = [(backend, line, [bins[backend] / "kspike", *line.split()[1:]]) for backend, line in COMMANDS]
    steps += [(backend, code, [bins[backend] / "python", "-c", code]) for backend, code in CODE]
    parts, total = [], 0.0
    for backend, shown, command in steps:
        seconds, printed = run(backend, command, folder)
        print(f"{seconds:6.1f} s  {backend}: {shown.splitlines()[0]}", flush=True)
        total += seconds
        kind = "bash" if shown.startswith("kspike ") else "python"
        last = "\n".join(line.rstrip() for line in printed.strip().splitlines()[-LINES:])
        parts.append(f"On {backend}, {seconds:.1f} s:\n\n```{kind}\n{shown.strip()}\n```\n\n```text\n{last}\n```\n")
    by_line, by_python = parts[: len(COMMANDS)], parts[len(COMMANDS) :]
    head = (
        "# From photographs to an answer on another backend\n\n"
        f"`python benchmarks/journey.py {given.wheel.name}`: {__doc__.split(chr(10), 4)[-1].strip()}\n\n"
        f"Python {platform.python_version()} on {os.cpu_count()} cores, other work beside. Two environments took "
        f"{installed:.0f} s to install, the commands below {total:.0f} s. Of long outputs the last {LINES} lines.\n"
    )
    PAGE.write_text("\n".join((head, "## By command line\n", *by_line, "## By Python\n", *by_python)), "utf-8")


if __name__ == "__main__":
    main()
