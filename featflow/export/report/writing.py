"""A run's report, made and put where it is wanted."""

from __future__ import annotations

from pathlib import Path

from featflow.analyses.catalogue import ANALYSES
from featflow.analyses.reporting.limits import MOST_BYTES, SIZES
from featflow.analyses.reporting.section import Section
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.export.report.page import page
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["report", "write_report"]

DEFAULT = "report.html"


def report(run: Run) -> str:
    """Return a run's report as HTML of at most `MOST_BYTES`.

    Raises
    ------
    InfrastructureError
        The page does not fit.
    """
    sections: list[Section | None] = [None] * len(ANALYSES)
    for limits in SIZES:
        sections = [
            larger.fewer(limits) if larger and larger.fewer else analysis.section(run, limits)
            for analysis, larger in zip(ANALYSES, sections, strict=True)
        ]
        made = page(run, [section for section in sections if section], limits)
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
