"""Networks made here start as NaN, neither at random nor as zeros: what conversion misses shows."""

import numpy as np
import pytest

from kspike.layers import initializers


@pytest.fixture(autouse=True)
def nothing_but_what_is_assigned(monkeypatch):
    monkeypatch.setattr(initializers, "_filled", lambda shape, dtype, seed, numbers: np.full(shape, np.nan, "float32"))
