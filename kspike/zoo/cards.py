"""Turns an entry's metadata into its card: a dict for programs, a page for people."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from kspike import _stages, components
from kspike.config import SpikformerConfig
from kspike.cost.analytic.ann import ann_twin
from kspike.zoo import naming
from kspike.zoo.entry import Entry

#: Of a training record, also of an entry's that another started from: accuracy by epoch, numbers for a picture.
CURVES = "history"


def card(name_or_folder: str | os.PathLike, *, directory: str | os.PathLike | None = None) -> dict[str, Any]:
    """The name or folder of an entry -> its metadata: accuracy, energy_mj, parameters, reproduce, and their details.

    `accuracy` is a share of the test images (`evaluation` holds n, correct, the interval and the backends),
    `energy_mj` the estimated millijoules an image over all time steps (`energy` names the convention). Both are None
    for an entry that was published without data.

    Raises:
        ValueError: unknown or damaged entry.

    Example:
        >>> import kspike
        >>> card = kspike.zoo.card("auto_spikformer_digits")
        >>> card["parameters"] < 200_000
        True
    """
    return copy.deepcopy(Entry.open(name_or_folder, directory).metadata)


def render(metadata: dict[str, Any], config: dict[str, Any]) -> str:
    """Metadata and config -> the README.md of the entry."""
    name = naming.full_name(metadata["name"], metadata["version"])
    parts = [f"# {name}", _summary(metadata, config), _use(metadata, name), _events(metadata), _numbers(metadata)]
    parts += [_energy(metadata, config)]
    parts += [_search(metadata), _training(metadata), _limits(metadata), _origin(metadata)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _summary(metadata: dict, config: dict) -> str:
    data = (metadata.get("data") or {}).get("name")
    found = "found by architecture search" if metadata.get("search") else "designed by hand"
    usual = {"lif": "LIF neurons", "plif": "LIF neurons with a learned time constant"}
    neuron = components.get("neuron", config["neuron"])
    neurons = usual.get(neuron.label, f"neurons {neuron.label}")
    fields = {"stem": "stem", "downsample": "downsample", **components.BRANCHES, "head": "head"}
    words = {field: config[field] for field in fields if field in config}  # where not Spikformer's own
    own = "".join(f", {field} {_labels(fields[field], value)}" for field, value in words.items())
    return (
        f"A spiking transformer (Spikformer family) {found}{f' on {data}' if data else ''}: "
        f"{metadata['parameters']:,} parameters, "
        f"{config['timesteps']} time steps, {_stages.in_words(config['depth'], config['embed_dim'])}{own}, {neurons}, "
        f"{config['residual']!r} shortcut."
    )


def _labels(role: str, value: Any) -> str:
    """One component a network, or one a block, as labels: `gate, ssa`."""
    each = value if isinstance(value, list) else [value]
    return ", ".join(dict.fromkeys(components.get(role, one).label for one in each))


def _use(metadata: dict, name: str) -> str:
    shape = tuple(metadata["input"]["shape"])
    use = metadata.get("intended_use") or (
        f"Classifying images of shape {shape} that look like the data it was trained on; comparing methods; a start "
        "for fine-tuning. Not for decisions about people, nor where a wrong class does harm."
    )
    return f"""## Intended use

{use}

