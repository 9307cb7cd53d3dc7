"""The `kspike` command: turns arguments into calls of the library, and its errors into one line and an exit code.

Exit codes: 0 done; 1 a check failed (`zoo verify`), or the system did (a full disk, a missing package, a reader that
went away); 2 something about the arguments or the files; 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Annotated, Any

import typer

from kspike import _start
from kspike.cli.doctor import doctor
from kspike.cli.energy import energy
from kspike.cli.evaluate import evaluate
from kspike.cli.events import events
from kspike.cli.export import export
from kspike.cli.predict import predict
from kspike.cli.search import search
from kspike.cli.teach import teach
from kspike.cli.train import train
from kspike.cli.wording import Command, command_of, in_options
from kspike.cli.zoo import zoo


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which clusters and containers stop a process: treated as Ctrl-C."""


class Commands(typer.core.TyperGroup):
    """Runs a command and says what went wrong in one line, unless --debug asks for the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _say("interrupted; the same command goes on where this stopped, where it keeps a project or a run")
            code = 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
        except (ValueError, OSError, ImportError) as error:
            if isinstance(error, BrokenPipeError) and _reader_is_gone():
                raise  # `| head` has seen enough: no error of ours
            if ctx.params.get("debug"):
                raise
            said = _start.explained(error)
            _say(f"error: {in_options(str(said), command_of(ctx))}")
            code = 2 if isinstance(said, ValueError) else 1
        raise typer.Exit(code)


app = typer.Typer(
    cls=Commands,
    name="kspike",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import kspike

        print(f"kspike {kspike.__version__}")
        raise typer.Exit


@app.callback()
def kspike_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Spiking transformers: search an architecture, train it, measure it, publish it, export it.

    The backend is Keras': [bold]KERAS_BACKEND=torch[/bold], jax or tensorflow.

    [bold]From nothing to a published model[/bold], on handwritten digits that travel with the package:

        kspike search digits --generations 3 --population 12 --directory runs --project digits

        kspike train runs/digits/best.json --epochs 40 --directory runs/best

        kspike evaluate runs/best --split validation

        kspike energy runs/best --split validation --html energy.html

        kspike zoo publish runs/best my_digits --license apache-2.0 --directory my_zoo

        kspike zoo verify my_zoo/my_digits
    """


for command in (search, teach, train, evaluate, energy, predict, export):
    app.command(cls=Command, no_args_is_help=True)(command)
app.command(cls=Command)(doctor)
app.add_typer(events, name="events")
app.add_typer(zoo, name="zoo")


def main() -> None:
    """Runs the command line of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, not at exit, where a reader that is gone would be reported
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # a mistake of ours: still one line, unless asked for more
        if "--debug" in sys.argv:
            raise
        _say(f"error: unexpected {type(error).__name__}: {error}\nRun it as `kspike --debug ...` for the traceback.")
        sys.exit(1)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def _reader_is_gone() -> bool:
    """Whether the reader of stdout is gone: the buffer cannot be written, or the pipe reports it."""
    try:
        sys.stdout.flush()
        pipe = select.poll()
        pipe.register(sys.stdout, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in pipe.poll(0))
    except BrokenPipeError:
        return True
    except (AttributeError, OSError):  # no pipe that could be asked
        return False


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
