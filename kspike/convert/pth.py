"""Reads a PyTorch checkpoint without running code from it; the only file of this package that imports torch."""

from __future__ import annotations

import argparse
import os
import pickle
import re
from typing import Any


def read_pth(path: str | os.PathLike) -> Any:
    """Returns what `torch.save` wrote, tensors on the CPU; the only class let in is timm's `argparse.Namespace`.

    Raises:
        ImportError: torch is not installed, or older than 2.5.
        ValueError: the file is cut short, or would need other classes.
    """
    name = os.fspath(path)
    try:
        import torch
        from torch.serialization import safe_globals
    except ImportError as error:
        raise ImportError(
            f"Reading {name} needs PyTorch 2.5 or later ({error}). Install kspike[torch], or convert the file where "
            "PyTorch is: numpy.savez(path, **{name: tensor.numpy() for name, tensor in state_dict.items()})."
        ) from None
    try:
        with safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # damaged files end in nearly every class of error there is, OSError without a cause too
        # torch's own text is a page, with advice to switch the protection off; what it refused is one word of it
        refused = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            raise ValueError(
                f"{name} needs {refused[1]} to be read, which is more than tensors and plain values and could run "
                "code; it was refused, nothing was run. Save only the state dict: torch.save(model.state_dict(), path)."
            ) from None
        first = (str(error).splitlines() or [""])[0] if not isinstance(error, pickle.UnpicklingError) else ""
        raise ValueError(
            f"{name} is not a whole PyTorch file ({first or type(error).__name__}). Copy or save it again."
        ) from None
