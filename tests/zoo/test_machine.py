import sys

import keras
import pytest

from kspike.zoo import machine

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["/home/someone/search.py", "--seed", "3", "--out", "/home/someone/a b"],
            "python search.py --seed 3 --out 'a b'",
        ),
        (
            ["/opt/venv/bin/kspike", "zoo", "publish", "--directory=/srv/zoo", "runs/x"],
            "kspike zoo publish --directory=zoo runs/x",
        ),
        (["/usr/lib/python3/pytest/__main__.py"], ""),
        ([""], ""),
        (["-c"], ""),
    ],
)
def test_the_command_is_given_as_a_person_would_type_it(monkeypatch, argv, said):
    monkeypatch.setattr(sys, "argv", argv)
    assert machine.command() == (f"KERAS_BACKEND={keras.backend.backend()} {said}" if said else None)
