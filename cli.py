"""The ``farm`` command: assembles the commands, and turns handled errors into one sentence.

Results go to standard output; progress and messages go to standard error. Every error that the
farm raises on purpose becomes one sentence and exit code 2, or 1 where its own code is wrong.
"""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from commands.bench import bench
from commands.clean import clean
from commands.machines.devices import devices_app
from commands.machines.doctor import doctor
from commands.machines.head import head_app
from commands.machines.worker import worker_app
from commands.nightly.app import nightly_app
from commands.package import package_app
from commands.plan.app import plan_app
from commands.predict import predict
from commands.shared.shell import exit_codes
from commands.shared.shell.help import App
from commands.shared.shell.usage import PrintableUsage
from commands.shared.surroundings import (
    abandon_streams,
    check_names,
    flush_streams,
    open_streams,
)
from commands.store.care import store_app
from commands.store.compare import compare
from commands.store.explain import explain
from commands.store.query import query
from commands.store.report import report
from commands.store.results import results_app
from commands.store.runs import runs, show
from commands.store.serve import serve
from commands.tune import tune
from commands.verify import verify
from farm import __version__
from farm.errors import FarmError, GeneratorFault
from farm.text import printable

_OBJECTS_AT_START = 200_000  # more than any command makes before it begins to work

app = App(
    name="farm",
    cls=PrintableUsage,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds the fastest way to run an ONNX model on each of your devices, and proves it.",
)


@app.callback(invoke_without_command=True)
def _farm(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"farm {__version__}")
        raise typer.Exit


app.command()(tune)
app.command()(bench)
app.command()(predict)
app.add_typer(package_app, name="package")
app.add_typer(plan_app, name="plan")
app.command()(verify)
app.command()(compare)
app.command()(explain)
app.command()(runs)
app.command()(show)
app.add_typer(results_app, name="results")
app.command()(query)
app.command()(report)
app.command()(serve)
app.add_typer(store_app, name="store")
app.add_typer(head_app, name="head")
app.add_typer(worker_app, name="worker")
app.add_typer(nightly_app, name="nightly")
app.add_typer(devices_app, name="devices")
app.command()(doctor)
app.command()(clean)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn handled errors into a sentence on standard error and exit code 2; 1 for farm's own."""
    code = exit_codes.BAD_INPUT
    try:
        yield
    except GeneratorFault as error:
        message, code = str(error), exit_codes.FAILED
    except FarmError as error:
        message = str(error)
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        message = f"{error.strerror or error}{what}."
    except MemoryError as error:
        message = f"The memory does not suffice: {error}."
    else:
        return
    typer.echo(f"farm: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)


def _collect_less() -> None:
    """Do not look for garbage among what imports make: it lives to the end, and takes long."""
    gc.set_threshold(_OBJECTS_AT_START)
    atexit.register(gc.freeze)  # the interpreter would look through all of it several times


def main() -> None:
    """Entry point of the console script. Being asked to end is the same as Ctrl-C.

    So is a terminal that goes away, unless the command was started to outlive it (``nohup``).
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _collect_less()
    open_streams()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with _one_sentence():
            check_names(sys.argv[1:])
            _run()
    finally:
        abandon_streams()


def _run() -> None:
    """Run the command. That nobody reads its result any more is as Typer ends then: silent, 1."""
    try:
        app(prog_name="farm")
    except SystemExit:
        try:
            flush_streams()
        except BrokenPipeError:
            sys.exit(exit_codes.FAILED)
        raise


if __name__ == "__main__":
    main()
