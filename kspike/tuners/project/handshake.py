"""Handshake of a worker with its chief: makes sure that both work on the same project, since any process may listen.

The chief locks its project's folder, and the lock holds a token (kspike._lock). A worker reads the token in its own
folder, asks the process on the port for its token, and sends it with every request for a trial. KerasTuner's messages
have no field for a token: it travels as the id of a trial that nobody proposed, and behind the worker's name.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import keras_tuner

from kspike import _lock

#: The id of the trial that a worker requests to get the chief's token.
TOKEN_REQUEST = "kspike:project"
#: Attempts to read the chief's token in the worker's folder, a second apart: network file systems show it late.
LOOKS = 10


def greet(oracle: Any, name: str, folder: Path) -> str:
    """Checks that the chief works on this project; returns the name under which the worker requests trials.

    Args:
        oracle: KerasTuner's client of the chief's oracle.
        name: the worker's.
        folder: the project's, as this worker sees it.

    Raises:
        keras_tuner.errors.FatalError: what answers is no chief of kspike's, or that of another project.
    """
    where = ":".join(os.environ[f"KERASTUNER_ORACLE_{part}"] for part in ("IP", "PORT"))
    try:
        theirs = oracle.get_trial(TOKEN_REQUEST).trial_id
    except Exception as error:  # grpc's, which only KerasTuner's client imports
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise keras_tuner.errors.FatalError(
            f"What answers at {where} does not say which project it is the chief of ({lines[0]}): it is not a search "
            f"of kspike's that works in {folder}. Give each search a KERASTUNER_ORACLE_PORT of its own."
        ) from error
    for look in range(LOOKS):
        here = (_lock.holder(folder) or {}).get("token")
        if here == theirs:
            return f"{name} {theirs}"
        if look + 1 < LOOKS:
            time.sleep(1.0)
    raise keras_tuner.errors.FatalError(
        f"The chief at {where} works on another project than {folder}, where this worker was started"
        f"{'' if here else ', and which no chief holds'}: give each search a KERASTUNER_ORACLE_PORT of its own, and "
        "all of its processes the same directory and project_name."
    )


def split(tuner_id: str) -> tuple[str, str | None]:
    """A worker's name, and the token that it sent with it."""
    name, _, token = tuner_id.partition(" ")
    return name, token or None


def check_free() -> None:
    """Checks that a chief's port is free: gRPC lets two processes listen on one port, and workers reach either.

    Raises:
        ValueError: somebody listens there.
    """
    host, port = os.environ["KERASTUNER_ORACLE_IP"], os.environ["KERASTUNER_ORACLE_PORT"]
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except (OSError, ValueError):
        return  # gRPC says what is wrong with it
    with socket.socket(found[0], socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # ignores the socket of an ended chief, not one that listens
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(found[4])
        except OSError as error:
            raise ValueError(
                f"KERASTUNER_ORACLE_PORT={port} on {host} cannot be listened on ({error.strerror}): another search is "
                "the chief there, or something else uses it. Take a port of its own for each search."
            ) from error
