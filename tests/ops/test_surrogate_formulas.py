"""`kspike.surrogate` is the one table of formulas: numba's and Triton's derivatives are held to it, on a grid."""

import platform
import sys

import keras
import numpy as np
import pytest

from kspike import surrogate
from kspike.ops.cpu import norm_lif
from tests.helpers import BACKEND, to_numpy

#: Multiples of 1/64, on which h - v_threshold is exact, with 0 and the edges of the triangle and of the box.
U = np.arange(-192, 193, dtype="float32") / 64
THRESHOLD = 0.5
SLOPES = (0.5, 0.7, 1.0, 2.0, 4.0, 25.0)


def by_numba(spec, x):
    pytest.importorskip("numba")
    grad_x, none = np.empty_like(x), np.empty(0, "float32")
    norm_lif.backward(spec, np.ones_like(x), x, none, none, none, none, none, grad_x, 1)
    return grad_x


def by_triton(spec, x):
    import torch

    from kspike.ops.gpu import autograd, kernels

    return autograd.backward(kernels, spec, torch.ones(x.shape), torch.from_numpy(x), (None,) * 5, False)[0].numpy()


TRITON = BACKEND == "torch" and (sys.platform, platform.machine()) == ("linux", "x86_64")
FORMS = [
    pytest.param(by_numba, id="numba", marks=pytest.mark.once),
    pytest.param(by_triton, id="triton", marks=pytest.mark.skipif(not TRITON, reason="torch's, on Linux")),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("name", [of.name for of in norm_lif.SURROGATES])
def test_the_compiled_derivative_is_the_tables(name, detach_reset, form):
    """One time step from rest with tau 1: the potential is the input, and its gradient the derivative.

    A sigmoid with a detached reset has a loop of its own.
    """
    for alpha in (*SLOPES, surrogate.get(name).alpha):
        of = surrogate.get({"name": name, "alpha": alpha})
        wanted = to_numpy(of.derivative(keras.ops.convert_to_tensor(U)))
        assert wanted.max() > 0
        spec = norm_lif.make_spec(
            tau=1.0, v_threshold=THRESHOLD, v_reset=0.0, decay_input=True, detach_reset=detach_reset, surrogate=of
        )
        found = form(spec, (U + np.float32(THRESHOLD)).reshape(1, 1, 1, -1)).reshape(-1)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * wanted.max(), err_msg=f"alpha {alpha}")


@pytest.mark.once
def test_every_surrogate_of_the_table_is_compiled():
    """One that is not would run by the reference, slowly, and nothing would say so."""
    assert sorted(of.name for of in norm_lif.SURROGATES) == surrogate.names()
