"""kspike doctor: what is installed and what is fast, and what to do where something is missing."""

import json

import keras
import pytest

import kspike
from kspike import _start, ops
from kspike.ops.cpu import norm_lif
from tests.cli.test_cli import kspike_command


@pytest.mark.shared
def test_it_says_what_is_installed_and_what_is_fast():
    found = json.loads(kspike_command("doctor", "--json").stdout)
    assert found["packages"]["kspike"] == kspike.__version__ and found["packages"]["keras"] == keras.__version__
    assert found["backend"] == keras.backend.backend() and not set(found["fast"]) & set(found["slow"])
    assert set(ops.dispatch.backend.lacks()) & {*found["fast"], *found["slow"]} <= set(found["slow"])
    result = kspike_command("doctor")
    assert result.exit_code == bool(found["problems"])
    for said in (f"backend: {keras.backend.backend()}", f"keras {keras.__version__}", "fast here: ", "processor: "):
        assert said in result.stdout


@pytest.mark.once
def test_problems_say_what_to_do_and_fail(monkeypatch):
    monkeypatch.setattr(norm_lif, "kernels", lambda: None)
    monkeypatch.setattr(ops.dispatch, "_reference_only", True)
    result = kspike_command("doctor")
    assert result.exit_code == 1 and "no problems" not in result.stdout
    assert "pip install 'kspike[" in result.stdout and "every fast form is switched off" in result.stdout


@pytest.mark.once
def test_without_a_backend_it_says_so(monkeypatch):
    monkeypatch.setattr(_start, "register", lambda: ImportError("Keras is set to the backend 'nope'"))
    result = kspike_command("doctor")
    assert result.exit_code == 1 and "problem: Keras is set to the backend 'nope'" in result.stdout
