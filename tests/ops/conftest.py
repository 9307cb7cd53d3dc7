"""What tests of the operations share."""

import pytest


@pytest.fixture
def processor(monkeypatch):
    """Makes dispatch see a processor with these features."""
    from kspike.ops.cpu import sparse

    def forget():
        sparse.widens_bfloat16.cache_clear()
        sparse._thresholds.cache_clear()

    def become(**features):
        monkeypatch.setattr(sparse.binding, "get_host_cpu_features", lambda: features)
        forget()

    yield become
    forget()
