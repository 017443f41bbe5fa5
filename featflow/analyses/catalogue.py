"""The catalogue of analyses, in the order in which they write: each may read the tables of those before it."""

from __future__ import annotations

from typing import Any

from featflow.analyses.correlation.analysis import Correlation
from featflow.analyses.drift.analysis import Drift
from featflow.analyses.embedding.analysis import Embedding
from featflow.analyses.embedding_profile.analysis import EmbeddingProfile
from featflow.analyses.group.analysis import Group
from featflow.analyses.information_value.analysis import InformationValue
from featflow.analyses.interaction.analysis import Interaction
from featflow.analyses.options import Analyses, options_of
from featflow.analyses.profile.analysis import Profile
from featflow.analyses.protocol import Analysis
from featflow.analyses.ranking.analysis import Ranking
from featflow.analyses.selection.analysis import Selection
from featflow.errors import ConfigurationError
from featflow.storage.tables import QUARANTINE, TableSpec

__all__ = ["ANALYSES", "TABLES", "chosen", "every_analysis", "table_spec"]

ANALYSES: tuple[type[Analysis[Any]], ...] = (
    Profile,
    Ranking,
    InformationValue,
    Correlation,
    Group,
    Interaction,
    Selection,
    Embedding,
    EmbeddingProfile,
    Drift,
)

TABLES: dict[str, TableSpec] = {
    spec.name: spec for spec in (*(spec for kind in ANALYSES for spec in kind.tables), QUARANTINE)
}
"""Every table a run may write, by name."""


def chosen(options: Analyses) -> list[Analysis[Any]]:
    """Return the analyses that a configuration asks for, in their order."""
    requested = ((kind, getattr(options, kind.name)) for kind in ANALYSES)
    return [kind(own_options) for kind, own_options in requested if own_options is not None]


def every_analysis(options: Analyses) -> list[Analysis[Any]]:
    """Return all analyses; those that a configuration does not ask for have their default options."""
    return [kind(getattr(options, kind.name) or options_of(kind.name)()) for kind in ANALYSES]


def table_spec(name: str) -> TableSpec:
    """Return the spec of a table.

    Raises
    ------
    ConfigurationError
        No such table; the message lists those there are.
    """
    if name not in TABLES:
        raise ConfigurationError(f"no table '{name}'; tables are {', '.join(TABLES)}")
    return TABLES[name]
