"""Measures the activity of a model's products and neurons on images, and charges it by a convention."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import keras
import numpy as np

from kspike._batches import check_count
from kspike._finite import check_weights
from kspike.cost.analytic.counting import parameters
from kspike.cost.analytic.table import ClosedForm
from kspike.cost.conventions.base import Convention, get
from kspike.cost.measured import batches as image_batches
from kspike.cost.measured.anytime import Answers, read
from kspike.cost.measured.collect import collect
from kspike.cost.measured.probe import config_of, is_supernet, probe_of
from kspike.cost.measured.totals import Statistics
from kspike.cost.report.report import EnergyReport
from kspike.cost.report.rows import neuron_rows, product_rows, spread
from kspike.models.parts import chunks
from kspike.models.unrolled import in_binary_steps, leveled
from kspike.ops import compiles


def measure(
    model: keras.Model,
    data: Any,
    convention: str | Convention | None = None,
    batches: int | None = None,
    progress: bool = True,
    images: int | None = None,
) -> EnergyReport:
    """Runs images through a model once and reports where the energy goes, layer by layer.

    At every product (Dense, convolution, EinsumDense, spiking attention) the mean of the input is taken over all
    images: the firing rate, or the mean spike count of an integer residual. Whether a product accumulates or multiplies
    is decided once for all images, from what arrived there and not from the layer's name; the batch size has no effect.

    A network of integer neurons is measured in binary steps (`kspike.models.unroll`), T * D of them: a level k is k
    spikes, and is charged as such by every convention.

    The model runs in inference mode, compiled once for a model and batch shape: measuring the same model again costs
    the forward pass. Nothing in the model is changed.

    Args:
        model: a `Spikformer`, a `Supernet` (its active genome is measured), or any Keras model of one input.
        data: one split of `kspike.data.load(...)`, an array of images, or any iterable of batches `(images, ...)`.
        convention: how operations are charged; `conventions()` lists the names. None is "spikformer", and "int8" of
            a network with int8 weights.
        batches: how many batches at most; None for all.
        progress: whether a progress bar is shown.
        images: how many images at most, the first ones; None for all.

    Returns:
        An `EnergyReport`. Where the data has labels, with the accuracy too, and for models that end in `RateDecoding`
        with accuracy and energy after every time step.

    Raises:
        ValueError: an unknown convention, no images, images of another shape, weights or values that are not finite,
            a layer whose first axis is not the batch, or integer neurons that cannot be unrolled.

    Example:
        >>> import keras, kspike, numpy as np
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
        >>> model = kspike.Spikformer(config)
        >>> report = kspike.cost.measure(model, np.random.rand(4, 8, 8, 1), progress=False)
        >>> report.rows[0].name, round(report.rows[0].macs)
        ('stem/conv_0', 4608)
    """
    return measured(model, data, convention, batches, progress, images)


def with_logits(
    model: keras.Model, data: Any, convention: str | Convention | None = None
) -> tuple[EnergyReport, Annotated[np.ndarray, "images readings classes"], Annotated[np.ndarray, "images"]]:
    """`measure` of labelled images, with the logits of the same pass after each step that it reads, and the labels.

    Nothing that is measured changes a number: where nothing is compiled (torch), the last logits are those of
    `model.predict_on_batch`, bit for bit (`tests/cost/test_logits.py`). Compiled, the hooked pass is a program of its
    own, whose rounding may differ.
    """
    given: list[tuple[np.ndarray, np.ndarray]] = []
    report = measured(model, data, convention, given=given)
    if not given or any(labels is None for _, labels in given):
        raise ValueError("Expected (images, labels) of a model with a head; received images without labels, or none.")
    logits, labels = (np.concatenate(each) for each in zip(*given, strict=True))
    return report, logits, labels


def measured(
    model: keras.Model,
    data: Any,
    convention: str | Convention | None,
    batches: int | None = None,
    progress: bool = True,
    images: int | None = None,
    given: list | None = None,
) -> EnergyReport:
    """`measure`; logits and labels are appended to `given`, batch by batch."""
    usual = "int8" if getattr(model, "quantized", False) else "spikformer"
    rule = get(usual if convention is None else convention)
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model, received {type(model).__name__}.")
    check_count(batches)
    check_count(images, "images")
    shape = _input_shape(model)
    check_weights(model, model.name, "Training diverged: measure an earlier checkpoint.")
    name, frames, seen = model.name, getattr(getattr(model, "space", None), "frames", None), 0
    if is_supernet(model) and (not model.read_directly or leveled(model) is not None):
        seen = model.config.timesteps
        model = model.extract()  # its active network: the layers of what was not chosen do not run
    model, each = in_binary_steps(model)
    probe = probe_of(model)
    probe.begin()
    config = config_of(model)
    statistics = Statistics(config.timesteps if config is not None else None)
    first: np.ndarray | None = None
    answers = Answers(getattr(model, "include_top", True) is False, given)
    with _bar(image_batches.count(data, batches, images), progress) as advance:
        for batch, labels, n in image_batches.batches(data, shape, batches, images, whole=compiles()):
            if frames is not None and seen:  # those of all T were given: the network taken out sees its own
                batch = frames.of(batch, seen)
            logits: list[Any] = []
            for part in [batch] if compiles() or config is None else chunks(config, model.compute_dtype, batch):
                steps = part if probe.static or each == 1 else np.repeat(part, each, axis=1)
                signals, packed = probe.run(steps)
                statistics.add(signals, packed, min(n, len(part)))
                logits.append(packed.get("logits"))
            answers.add(None if logits[0] is None else np.concatenate(logits), labels, n)
            first = batch[0] if first is None else first
            advance()
    closed = None if config is None else ClosedForm(config)
    products, neurons = collect(
        statistics, closed, strict=is_supernet(model), static=probe.static, multiplying=probe.multiplying()
    )
    timesteps = config.timesteps if config is not None else (probe.timesteps or 1)
    return EnergyReport(
        model=name,
        convention=rule,
        images=statistics.images,
        timesteps=timesteps,
        rows=product_rows(products, rule),
        neurons=neuron_rows(neurons),
        energy_std_mj=spread(products, rule),
        parameters=_parameters(model, closed),
        notes=probe.notes(),
        image=first,
        still=probe.static,
        products=tuple(products),
        label=answers.label,
        readings=read(products, rule, timesteps, answers),
    )


def _parameters(model: keras.Model, closed: ClosedForm | None) -> int:
    if closed is not None:
        return int(parameters(closed.sizes)[0])
    return sum(int(np.prod(v.shape, dtype=np.int64)) for v in model.trainable_variables)


def _input_shape(model: keras.Model) -> tuple[int | None, ...]:
    config = config_of(model)
    if config is not None:
        return (None, *getattr(model, "image_config", config).input_shape)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or not all(n is None or isinstance(n, int) for n in shape):
        raise ValueError(
            f"{model.name} must be a functional model of one input (or a Spikformer or Supernet); "
            f"its input shape is {shape!r}."
        )
    return shape


@contextlib.contextmanager
def _bar(total: int | None, shown: bool) -> Iterator[Any]:
    if not shown:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Measuring energy"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("batches", total=total)
        yield lambda: bar.advance(task)
