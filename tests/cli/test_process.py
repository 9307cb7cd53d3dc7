"""The command as a process: what it loads to start, and how it ends when it is stopped, or read no further."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import kspike
from kspike._files import folder_aside
from kspike.cli import app, main

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
LIGHT = ("--version", "--help", "zoo list", "zoo show auto_spikformer_digits")
BACKENDS = {"keras", "torch", "jax", "tensorflow"}


def command(*before, stdout=subprocess.PIPE, **environment):
    """Runs a line of Python's own, with this checkout."""
    return subprocess.run(
        [sys.executable, "-P", *map(str, before)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def script(tmp_path):
    """The script that pip writes for an entry point."""
    path = tmp_path / "kspike"
    path.write_text("import sys\nfrom kspike.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n")
    return path


@pytest.mark.parametrize("line", [*LIGHT, "script zoo list"])
def test_no_backend_is_loaded_to_list_show_or_explain(line, script):
    start = [script] if line.startswith("script ") else ["-m", "kspike.cli"]
    done = command("-X", "importtime", *start, *line.removeprefix("script ").split())
    assert done.returncode == 0 and done.stdout
    loaded = {name.partition(".")[0] for name in re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE)}
    assert "kspike" in loaded and not loaded & BACKENDS


@pytest.mark.parametrize("line", ["--help", "zoo list", "zoo list --json", "zoo show auto_spikformer_digits --json"])
def test_a_reader_that_is_gone_is_no_error(line):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = command("-m", "kspike.cli", *line.split(), stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


def test_another_pipe_that_breaks_is_said(monkeypatch):
    def lost(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(kspike.zoo, "list_models", lost)
    result = CliRunner().invoke(app, ["zoo", "list"])
    assert result.exit_code == 1 and "Broken pipe" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_sigterm_cleans_up_as_an_interrupt_does(tmp_path, monkeypatch, capsys):
    def published(*_, **__):
        with folder_aside(tmp_path, "entry.publishing") as aside:
            (aside / "half").write_text("done")
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("it went on")

    monkeypatch.setattr(kspike.zoo, "list_models", published)
    monkeypatch.setattr(sys, "argv", ["kspike", "zoo", "list"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143 and list(tmp_path.iterdir()) == []
    assert "goes on where this stopped" in capsys.readouterr().err


def test_a_backend_that_there_is_not_is_named_in_one_line():
    done = command("-m", "kspike.cli", "evaluate", "auto_spikformer_digits", KERAS_BACKEND="pytorch")
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr and len(said) == 1
    assert "'pytorch'" in said[0] and "did you mean 'torch'" in said[0] and "torch, jax or tensorflow" in said[0]
    assert command("-m", "kspike.cli", "zoo", "list", KERAS_BACKEND="pytorch").returncode == 0  # which needs none