```python
import kspike

entry = "{name}"  # in the published zoo; a folder of your own is given as a path, "./my_zoo/{name}"
model = kspike.zoo.load(entry)
images = kspike.zoo.preprocess(raw_images, entry)
print(kspike.zoo.decode_predictions(model.predict(images), entry))
```"""


def _events(metadata: dict) -> str:
    """What the entry takes of an event camera; "" for images."""
    events = metadata["input"].get("events")
    if events is None:
        return ""
    height, width = events["sensor_size"]
    framing = {key: value for key, value in events["framing"].items() if value not in (None, False)}
    kind = "counts of events, not normalised" if events["counts"] else "no counts: the first convolution multiplies"
    lines = [
        "## Input",
        "",
        f"Recordings of an event camera of {height}x{width} "
        f"pixels{' (SIMULATED)' if events['simulated'] else ''}, in "
        f"frames {tuple(metadata['input']['shape'])} (time, height, width, channels): {kind}.",
        f"Channels: {', '.join(events['polarities'])}. The largest number in training frames is "
        f"{events['largest']:g}. Framing: {', '.join(f'{key}={value}' for key, value in framing.items())}. "
        f"Split: {events['split']}.",
    ]
    if events["absent"]:
        lines.append(f"Trained on a part of the set: {events['absent']}.")
    return "\n".join(lines)


def _numbers(metadata: dict) -> str:
    tested = metadata.get("evaluation")
    if not tested:
        return "## Accuracy\n\nNot measured: the entry was published without data."
    low, high = tested["interval"]
    lines = [
        "## Accuracy",
        "",
        f"{100 * tested['accuracy']:.2f} % of the test images of {metadata['data']['name']}: "
        f"{tested['correct']:,} of {tested['n']:,} "
        f"(95 % interval of that many images: {100 * low:.2f} to {100 * high:.2f} %). Training and search with kspike "
        f"read no test image; this card read them once. {_runs(metadata)}",
        "",
        "| backend | correct | accuracy | images classed otherwise | images with every logit equal to 1e-5 |",
        "|---|---|---|---|---|",
    ]
    for backend, row in tested["backends"].items():
        lines.append(
            f"| {backend} | {row['correct']:,} | {100 * row['accuracy']:.2f} % | {row['disagreements']} | "
            f"{100 * row['logits_equal_to_1e-5']:.1f} % |"
        )
    hardware, versions = metadata["hardware"], metadata["versions"]
    lines += [
        "",
        f"Measured in float32 on {', '.join(hardware['accelerators']) or hardware['processor']} "
        f"({hardware['cores']} cores) with "
        + ", ".join(f"{key} {value}" for key, value in versions.items() if key != "backend")
        + f"; published from {versions['backend']}.",
    ]
    lines += [*_calibration(tested), *_by_time(tested)]
    if metadata.get("reproduce"):
        lines += ["", "Reproduce:", "", "```", metadata["reproduce"], "```"]
    return "\n".join(lines)


def _calibration(tested: dict) -> list[str]:
    found = tested.get("calibration")
    if not found:
        return []
    return [
        "",
        f"Confidence (the largest softmax) is {100 * found['mean_confidence']:.2f} % on average; the expected "
        f"calibration error in {found['bins']} bins (Guo et al., 2017) is {100 * found['ece']:.2f} points.",
    ]


def _by_time(tested: dict) -> list[str]:
    """What stopping earlier costs: all images at one step, or each where it is sure."""
    steps, exits = tested.get("by_timesteps"), tested.get("early_exit")
    if not steps or not exits:
        return []
    lines = ["", "| stopped after | accuracy | energy, mJ |", "|---|---|---|"]
    for step in steps:
        stopped = f"{step['timesteps']} of {len(steps)} steps"
        lines.append(f"| {stopped} | {100 * step['accuracy']:.2f} % | {step['energy_mj']:.6g} |")
    lines += ["", "| leaves above a confidence of | mean steps | accuracy |", "|---|---|---|"]
    lines += [f"| {e['confidence']:g} | {e['mean_steps']:.2f} | {100 * e['accuracy']:.2f} % |" for e in exits]
    return lines


def _runs(metadata: dict) -> str:
    runs = metadata.get("runs")
    if runs:
        mean, deviation = 100 * runs["mean"], 100 * runs["std"]
        return f"Over {runs['n']} seeds: mean {mean:.2f} %, standard deviation {deviation:.2f} points."
    seed = metadata.get("seed")
    return f"One run{f', seed {seed}' if seed is not None else ''}: the spread over seeds was not measured."


def _energy(metadata: dict, config: dict) -> str:
    energy = metadata.get("energy")
    if not energy:
        return ""
    twin = ann_twin(SpikformerConfig.from_dict(config))
    return f"""## Energy

