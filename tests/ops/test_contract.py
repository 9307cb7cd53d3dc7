"""What a backend gives, and what it lacks."""

import dataclasses

import pytest

from kspike.ops import contract, dispatch
from tests.helpers import BACKEND

LACKS = {
    "torch": ("convolve_inside", "depthwise", "attend_chosen"),
    "jax": (
        "charge",
        "reset",
        "run_program",
        "level",
        "lif_from",
        "batch_norm",
        "by_parts",
        "parts_of",
        "clip_each",
        "recorded",
    ),
    "tensorflow": (
        "charge",
        "reset",
        "level",
        "lif_from",
        "batch_norm",
        "convolve_inside",
        "depthwise",
        "by_parts",
        "parts_of",
        "clip_each",
        "recorded",
    ),
}


def test_what_this_backend_lacks_is_known():
    """A fast form that is lost by a slip would only be slow."""
    assert dispatch.backend.name == BACKEND
    assert dispatch.backend.lacks() == LACKS[BACKEND]


@pytest.mark.once
def test_a_backend_without_what_is_required_is_none():
    required = {f.name: None for f in dataclasses.fields(contract.Backend) if f.default is dataclasses.MISSING}
    assert contract.Backend(**required).lacks() == tuple(
        f.name for f in dataclasses.fields(contract.Backend) if f.type.startswith("Fast[")
    )
    for name in required:
        with pytest.raises(TypeError, match=name):
            contract.Backend(**{key: value for key, value in required.items() if key != name})
    with pytest.raises(TypeError, match="softmax"):
        contract.Backend(**required, softmax=None)
