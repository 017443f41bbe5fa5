"""Options of the information_value table."""

from __future__ import annotations

from featflow.analyses.base_options import AnalysisOptions

__all__ = ["InformationValueOptions"]


class InformationValueOptions(AnalysisOptions):
    """The information_value table: features against targets of two classes."""
