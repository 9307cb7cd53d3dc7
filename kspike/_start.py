"""Start of the package: registers our classes with Keras, and explains a missing backend."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from difflib import get_close_matches

#: Modules of the classes in saved models. About 0.03 s once Keras is loaded, measured on all three backends.
_SERIALISABLE = ("kspike.layers", "kspike.models", "kspike.supernet", "kspike.regularizers", "kspike.metrics")
BACKENDS = ("torch", "jax", "tensorflow")
#: Start of Keras' error for an unknown backend name.
_UNKNOWN = "Unable to import backend : "


def register() -> Exception | None:
    """Registers the classes of saved models with Keras; returns the error if there is no usable backend.

    Keras looks up a class of a saved model by its registered name, and imports no module that a file names: the classes
    must be registered before. Without a backend nothing is raised, since a config needs none; the error is raised when
    a model is used.
    """
    try:
        for module in _SERIALISABLE:
            importlib.import_module(module)
    except (ImportError, ValueError) as error:
        problem = explained(error)
        if not isinstance(problem, ImportError):  # an error of our own code
            raise
        return problem
    return None


def explained(error: Exception) -> Exception:
    """Turns Keras' "No module named 'tensorflow'" or "Unable to import backend" into an error that says what to do.

    Any other error comes back as it is.
    """
    if isinstance(error, ValueError) and str(error).startswith(_UNKNOWN):
        name = str(error).removeprefix(_UNKNOWN)
        near = get_close_matches(name, BACKENDS, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        return ImportError(
            f"Keras is set to the backend {name!r}, which there is not{meant}: set the environment variable "
            f"KERAS_BACKEND to {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}.",
            name=name,
        )
    missing = (getattr(error, "name", None) or "").split(".")[0]
    if not isinstance(error, ImportError) or missing not in BACKENDS:
        return error
    found = [name for name in BACKENDS if importlib.util.find_spec(name)]
    todo = "install one, as by pip install 'kspike[torch]', and set the environment variable KERAS_BACKEND to its name"
    if found:
        todo = f"set the environment variable KERAS_BACKEND={found[0]} (installed here: {', '.join(found)})"
    return ImportError(f"Keras is set to the backend {missing!r}, which is not installed; {todo}.", name=missing)


def is_command() -> bool:
    """Whether this process runs `kspike ...` or `python -m kspike.cli ...`, which start without a backend.

    Called while the package is being imported: the module of -m is not yet in `sys.argv` then.
    """
    if sys.argv[:1] == ["-m"]:
        given = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
        return bool(given) and given[-1].removeprefix("-m") == "kspike.cli"
    return bool(sys.argv) and os.path.basename(sys.argv[0]).lower() in ("kspike", "kspike.exe")
