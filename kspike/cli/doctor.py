"""kspike doctor: what is installed, which backend runs, what is fast here, what falls back, and why."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import warnings
from typing import Annotated, Any

import typer

from kspike import _start
from kspike.cli.importing import Modules

#: Packages by what they are for; those of an extra name it.
PACKAGES = {
    "kspike": "", "keras": "", "keras-tuner": "", "numpy": "", "h5py": "", "pillow": "", "moocore": "",
    "torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "tensorflow-cpu": "tensorflow", "numba": "torch",
    "llvmlite": "torch", "triton": "gpu", "tensorflow-datasets": "data", "matplotlib": "plot",
}  # fmt: skip
#: What the fast forms are (`kspike.ops`), in words.
FORMS = {
    "lif": "neurons over time", "norm_lif": "normalisation and neurons in one pass", "linear": "sparse products",
    "convolve": "sparse convolutions", "attend": "attention", "attend_chosen": "attention of a supernet",
    "max_pool": "max-pool", "batch_norm": "normalisation", "level": "integer neurons",
    "by_parts": "batches in parts", "recorded": "CUDA graphs",
}  # fmt: skip
#: Features of a processor that the compiled loops use, as LLVM names them: what is fast with it, and without it.
FEATURES = {
    "avx512f": ("compiled dense products, wider sparse ones", "dense products are the backend's own"),
    "avx512bf16": ("products in bfloat16", "products in bfloat16 are computed in float32"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
    modules: Modules = None,
) -> None:
    """Say what is installed, which backend runs, what is fast on this machine, what falls back, and why.

    [bold]Example[/bold]

        KERAS_BACKEND=jax kspike doctor
    """
    found = examine()
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print(as_text(found))
    if found["problems"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Versions, processor, backend, fast and missing forms, and problems with what to do, as plain values."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "processor": _processor(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("KSPIKE_", "KERAS_", "TFDS_"))},
        "backend": None,
        "problems": [],
    }
    problem = _start.register()
    if problem is not None:
        return found | {"problems": [str(problem)]}
    import keras

    from kspike import ops

    name, accelerated, missing = keras.backend.backend(), ops.accelerated(), ops.dispatch.backend.lacks()
    slow = {form: f"by {name}'s own operations" for form in FORMS if form in missing}
    if not accelerated:
        slow["recorded"] = "for torch on a GPU"
    if ops.uses_reference():
        slow = dict.fromkeys(FORMS, "switched off by KSPIKE_REFERENCE_OPS")
    found |= {
        "backend": name,
        "accelerated": accelerated,
        "dtype": keras.config.dtype_policy().name,
        "fast": [form for form in FORMS if form not in slow],
        "slow": slow,
    }
    return found | {"problems": _problems(found, ops.uses_reference())}


def as_text(found: dict[str, Any]) -> str:
    """The findings for a person."""
    packages = [f"{name} {version}" for name, version in found["packages"].items() if version]
    missing = [
        f"{name} (pip install 'kspike[{PACKAGES[name]}]')"
        for name, version in found["packages"].items()
        if not version and PACKAGES[name] and not name.startswith(("tensorflow", "torch", "jax"))
    ]
    processor = found["processor"]
    lines = [
        f"python {found['python']} on {found['system']}",
        f"processor: {processor['name']}, {processor['cores']} cores; "
        + ("; ".join(f"{name}: {said}" for name, said in processor["features"].items()) or "features not known"),
        f"installed: {', '.join(packages)}",
    ]
    lines += [f"not installed: {', '.join(missing)}"] * bool(missing)
    lines += [f"set: {', '.join(f'{k}={v}' for k, v in found['environment'].items())}"] * bool(found["environment"])
    if found["backend"]:
        where = "an accelerator" if found["accelerated"] else "the processor"
        lines.append(f"backend: {found['backend']} on {where}, {found['dtype']}")
        lines.append(f"fast here: {', '.join(FORMS[name] for name in found['fast']) or 'nothing'}")
        lines += [f"falls back: {FORMS[name]} ({why})" for name, why in found["slow"].items()]
    lines += [f"problem: {problem}" for problem in found["problems"]]
    return "\n".join([*lines] if found["problems"] else [*lines, "no problems found"])


def _version(name: str) -> str | None:
    if name == "kspike":
        import kspike

        return kspike.__version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    from kspike.zoo import machine

    said: dict[str, str] = {}
    try:
        from llvmlite import binding
    except ImportError:
        pass
    else:
        features = binding.get_host_cpu_features()
        said = {name: there if features.get(name) else f"no; {missing}" for name, (there, missing) in FEATURES.items()}
    return {"name": machine.processor(), "cores": os.cpu_count() or 1, "features": said}


def _problems(found: dict[str, Any], reference: bool) -> list[str]:
    from kspike.ops.cpu import norm_lif

    said = []
    with warnings.catch_warnings():  # it is said below
        warnings.simplefilter("ignore")
        compiled = norm_lif.kernels() is not None
    if not found["accelerated"] and not compiled:
        there = "is installed, but cannot be imported" if found["packages"]["numba"] else "is not installed"
        said.append(
            f"numba {there}: no loop is compiled, and neurons and attention run several times slower; "
            f"pip install 'kspike[{found['backend']}]'"
        )
    if reference:
        said.append("KSPIKE_REFERENCE_OPS is set: every fast form is switched off")
    return said
