"""What the options of every analysis are: a pydantic model that knows its metrics and checks itself. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from featflow.measures.options import UncertaintyOptions
from featflow.option_types import Options

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset
    from featflow.storage.run import Run
    from featflow.storage.run_writer import RunWriter

__all__ = ["AnalysisOptions", "Metric"]


@dataclass(frozen=True)
class Metric:
    """A figure that drift watches."""

    threshold: float | None
    """Largest |value| that raises no alert by default; None raises none at all."""
    description: str


class AnalysisOptions(Options):
    """What the configuration says of one analysis."""

    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Figures of it that the drift table compares, by name."""
    of_pairs: ClassVar[bool] = False
    """Whether it looks at every pair of columns: what it costs grows with them."""

    def check(self, dataset: Dataset, uncertainty: UncertaintyOptions) -> None:
        """Raise SchemaError if a column is named that is not there or cannot serve; nothing was started or imported."""

    def publish_again(self, before: Run, writer: RunWriter, manifest: dict[str, Any]) -> None:
        """Write the tables that are not those of the run before where nothing has changed since; by default none.

        Parameters
        ----------
        before
            The latest run.
        manifest
            Of the run that publishes its tables again, to be changed where it speaks of other runs.
        """
