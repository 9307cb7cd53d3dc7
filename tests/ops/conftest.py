"""What tests of the operations share."""

import pytest


@pytest.fixture
def processor(monkeypatch):
    """Has the loops take this for a processor with these features, whatever it is."""
    from kspike.ops import cpu_sparse

    def forget():
        cpu_sparse.widens.cache_clear()
        cpu_sparse._limits.cache_clear()

    def become(**features):
        monkeypatch.setattr(cpu_sparse.binding, "get_host_cpu_features", lambda: features)
        forget()

    yield become
    forget()
