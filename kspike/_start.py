"""How the package starts: what Keras is told at once, where that waits, and what to do where there is no backend."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from difflib import get_close_matches

#: What a saved model may name. About 0.03 s once Keras is loaded, measured on all three backends.
_SERIALISABLE = ("kspike.layers", "kspike.models", "kspike.supernet", "kspike.regularizers", "kspike.metrics")
BACKENDS = ("torch", "jax", "tensorflow")
#: How Keras begins to say that the name it was given is no backend's.
_UNKNOWN = "Unable to import backend : "


def register() -> Exception | None:
    """Makes known to Keras what a saved model may name; gives the reason where there is no usable backend.

    Keras looks a class of a saved model up by its registered name, and imports no module on a file's word: the classes
    must be there already. Nothing is raised without a backend, since a config needs none; the reason is for whoever
    asks for a model.
    """
    try:
        for module in _SERIALISABLE:
            importlib.import_module(module)
    except (ImportError, ValueError) as error:
        problem = explained(error)
        if not isinstance(problem, ImportError):  # a mistake of ours
            raise
        return problem
    return None


def explained(error: Exception) -> Exception:
    """Keras' bare "No module named 'tensorflow'" or "Unable to import backend" -> what the user has to do.

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

    Asked while the package is being imported: the module that was asked for by -m is not yet in `sys.argv` then.
    """
    if sys.argv[:1] == ["-m"]:
        given = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
        return bool(given) and given[-1].removeprefix("-m") == "kspike.cli"
    return bool(sys.argv) and os.path.basename(sys.argv[0]).lower() in ("kspike", "kspike.exe")
