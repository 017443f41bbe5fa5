"""What an analysis is: one question about a dataset, and the tables that answer it.

Rounds: profile (columns known), fit (decisions frozen), relate (codebook known), measure (where the engine runs),
write; then readers of finished runs. Only `Analysis.write` must be there; every other method asks for nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from rich.console import RenderableType

from featflow.analyses.base_options import AnalysisOptions
from featflow.analyses.change import Row
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section, section_of_tables
from featflow.analyses.run_states import RunStates
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Request
from featflow.storage.run import Run
from featflow.storage.tables import TableSpec

__all__ = ["Analysis"]

OptionsT = TypeVar("OptionsT", bound=AnalysisOptions)


class Analysis(ABC, Generic[OptionsT]):
    """One question about a dataset, and the tables that answer it.

    Parameters
    ----------
    options
        Its options in the configuration, below ``analyses.<name>``.
    """

    name: ClassVar[str]
    """Key below ``analyses`` in the configuration, and the folder."""
    tables: ClassVar[tuple[TableSpec, ...]] = ()
    """Tables that it writes."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @property
    def clusters(self) -> str | None:
        """Column whose equal values mark rows that depend on one another; the jackknife deletes these together."""
        return None

    def profile(self, context: Context) -> Iterable[Request]:  # noqa: ARG002
        """Return requests for summaries that need no codings; they run in pass 1."""
        return ()

    def fit(self, context: Context, frozen: Mapping[str, Any] | None) -> Mapping[str, Any]:  # noqa: ARG002
        """Return decisions made from data, as JSON values; the manifest stores them and the next run gets them back.

        Parameters
        ----------
        frozen
            Decisions of the run before; None without such a run, or where all decisions are to be made anew.
        """
        return {}

    def relate(self, context: Context) -> Iterable[Request]:  # noqa: ARG002
        """Return requests for summaries that use codings; they run in pass 2."""
        return ()

    def measure(self, context: Context) -> Iterable[Measurement]:  # noqa: ARG002
        """Return measurements, which the engine computes from states where these lie."""
        return ()

    @abstractmethod
    def write(self, context: Context) -> None:
        """Write the tables."""

    def estimate(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002
        """Return entries of a plan besides the sizes of its requests, as JSON values by name."""
        return {}

    def assumption(self, context: Context) -> str:  # noqa: ARG002
        """Return the assumption behind the p-values of its tables, in sentences; empty by default."""
        return ""

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:  # noqa: ARG002
        """Yield rows of the drift table, one for each figure compared between two runs; none by default."""
        yield from ()

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return its section of a finished run's report; by default a listing of each of its tables."""
        return section_of_tables(cls.name, cls.tables, run, limits)

    @classmethod
    def shown(cls, run: Run, width: int) -> RenderableType | None:  # noqa: ARG003
        """Return its view of a finished run for a terminal of so many characters a line; none by default.

        The console takes strings as they are, without markup: styles come from `rich.text.Text`.
        """
        return None
