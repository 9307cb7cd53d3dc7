"""kspike events show as a user meets it."""

import numpy as np
import pytest

from kspike.data.events.sets import digits_events
from tests.cli.test_cli import fails, kspike_command

pytestmark = pytest.mark.shared


@pytest.fixture
def recording(tmp_path):
    one = digits_events.recordings()[0][0]
    np.savez(tmp_path / "digit.npz", t=one.t, x=one.x, y=one.y, p=one.p)
    return tmp_path / "digit.npz"


def test_a_page_of_a_recording_holds_its_events_and_frames(recording, tmp_path):
    page = tmp_path / "page.html"
    result = kspike_command("events", "show", recording, "--sensor-size", "16x16", "--timesteps", 5, "--html", page)
    assert result.exit_code == 0, result.output
    n = len(digits_events.recordings()[0][0])
    assert f"{n:,} events" in result.stdout and f"written: {page}" in result.stdout
    text = page.read_text()
    assert (
        text.count('<img alt="t=') == 5 and "<polyline" in text and "http" not in text.replace("http://www.w3.org", "")
    )
    result = kspike_command("events", "show", recording, "--window-us", 100_000, "--html", page)
    assert result.exit_code == 0 and "mended: the sensor's size is not known" in result.stdout
    assert page.read_text().count('<img alt="t=') == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sensor-size", "16"), "expected HEIGHTxWIDTH"),
        (("--sensor-size", "8x8"), "to be from 0 to 7"),
        (("--frames", "number"), "expected one of time, count, window"),
        (("--time-unit", "h"), "expected one of us, ms, s, ns"),
        (("--html", "nowhere/page.html"), "there is no folder"),
        (("--model", "auto_spikformer_digits"), "an entry for event cameras"),
        (("--model", "auto_spikformer_digits", "--timesteps", "3"), "leave out --timesteps"),
    ],
)
def test_what_cannot_be_is_one_line(recording, arguments, message):
    assert message in fails("events", "show", recording, *arguments)