{metadata["energy_mj"]:.6g} mJ an image, all time steps, averaged over {energy["n"]:,} test images. Estimated from
counted synaptic operations under the convention "{energy["convention"]}"{_colon(energy.get("source"))}. Such figures
compare networks under one convention; they leave out what it does not charge (memory traffic) and measure no chip.

For comparison, the same architecture as an ordinary network, with ReLU and real-valued attention: {twin.macs:,}
multiply-accumulates, {twin.float32_mj:.6g} mJ in float32 (4.6 pJ each) and {twin.int8_mj:.6g} mJ in int8 (0.23 pJ).
{_conventions(energy)}{_firing(energy)}"""


def _conventions(energy: dict) -> str:
    """The same counts charged by every convention that charges energy."""
    return _two_columns("convention", "mJ an image", energy.get("conventions"), "{:.6g}".format)


def _firing(energy: dict) -> str:
    """How often each layer of neurons fires."""
    return _two_columns("neurons", "fire in a time step", energy.get("firing"), lambda rate: f"{100 * rate:.2f} %")


def _two_columns(name: str, what: str, found: dict[str, float] | None, shown: Callable[[float], str]) -> str:
    """A table of names and numbers; "" where a card has none."""
    if not found:
        return ""
    rows = "\n".join(f"| {key} | {shown(value)} |" for key, value in found.items())
    return f"\n| {name} | {what} |\n|---|---|\n{rows}\n"


def _colon(text: str | None) -> str:
    return f" ({text.rstrip('.')})" if text else ""


def _search(metadata: dict) -> str:
    record = metadata.get("search")
    if not record:
        return ""
    space, trials = record.get("space"), record.get("trials")
    shown = {
        "space": space.get("name") or "in metadata.json" if isinstance(space, dict) else space,
        "objective": record.get("objective"),
        "constraints": record.get("constraints"),
        "seed": record.get("seed"),
        "trials": len(trials) if isinstance(trials, list) else trials,
        "budget": record.get("budget"),
        "genome": metadata.get("genome"),
    }
    lines = [f"- {key}: {_say(value)}" for key, value in shown.items() if value not in (None, {}, [])]
    return "\n".join(["## Search", "", *lines, "", "Every trial is in metadata.json."])


def _training(metadata: dict) -> str:
    training, budget = metadata.get("training"), metadata.get("budget")
    shown = dict(training) if isinstance(training, dict) else {"recipe": training}
    # A search's own budget is told with the search.
    if budget != (metadata.get("search") or {}).get("budget"):
        shown["budget"] = budget
    lines = [f"- {key}: {_say(value)}" for key, value in shown.items() if value is not None and key != CURVES]
    return "\n".join(["## Training", "", *lines]) if lines else ""


def _say(value: Any) -> str:
    """JSON values as a person writes them."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_say(item)}" for key, item in value.items() if key != CURVES)
    if isinstance(value, list):
        return ", ".join("any" if item is None else _say(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 9999 else f"{value}"


def _limits(metadata: dict) -> str:
    lines = ["## Limits", ""]
    if metadata.get("notes"):
        lines += [metadata["notes"], ""]
    lines.append(
        "Accuracy on other images than those of this data set was not measured, nor robustness to noise or attack. A "
        "spiking network decides by thresholds: on another backend or processor a few neurons within rounding of "
        "theirs "
        "may fire otherwise, and a close call may change."
    )
    return "\n".join(lines)


def _origin(metadata: dict) -> str:
    data = metadata.get("data") or {}
    stored = f"; kernels stored in {metadata['weights_dtype']}" if metadata.get("weights_dtype") else ""
    lines = ["## Licence and origin", "", f"- weights: {metadata['license']}{stored}"]
    for key, label in (("source", "source"), ("citation", "cite as")):
        if metadata.get(key):
            lines.append(f"- {label}: {metadata[key]}")
    if data:
        lines.append(
            f"- data: {data['name']}"
            + "".join(f"; {data[key]}" for key in ("license", "source", "citation") if data.get(key))
        )
    return "\n".join(lines)
