"""NeuroBench's metrics of a model on images, under NeuroBench's names."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from kspike.cost.measured.measure import measure
from kspike.cost.measured.probe import probe_of


def neurobench(
    model: keras.Model, data: Any, per_call: bool = False, batches: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Runs images through a model and returns NeuroBench 2.3's metrics of it, computed as NeuroBench defines them.

        Footprint                  bytes of all weights and of the normalisations' statistics
        ConnectionSparsity         share of zeros among the weights of products, biases left out, to four decimals
        ActivationSparsity         1 - spikes / (neurons * time steps), over all images
        SynapticOperations         for one image, all time steps: Effective_MACs, Effective_ACs, Dense

    Effective operations are pairs of a nonzero input and a nonzero weight, without padding and biases; a layer's are
    ACs if its whole input is -1, 0 or 1. NeuroBench decides that anew at every call, which makes its numbers depend on
    the batch size; here it is decided once, over all images, unless `per_call`. It does not see attention's products,
    which stand apart, as "Attention_ACs": spikes of Q times those of K that they meet, and those of V times tokens.
    Products that are counted nowhere are warned of, by layer.

    Source: NeuroBench 2.3.0, metrics/static and metrics/workload. Departure: PyTorch's normalisation keeps a counter of
    8 bytes in each layer, which Footprint has there and Keras has not.

    Args:
        model, data, batches, progress: as for `measure`.
        per_call: decides batch by batch, for exact parity; a batch with all its time steps is one call.

    Returns:
        The metrics by NeuroBench's names, and "Attention_ACs".

    Raises:
        ValueError: as `measure`; or the model is a Supernet, whose weights are not one network's.

    Example:
        >>> import keras, kspike, numpy as np
        >>> model = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(4), kspike.layers.LIF()])
        >>> found = kspike.cost.neurobench(model, np.ones((5, 2, 3)), progress=False)
        >>> found["SynapticOperations"]
        {'Effective_MACs': 0.0, 'Effective_ACs': 24.0, 'Dense': 24.0}
    """
    if hasattr(model, "extract"):
        raise ValueError(
            f"{model.name} is a supernet: its weights are those of many networks. Measure supernet.extract() instead."
        )
    report = measure(model, data, "neurobench_per_call" if per_call else "neurobench", batches, progress)
    if report.notes:  # NeuroBench's names have no place for them
        warnings.warn(f"These figures leave something out. {' '.join(report.notes)}", stacklevel=2)
    attention = [row.acs for row in report.under("spikingjelly").rows if row.kind == "attention"]
    updates = sum(row.updates for row in report.neurons)
    spikes = sum(row.rate * row.updates for row in report.neurons)
    return {
        "Footprint": sum(_bytes(v) for v in model.variables),
        "ConnectionSparsity": _connection_sparsity(model),
        "ActivationSparsity": 1 - spikes / updates if updates else 0.0,
        "SynapticOperations": {
            "Effective_MACs": report.total("mac"),
            "Effective_ACs": report.total("ac"),
            "Dense": report.total("dense"),
        },
        "Attention_ACs": sum(attention),
    }


def _bytes(variable: Any) -> int:
    dtype = {"bfloat16": "uint16"}.get(variable.dtype, variable.dtype)
    return int(np.prod(variable.shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def _connection_sparsity(model: keras.Model) -> float:
    kernels = [tap.operator.kernel for tap in probe_of(model).taps if tap.operator is not None]
    values = [keras.ops.convert_to_numpy(kernel) for kernel in kernels]
    zeros, total = sum(int((v == 0).sum()) for v in values), sum(v.size for v in values)
    return round(zeros / total, 4) if total else 0.0
