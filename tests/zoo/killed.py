"""Publishes again and again, each time in a child that ends itself by a signal at its n-th act in the zoo's folder.

Run as `python -m tests.zoo.killed ZOO`. Each line read, `SIGNAL N`, is one child; each line written, how it ended and
how many acts it had done. Keras is imported once: the children are forks, of a process that has computed nothing.
"""

from __future__ import annotations

import os
import sys

import kspike

#: Acts on files, as the interpreter announces them before it does them.
ACTS = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def publish(model: kspike.Spikformer, zoo: str, signal: int, last: int) -> None:
    """Publishes; before act number `last` it is killed, where `signal` is not 0."""
    done = 0

    def act(event: str, arguments: tuple) -> None:
        nonlocal done
        if event in ACTS and isinstance(arguments[0], (str, os.PathLike)) and os.fspath(arguments[0]).startswith(zoo):
            done += 1
            if signal and done == last:
                os.kill(os.getpid(), signal)

    sys.addaudithook(act)
    kspike.zoo.publish(model, "net", directory=zoo, license="cc0-1.0")
    os.write(1, f"whole {done}\n".encode())


def main(zoo: str) -> None:
    """Serves the lines of the standard input."""
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 1), num_classes=10, timesteps=1, embed_dim=8, depth=1, num_heads=1, mlp_ratio=1.0,
        stem_pool=(False, False, True, True),
    )  # fmt: skip
    model = kspike.Spikformer(config)
    for line in sys.stdin:
        signal, last = map(int, line.split())
        child = os.fork()
        if not child:
            try:
                publish(model, zoo, signal, last)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status:
            how = f"killed {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "failed 1"
            print(how, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
