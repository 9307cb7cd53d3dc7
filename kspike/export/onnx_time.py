"""Time in .onnx files: one step with state in and out, or that step as the body of a loop over T (Scan)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kspike.export import onnx_files, torch_files
from kspike.export.stepping import OneStep, State


def write(model: Any, task: Any, folder: Path) -> dict[str, Any]:
    """Writes the files of a task whose time is "step" or "scan"; gives their facts."""
    config = model.config
    shape = config.input_shape[1:] if config.has_time else config.input_shape
    batch = task.batch or 2
    one = OneStep(model, task.pixels, watch=True)
    frames = np.zeros((batch, *shape), "float32" if task.pixels is None else "uint8")
    states = one.states(frames)
    names = ["images", *(f"state.{each.name}" for each in states)]
    examples = [frames, *(each.example(batch) for each in states)]
    raw = folder / "raw.onnx"
    found = torch_files.write_onnx(one, raw, examples, names, task.opset, task.batch is None)
    sizes = {"images": (task.batch, *shape)}
    sizes |= {f"state.{s.name}": tuple(task.batch if n is None else n for n in s.shape) for s in states}
    after = [f"next.{each.name}" for each in states]
    outputs = ["logits", *after, *(f"spikes.{name}" for name in one.names)]
    shapes = [
        sizes.get(name.replace("next.", "state.", 1), (task.batch, *each[1:]))
        for name, each in zip(outputs, found, strict=True)
    ]
    step = onnx_files.named(raw, outputs, sizes, shapes)
    facts: dict[str, Any] = {"neurons": list(one.names), "opset": task.opset, "timesteps": config.timesteps}
    if task.time == "step":
        given = [
            {"name": f"state.{s.name}", "next": f"next.{s.name}", "shape": s.shape, "start": s.start} for s in states
        ]
        task.notes["states"] = onnx_files.as_json(given)
        onnx_files.finish(step, folder, task.notes, keep=("logits", *after))
        return {**facts, "states": given, "frames": config.has_time}
    whole = looped(step, states, list(one.names), config.timesteps, config.has_time, task.opset)
    onnx_files.finish(whole, folder, task.notes)
    return facts


def looped(step: Any, states: list[State], neurons: list[str], timesteps: int, frames: bool, opset: int) -> Any:
    """The model of one step -> a model of all: Scan carries the states, the logits are those of the last step."""
    from onnx import TensorProto, helper, numpy_helper

    body = step.graph
    taken = {each.name: each for each in body.input}
    images = taken["images"]
    kind = images.type.tensor_type.elem_type
    sides = [d.dim_value for d in images.type.tensor_type.shape.dim][1:]
    batch = images.type.tensor_type.shape.dim[0]
    free = batch.dim_param or batch.dim_value
    nodes, weights = [], []

    def constant(name: str, value: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    # what the loop starts from: each state's number, spread over the batch of this call
    if opset >= 15:
        nodes.append(helper.make_node("Shape", ["images"], ["images.shape"], start=0, end=1))
    else:  # Shape gives all sizes there
        first_size = constant("images.first", np.array([0], "int64"))
        nodes.append(helper.make_node("Shape", ["images"], ["images.sizes"]))
        nodes.append(helper.make_node("Gather", ["images.sizes", first_size], ["images.shape"], axis=0))
    first = []
    # the step's number is what is looped over
    numbers = constant("steps.count", np.arange(timesteps, dtype="float32").reshape(-1, 1))
    states = [each for each in states if each.name != "steps"]
    for each in states:
        name = f"state.{each.name}"
        start = constant(f"{name}.start", np.full(tuple(n or 1 for n in each.shape), each.start, "float32"))
        if None in each.shape:
            sizes = constant(f"{name}.sizes", np.array(each.shape[1:], "int64"))
            nodes.append(helper.make_node("Concat", ["images.shape", sizes], [f"{name}.shape"], axis=0))
            nodes.append(helper.make_node("Expand", [start, f"{name}.shape"], [f"{name}.first"]))
            start = f"{name}.first"
        first.append(start)
    # a still image is carried along, since OpenVINO reads no body that takes it from outside
    carried = [taken[f"state.{each.name}"] for each in states]
    out = {each.name: each for each in body.output}
    after = [out[f"next.{each.name}"] for each in states]
    stepped, over = [taken["state.steps"]], [numbers]
    if frames:
        axes = list(range(len(sides) + 2))
        nodes.append(helper.make_node("Transpose", ["images"], ["images.by_step"], perm=[1, 0, *axes[2:]]))
        stepped.append(images)
        over.append("images.by_step")
    else:
        first.append("images")
        carried.append(images)
        body.node.append(helper.make_node("Identity", ["images"], ["next.images"]))
        after.append(helper.make_tensor_value_info("next.images", kind, [free, *sides]))
    inputs, outputs = [*carried, *stepped], [*after, out["logits"], *(out[f"spikes.{name}"] for name in neurons)]
    del body.input[:], body.output[:]
    body.input.extend(inputs)
    body.output.extend(outputs)
    body.name = "step"
    last = [f"last.{i}" for i in range(len(carried))]
    scanned = ["logits.by_step", *(f"spikes.{name}.by_step" for name in neurons)]
    nodes.append(helper.make_node("Scan", [*first, *over], [*last, *scanned], body=body, num_scan_inputs=len(over)))
    final = constant("steps.last", np.array(timesteps - 1, "int64"))
    nodes.append(helper.make_node("Gather", ["logits.by_step", final], ["logits"], axis=0))
    ends = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, _shape(out["logits"]))]
    one = constant("axis.step", np.array([2], "int64"))
    for name in neurons:
        shape = _shape(out[f"spikes.{name}"])
        rank = len(shape) + 1
        # (T, batch, 1, ...) -> (batch, T, ...)
        nodes.append(
            helper.make_node(
                "Transpose", [f"spikes.{name}.by_step"], [f"spikes.{name}.turned"], perm=[1, 0, *range(2, rank)]
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"spikes.{name}.turned", one], [f"spikes.{name}"]))
        ends.append(
            helper.make_tensor_value_info(f"spikes.{name}", TensorProto.FLOAT, [shape[0], timesteps, *shape[2:]])
        )
    whole = [free, timesteps, *sides] if frames else [free, *sides]
    graph = helper.make_graph(nodes, "network", [helper.make_tensor_value_info("images", kind, whole)], ends, weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=step.ir_version, producer_name="kspike"
    )


def _shape(value: Any) -> list[Any]:
    return [d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in value.type.tensor_type.shape.dim]
