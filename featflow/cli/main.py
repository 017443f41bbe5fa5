"""The command line: parse, call, exit with the right code."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from featflow.cli import job_commands, output_commands, supervision
from featflow.cli.defects import Defect, is_of_parser, version
from featflow.cli.export_commands import exports
from featflow.cli.printing import err, labelled, out, print_json
from featflow.cli.streams import keep_streams_open
from featflow.cli.supervision import is_supervisor, say_ending
from featflow.errors import EXIT_CODES, FeatflowError, InfrastructureError, printable
from featflow.storage.redaction import redacted_here, remember_users

__all__ = ["app", "main"]

EPILOG = f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}."
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT
GARBAGE = 50_000
"""Objects made between two collections; at Python's 700, importing torch takes a tenth longer."""

app = typer.Typer(
    help="Correlation, mutual-information ranking and interactions of large Parquet datasets.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for some in (job_commands.commands, output_commands.commands):
    app.add_typer(some)
app.add_typer(exports, name="export")


def _print_version(asked: bool) -> None:
    if asked:
        out.print(f"featflow {version()}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line, by default this process's, and exit with featflow's code."""
    supervision.is_process_ours = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    keep_streams_open()
    remember_users(arguments)
    signal.signal(signal.SIGTERM, _end)
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)  # what is left at the end is not collected either: 0.6 s with torch
    code = _ended(arguments)
    try:
        sys.stdout.flush()
    except InfrastructureError as error:
        err.print(labelled("error:", "bold red", str(error)), soft_wrap=True)
        code = code or error.exit_code
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what it says is said: it may go at once, and without a traceback
    say_ending(code)
    sys.exit(code)


def _ended(arguments: list[str]) -> int:
    """Call a command and return its exit code; say why it failed."""
    try:
        return int(app(args=arguments, prog_name="featflow", standalone_mode=False) or 0)  # None without typer.Exit
    except (typer.Abort, KeyboardInterrupt):
        return _told_to_end(INTERRUPTED, arguments)
    except SystemExit as ended:
        return _told_to_end(int(ended.code or 0), arguments)
    except MemoryError:
        error: Exception = InfrastructureError("this process ran out of memory; lower budget.memory, or give it more")
    except Exception as raised:  # noqa: BLE001  whatever it is, it is told in one way
        if is_of_parser(raised):
            return _show_usage(raised)
        error = raised if isinstance(raised, FeatflowError | Defect) else Defect(raised, {})
    code = error.exit_code if isinstance(error, FeatflowError) else FeatflowError.exit_code
    if isinstance(error, Defect):
        sys.stderr.write(error.trace)
    if "--json" in arguments:
        print_json({"status": "failed", "exit_code": code, "error": str(error)})
    err.print(labelled("error:", "bold red", str(error)), soft_wrap=True)
    return code


def _told_to_end(code: int, arguments: list[str]) -> int:
    """Return a code; print its meaning as JSON if a signal to this process stands behind it."""
    if code > SIGNALLED and "--json" in arguments and not is_supervisor():
        print_json({"status": "failed", "exit_code": code, "error": EXIT_CODES.get(code, "ended by a signal")})
    return code


def _show_usage(error: Any) -> int:
    message = printable(redacted_here(error.format_message()))  # it repeats arguments
    error.format_message = lambda: message
    error.show()
    return int(error.exit_code)


def _end(number: int, _: object) -> NoReturn:
    """End by an exception, as the end of a schedule or of a pod should: the lock is given back."""
    signal.signal(number, signal.SIG_IGN)  # who tells all processes of a group tells some twice
    sys.exit(SIGNALLED + number)
