"""The code of docs/events.md runs as it stands."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PAGE = Path(__file__).resolve().parents[3] / "docs" / "events.md"


def test_the_code_of_the_page_runs_in_order():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script, *blocks = blocks  # tests/test_usage.py runs it
    assert len(blocks) == 3 and "recordings" in blocks[2] and script.startswith("--8<--")  # the last wants a folder
    known: dict = {}
    for block in blocks[:2]:
        exec(compile(block, PAGE.name, "exec"), known)
    assert known["images"].shape == (32, 8, 16, 16, 2)
