"""The command line: parse, call, exit with the right code."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from typing import NoReturn

import typer
from rich.markup import escape

from featflow.cli import job_commands, output_commands
from featflow.cli.export_commands import exports
from featflow.cli.printing import err, print_json
from featflow.errors import FeatflowError

__all__ = ["app", "main"]

EPILOG = (
    "Exit codes: 0 done; 2 the configuration or the data's schema is wrong; 3 bad data above the error budget; "
    "4 infrastructure failed, retry is safe; 5 another run holds the lock."
)
GARBAGE = 50_000
"""Objects made between two collections; at Python's 700, importing torch takes a tenth longer."""

app = typer.Typer(
    help="Correlation, mutual-information ranking and interactions of large Parquet datasets.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for some in (job_commands.commands, output_commands.commands):
    app.add_typer(some)
app.add_typer(exports, name="export")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line, by default this process's, and exit with featflow's code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _end)
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)  # what is left at the end is not collected either: 0.6 s with torch
    try:
        code = app(args=arguments, prog_name="featflow", standalone_mode=False)  # of typer.Exit, None without
    except FeatflowError as error:
        if "--json" in arguments:
            print_json({"status": "failed", "exit_code": error.exit_code, "error": str(error)})
        err.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the parser
            error.show()
            sys.exit(error.exit_code)
        raise
    sys.exit(code)


def _end(number: int, _: object) -> NoReturn:
    """End by an exception, as the end of a schedule or of a pod should: the lock is given back."""
    sys.exit(128 + number)
