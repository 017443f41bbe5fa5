"""A run's report, made and put where it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featflow.analyses.reporting.limits import MOST_BYTES, SIZES
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.export.report.figures import figures_of
from featflow.export.report.page import page
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["report", "write_report"]

DEFAULT = "report.html"


def report(run: Run, options: dict[str, Any] | None = None) -> str:
    """Return a run's report as HTML of at most `MOST_BYTES`.

    Parameters
    ----------
    options
        Of the dataset's filesystem, from which examples of images are read; by default those of the run's.

    Raises
    ------
    InfrastructureError
        The page does not fit.
    """
    images = None
    for limits in SIZES:
        figures = figures_of(run, run.store.options if options is None else options, limits, images)
        images, made = figures.images, page(figures)
        if len(made.encode()) <= MOST_BYTES:
            return made
    raise InfrastructureError(f"{run.uri}: its report is larger than {MOST_BYTES:,} bytes")


def write_report(run: Run, to: str | None = None) -> str:
    """Write a run's report and return where it is.

    Parameters
    ----------
    to
        File or URI; ``report.html`` beside the run's tables by default.

    Raises
    ------
    ConfigurationError
        What it is to be written to is a folder.
    InfrastructureError
        Storage failed.
    """
    if to is None:
        return run.store.write(f"runs/{run.run_id}/{DEFAULT}", report(run).encode())
    if to.endswith("/") or Path(to).is_dir():
        raise ConfigurationError(f"{to} is a folder, and --to a file, such as {to.rstrip('/')}/{DEFAULT}")
    folder, _, name = (to if "://" in to else str(Path(to).absolute())).rpartition("/")
    return Store(folder or "/").write(name, report(run).encode())
