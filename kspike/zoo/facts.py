"""Collects and checks the facts of a card: about the model, the data, the author, and the measurements."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from kspike._messages import shown
from kspike.config import SpikformerConfig
from kspike.zoo import bounds, cross_backend, evaluating, machine, naming, strict_json

_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*\+?")
_ORIGIN = ("name", "version", "split_hash", "source", "license", "citation")


def check_model(model: Any) -> SpikformerConfig:
    """A model -> its config; ValueError unless it is a whole Spikformer whose config `load` will take.

    The closed form must count what is built: the card's parameters and operations are the closed form's.
    """
    from kspike.cost.analytic.built import check_built
    from kspike.models import Spikformer

    if not isinstance(model, Spikformer):
        named = f"{model.name!r}, a {type(model).__name__}" if hasattr(model, "name") else f"a {type(model).__name__}"
        raise ValueError(
            f"Expected a kspike.Spikformer; received {named}: an entry is a Spikformer's config and its weights. "
            "Of a Supernet, publish supernet.extract(genome). A network of your own, which no config describes, cannot "
            "be published yet: keep it as a file, model.save('NAME.keras')."
        )
    if not model.include_top:
        raise ValueError(
            "Expected a Spikformer with its head; received one made with include_top=False. Publish the whole model."
        )
    if model.quantized:
        raise ValueError(
            "Expected a Spikformer of float32; received one with int8 weights, which an entry does not hold. Publish "
            "the network that it was made of: kspike.quantize makes this one of it again."
        )
    raw = strict_json.loads(strict_json.dumps(model.config.to_dict(), "the config"), "the config")
    bounds.check_config(raw, "the config")
    if SpikformerConfig.from_dict(raw) != model.config:
        raise ValueError(
            "Expected a config that JSON keeps; received one that comes back changed. Use a named surrogate."
        )
    check_built(model)
    return model.config


def parameters(config: SpikformerConfig) -> int:
    """Trainable parameters, in closed form."""
    from kspike import cost

    return int(cost.parameters(config))


def author_facts(
    config: SpikformerConfig,
    about: dict,
    *,
    search: Any,
    training: Any,
    budget: Any,
    seed: int | None,
    runs: Any,
    reproduce: str | None,
) -> dict:
    """The author's arguments of `publish`, checked -> their keys of the metadata."""
    for key, value in about.items():
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ValueError(f"Expected {key} to be a text; received {shown(value)}.")
    if about["license"] is None or not _is_license(about["license"]):
        raise ValueError(
            "Expected license= of the weights, as an SPDX name ('apache-2.0', 'cc-by-4.0'), several joined by AND, OR, "
            f"WITH, or 'LicenseRef-...' for one of your own; received {shown(about['license'])}."
        )
    record = search.search_record() if hasattr(search, "search_record") else search
    if record is not None and not isinstance(record, dict):
        raise ValueError(
            f"Expected search to be a tuner with search_record(), or such a record; received a {type(search).__name__}."
        )
    record = None if record is None else strict_json.plain(record, "search")
    if runs is not None and set(runs) != {"n", "mean", "std"}:
        raise ValueError(f"Expected runs to hold n, mean and std; received {sorted(runs)}.")
    said = {
        **about,
        "genome": None if record is None else _genome(record, config),
        "search": record,
        "training": strict_json.plain(training, "training"),
        "budget": strict_json.plain(budget if budget is not None else (record or {}).get("budget"), "budget"),
        "seed": seed if seed is not None else (record or {}).get("seed"),
        "runs": strict_json.plain(runs, "runs"),
        "reproduce": reproduce if reproduce is not None else machine.command(),
    }
    strict_json.dumps(said, "what is said of the model")
    return said


def with_origin(model: Any, training: Any) -> Any:
    """How a model was trained, with whose weights it began, if it was made of a run or an entry."""
    origin = getattr(model, "origin", None)
    if origin is None:
        return training
    said = {} if training is None else strict_json.plain(training, "training")
    return {**said, "from": said.get("from", origin)} if isinstance(said, dict) else training


def _is_license(text: str) -> bool:
    """Whether a text reads as an SPDX license expression (spdx.github.io/spdx-spec, annex D), of whatever names."""
    words = text.replace("(", "").replace(")", "").split(" ")
    names, between = words[0::2], words[1::2]
    joined = all(word in ("AND", "OR", "WITH") for word in between) and len(names) == len(between) + 1
    return joined and all(_LICENSE.fullmatch(name) for name in names) and text.count("(") == text.count(")")


def _genome(record: dict, config: SpikformerConfig) -> dict | None:
    """The genome that the published network expresses: the best one's, or another trial's; None if no trial had it."""
    from kspike.space import Genome, SearchSpace

    try:
        space = SearchSpace.from_dict(record["space"])
        genomes = [Genome.from_dict(record["genome"], space)] if record.get("genome") else []
        genomes += [Genome(space, tuple(trial["indices"])) for trial in record["trials"]]
    except (KeyError, TypeError, ValueError):  # the record of another tool is taken as it is
        return record.get("genome")
    return next((genome.to_dict() for genome in genomes if genome.to_config() == config), None)


