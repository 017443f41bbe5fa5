"""What the options of every analysis are: a pydantic model that knows its metrics and checks itself. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from featflow.measures.options import UncertaintyOptions
from featflow.option_types import Options

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset

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
    of_runs: ClassVar[bool] = False
    """Whether it says how runs differ: its tables are written anew by a run that publishes those of another."""
    of_pairs: ClassVar[bool] = False
    """Whether it looks at every pair of columns: what it costs grows with them."""

    def check(self, dataset: Dataset, uncertainty: UncertaintyOptions) -> None:
        """Raise SchemaError if a column is named that is not there or cannot serve; nothing was started or imported."""
