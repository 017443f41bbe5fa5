"""All tables there are, in the order in which they are written."""

from __future__ import annotations

from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.embedding.tables import EMBEDDING
from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.ranking.tables import RANKING, RANKING_WINDOW
from featflow.errors import ConfigurationError
from featflow.storage.tables import QUARANTINE, TableSpec

__all__ = ["TABLES", "table_spec"]

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        PROFILE,
        CORRELATION,
        RANKING,
        RANKING_WINDOW,
        INTERACTION,
        EMBEDDING,
        EMBEDDING_PROFILE,
        DRIFT,
        QUARANTINE,
    )
}
"""Every table a run may write, by name."""


def table_spec(name: str) -> TableSpec:
    """Return what a table is.

    Raises
    ------
    ConfigurationError
        No such table; the message lists those there are.
    """
    if name not in TABLES:
        raise ConfigurationError(f"no table '{name}'; tables are {', '.join(TABLES)}")
    return TABLES[name]