def describe_data(data: Any, config: SpikformerConfig) -> dict:
    """A data set -> the card's input and class names; ValueError unless it fits the model."""
    if data is None:
        unknown = {"range": None, "mean": None, "std": None}
        return {"input": {"shape": list(config.input_shape), **unknown}, "class_names": None, "data": None}
    shape, classes = tuple(int(size) for size in data.input_shape), int(data.num_classes)
    if shape != tuple(config.input_shape) or classes != config.num_classes:
        raise ValueError(
            f"Expected data for a model of images {tuple(config.input_shape)} and {config.num_classes} classes; "
            f"received {data.name!r} with {shape} and {classes}. Publish it with the data it was trained on."
        )
    stated = {"range": data.input_range, "mean": data.mean, "std": data.std}
    if getattr(data, "events", None) is not None:
        stated["events"] = data.stated_events
    numbers = {key: strict_json.plain(value, key) for key, value in stated.items()}
    names = None if data.class_names is None else [str(name) for name in data.class_names]
    origin = {key: strict_json.plain(getattr(data, key, None), key) for key in _ORIGIN}
    origin["test_hash"] = getattr(data.test, "hash", None)
    if getattr(data, "fit", None) is not None:  # images of the author's own: no name by which others could load them
        origin["own"], numbers["fit"] = True, data.fit
    return {"input": {"shape": list(shape), **numbers}, "class_names": names, "data": origin}


def environment() -> dict:
    """Versions and hardware of the measurement."""
    return {"versions": machine.versions(), "hardware": machine.hardware()}


def measure(
    model: Any,
    data: Any,
    folder: Path,
    metadata: dict,
    backends: Sequence[str],
    convention: str | None,
    modules: Sequence[str] = (),
) -> dict:
    """The entry as read back, and its data -> accuracy, energy and predictions; all None without data.

    `modules` are imported in the processes of other backends.
    """
    if data is None:
        return {"accuracy": None, "evaluation": None, "energy_mj": None, "energy": None, "predictions": None}
    measured, report, readings = measure_both(model, data.test, convention)
    here = metadata["versions"]["backend"]
    name = naming.full_name(metadata["name"], metadata["version"])
    rows = {
        here: evaluating.agreement(measured, measured),
        **cross_backend.measure_on(cross_backend.others(backends), folder, name, data.test, measured, modules),
    }
    evaluation = {
        "split": "test", "n": measured.n, "correct": measured.correct, "accuracy": measured.accuracy,
        "interval": evaluating.interval(measured.correct, measured.n), "backends": rows,
        "calibration": evaluating.calibration(measured), **_by_time(report, readings, measured.labels),
    }  # fmt: skip
    return {
        "accuracy": measured.accuracy, "evaluation": evaluation, "energy_mj": float(report.energy_mj),
        "energy": _energy(report), "predictions": evaluating.pack(measured),
    }  # fmt: skip


def measure_both(
    model: Any, test: Any, convention: str | None
) -> tuple[evaluating.Measured, Any, Annotated[np.ndarray, "images readings classes"]]:
    """A model and test batches -> its logits, as a user gets them; the energy report; logits after each of its steps.

    In one pass, but where the one that is measured is not the user's: compiled, it is another program; neurons that
    fire levels are measured in binary steps.
    """
    from kspike.cost.measured.measure import with_logits
    from kspike.models.unrolled import leveled
    from kspike.ops import compiles

    evaluating.check(model)
    apart = compiles() or leveled(model) is not None
    measured = evaluating.measure(model, test) if apart else None
    report, readings, labels = with_logits(model, test, convention)
    return measured or evaluating.Measured(readings[:, -1], labels), report, readings


def _energy(report: Any) -> dict:
    """Estimated energy an image by the convention that counts it and by all others; how often each neuron fires."""
    from kspike import cost
    from kspike.cost.conventions.base import get

    name = getattr(report.convention, "name", report.convention)
    charging = (each for each in map(get, cost.conventions()) if not each.free)
    return {
        "energy_mj": float(report.energy_mj),
        "std_mj": float(report.energy_std_mj),
        "n": int(report.images),
        "convention": str(name),
        "source": cost.conventions().get(name),
        "accumulations": float(report.total("ac")),
        "multiply_accumulates": float(report.total("mac")),
        "conventions": {each.name: float(report.under(each).energy_mj) for each in charging},
        "firing": {row.name: round(float(row.rate), 6) for row in report.neurons},
    }


def _by_time(report: Any, readings: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracy and energy after each time step, and accuracy where sure images leave early; {} with one step."""
    from kspike.models.exit_curve import curve_of

    if readings.shape[1] < 2 or readings.shape[1] != report.timesteps:
        return {}
    steps = [{"timesteps": r.step, "accuracy": r.accuracy, "energy_mj": r.energy_mj} for r in report.readings]
    return {"by_timesteps": steps, "early_exit": [dataclasses.asdict(e) for e in curve_of(readings, labels).exits]}


def check_convention(convention: str | None) -> None:
    """Raises ValueError for a convention that is unknown, or charges no energy, before anything is measured."""
    from kspike import cost
    from kspike.cost.conventions.base import charging

    known = list(cost.conventions())
    if convention is not None and convention not in known:
        raise ValueError(f"Expected a convention out of {', '.join(known)}; received {convention!r}.")
    if convention is not None:
        charging(convention, "a card")
