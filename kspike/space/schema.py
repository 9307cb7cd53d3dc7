"""The form of a search space's file, as a JSON schema, for editors and for tools that are not Python."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike import _names, components
from kspike.config import KINDS
from kspike.space.frames import WAYS

_WHOLE = {"type": "integer", "minimum": 1}


def _choices(item: dict[str, Any], about: str) -> dict[str, Any]:
    several = {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}
    return {"description": about, "anyOf": [item, several]}


def _neuron(about: str, item: dict[str, Any]) -> dict[str, Any]:
    plain = _choices(item, about)
    by_kind = {
        "type": "object",
        "properties": {kind: _choices(item, f"of {kind} neurons") for kind in KINDS},
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"description": about, "anyOf": [*plain["anyOf"], by_kind]}


def _by_stage(plain: dict[str, Any], item: dict[str, Any], first: int = 0) -> dict[str, Any]:
    """The same choices in the whole network, or an object by stage."""
    stages = {
        "type": "object",
        "patternProperties": {f"^({first}|[1-9][0-9]*)$": _choices(item, "of a stage")},
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"description": plain["description"], "anyOf": [*plain["anyOf"], stages]}


def _value(item: dict[str, Any]) -> dict[str, Any]:
    """A field of the base: one value, one a stage or a block, or (tau, v_threshold) an object by neuron kind."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _settings(role: str, name: str) -> list[str]:
    return [field.name for field in dataclasses.fields(components.get(role, name))]


def _word(role: str) -> dict[str, Any]:
    """A component, which is described once for all fields that name one."""
    return {"$ref": f"#/$defs/{role}"}


def _component(role: str) -> dict[str, Any]:
    """A component: its name, or an object with its name and settings."""
    objects = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, **{setting: {} for setting in _settings(role, name)}},
            "required": ["name"],
            "additionalProperties": False,
        }
        for name in components.names(role)
    ]
    return {"anyOf": [{"enum": components.names(role)}, *objects]}


def _base() -> dict[str, Any]:
    flag = {"type": "boolean"}
    above_one, above_zero = {"type": "number", "exclusiveMinimum": 1}, {"type": "number", "exclusiveMinimum": 0}
    by_kind = {"type": "object", "propertyNames": {"enum": list(KINDS)}}
    return {
        "input_shape": {"type": "array", "items": _WHOLE, "minItems": 3, "maxItems": 4},
        "num_classes": _WHOLE,
        "timesteps": _WHOLE,
        "embed_dim": _value(_WHOLE),
        "depth": _value(_WHOLE),
        "num_heads": _value(_WHOLE),
        "mlp_ratio": _value(above_zero),
        "stem_channels": {
            "anyOf": [{"type": "array", "items": _WHOLE, "minItems": 3, "maxItems": 3}, {"type": "null"}]
        },
        "stem_pool": {"type": "array", "items": flag, "minItems": 4, "maxItems": 4},
        "pool_after": {"enum": ["neuron", "norm"]},
        "qkv_bias": flag,
        "proj_bias": flag,
        "mlp_bias": flag,
        "scale": above_zero,
        "residual": {"enum": ["add", "membrane"]},
        "neuron": _word("neuron"),
        "stem": _word("stem"),
        "downsample": {"anyOf": [*_value(_word("downsample"))["anyOf"], {"type": "null"}]},
        "local": _value(_word("mixer")),
        "mixer": _value(_word("mixer")),
        "mlp": _value(_word("mlp")),
        "head": _word("head"),
        "tau": {"anyOf": [*_value(above_one)["anyOf"], by_kind]},
        "v_threshold": {"anyOf": [*_value(above_zero)["anyOf"], by_kind]},
        "v_reset": {"type": ["number", "null"]},
        "decay_input": flag,
        "detach_reset": flag,
        "surrogate": {"type": ["string", "object"]},
    }


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of what `SearchSpace.save` writes and `SearchSpace.load` reads.

    It says what a file looks like. What needs arithmetic, such as heads that divide every width, `load` checks besides.

    Example:
        >>> from kspike.space import SearchSpace
        >>> sorted(SearchSpace.schema()["properties"])
        ['$schema', 'base', 'description', 'frames_from', 'genes', 'name', 'source']
    """
    above_one, above_zero = {"type": "number", "exclusiveMinimum": 1}, {"type": "number", "exclusiveMinimum": 0}
    stage = _choices(_WHOLE, "channels of one stage")
    staged = lambda item, about, first=0: _by_stage(_choices(item, about), item, first)
    genes = {
        "stem": _choices(_word("stem"), "what turns images into tokens, one value a network"),
        "downsample": staged(_word("downsample"), "what stands between two stages, one value a stage that begins", 1),
        "head": _choices(_word("head"), "what stands before the linear layer, one value a network"),
        "neuron": _choices(_word("neuron"), "every neuron, one value a network"),
        "local": staged(_word("mixer"), "a mixer before the first, one value a block"),
        "mixer": staged(_word("mixer"), "what mixes tokens, one value a block"),
        "mlp": staged(_word("mlp"), "what works on every token by itself, one value a block"),
        "embed_dim": staged(_WHOLE, "channels of the tokens; of several stages by stage"),
        "depth": staged(_WHOLE, "blocks; of several stages by stage"),
        "timesteps": _choices(_WHOLE, "T, one value a network"),
        "stem_channels": {
            "description": "channels of the first three stages of the patch splitting, stage by stage",
            "type": "array", "items": stage, "minItems": 3, "maxItems": 3,
        },
        "num_heads": staged(_WHOLE, "attention heads, one value a block; every choice divides every embed_dim there"),
        "mlp_ratio": staged(above_zero, "hidden channels over embed_dim, one value a block"),
        "tau": _neuron("membrane time constant in time steps, for all neurons of a block or by kind", above_one),
        "v_threshold": _neuron("firing threshold, for all neurons of a block but attention's, or by kind", above_zero),
    }  # fmt: skip
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kspike search space",
        "type": "object",
        "properties": {
            "$schema": text,
            "name": {"type": "string", "pattern": f"^{_names.PATTERN}$"},
            "description": text,
            "source": text,
            "base": {"type": "object", "properties": _base(), "additionalProperties": False},
            "genes": {"type": "object", "properties": genes, "additionalProperties": False},
            "frames_from": {
                "description": "where the frames of each T come from, where timesteps is a gene of an input with time",
                "enum": list(WAYS),
            },
        },
        "$defs": {role: _component(role) for role in components.ROLES},
        "additionalProperties": False,
    }
