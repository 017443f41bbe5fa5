"""Renders a run's report and writes it."""

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
    # Sizes fall: a section that knows how to show fewer rows is not computed again from its tables.
    for limits in SIZES:
        sections = [
            previous.fewer(limits) if previous and previous.fewer else analysis.section(run, limits)
            for analysis, previous in zip(ANALYSES, sections, strict=True)
        ]
        html = page(run, [section for section in sections if section], limits)
        if len(html.encode()) <= MOST_BYTES:
            return html
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
        ``to`` is a folder.
    InfrastructureError
        Storage failed.
    """
    if to is None:
        return run.store.write(f"runs/{run.run_id}/{DEFAULT}", report(run).encode())
    if to.endswith("/") or Path(to).is_dir():
        raise ConfigurationError(f"{to} is a folder, and --to a file, such as {to.rstrip('/')}/{DEFAULT}")
    folder, _, name = (to if "://" in to else str(Path(to).absolute())).rpartition("/")
    return Store(folder or "/").write(name, report(run).encode())
