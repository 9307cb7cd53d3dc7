"""What a search leaves to look at: its web page and its TensorBoard scalars, also after an interruption."""

import pytest

from tests.tuners.fakes import FakeSearch
from tests.tuners.test_resume import Interrupt

pytestmark = pytest.mark.shared


def test_the_report_is_written_at_any_time(tmp_path):
    tuner = FakeSearch(tmp_path)
    assert "No network has been evaluated" in tuner.report().read_text()
    page = tuner.run().report().read_text()
    assert tuner.report() == tmp_path / "fake" / "report.html"
    for part in ("15 networks evaluated", "AEB(beta=0.02)", "Genes that matter", "Genes that were chosen", "embed_dim"):
        assert part in page
    assert tuner.report(tmp_path / "mine.html").is_file()


def test_every_generation_is_in_the_event_file_also_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        FakeSearch(tmp_path, Interrupt(7)).run()
    FakeSearch(tmp_path).run()
    files = list((tmp_path / "fake" / "tensorboard").iterdir())
    assert len(files) == 1
    content = files[0].read_bytes()
    assert content.count(b"search/best") == content.count(b"search/hypervolume") == 3
