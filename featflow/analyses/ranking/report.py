"""The ranking of each target: what is drawn of it, and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.ranking.tables import RANKING
from featflow.analyses.reporting.limits import Limits
from featflow.analyses.reporting.listing import Field, Listing, listing

__all__ = ["RankedTarget", "ranked_targets", "ranking_listing"]

DRAWN, BESIDE_NOISE = 30, 4
"""Features drawn one by one: the first, and those on either side of where noise begins."""
CURVE = 600
"""Points of the curve of all features."""
TITLES = {
    "target": ("target", "text"),
    "rank": ("rank", "integer"),
    "feature": ("feature", "text"),
    "corrected_mi": ("information", "number"),
    "ci_low": ("from", "number"),
    "ci_high": ("to", "number"),
    "rank_low": ("best rank", "integer"),
    "rank_high": ("worst rank", "integer"),
    "expected_mi": ("noise expected", "number"),
    "null_std": ("its deviation", "number"),
    "q_value": ("q", "probability"),
    "significant": ("significant", "flag"),
    "normalized_mi": ("share explained", "share"),
    "missing_mi": ("in missing", "number"),
    "value_mi": ("in values", "number"),
    "cardinality": ("levels", "integer"),
    "mi": ("before correction", "number"),
    "alerts": ("alerts", "words"),
}


@dataclass(frozen=True)
class RankedTarget:
    """What is drawn of a target's ranking."""

    target: str
    features: int
    """All of them."""
    significant: int
    """Those that are."""
    noise_rank: int | None
    """Rank from which on nothing is significant; None where something is to the end."""
    drawn: tuple[dict[str, Any], ...]
    """Rows of the ranking that are drawn one by one, best first."""
    curve: np.ndarray
    """Rank, information, and both ends of its interval of features all along the ranking, shape (4, points)."""


def ranked_targets(ranking: pl.DataFrame, limits: Limits) -> tuple[RankedTarget, ...]:
    """Return the rankings of the first targets."""
    names = ranking["target"].unique(maintain_order=True).to_list()
    return tuple(_ranked(name, ranking.filter(pl.col("target") == name)) for name in names[: limits.targets])


def _ranked(name: str, rows: pl.DataFrame) -> RankedTarget:
    rows = rows.sort("rank")
    noise = rows["noise_rank"][0]
    about = pl.col("rank").is_between(noise - BESIDE_NOISE, noise + BESIDE_NOISE - 1) if noise else pl.lit(value=False)
    drawn = rows.filter((pl.col("rank") <= DRAWN) | about)
    places = np.unique(np.geomspace(1, rows.height, CURVE).astype(int)) - 1
    parts = [rows[part].to_numpy()[places] for part in ("rank", "corrected_mi", "ci_low", "ci_high")]
    significant = int(rows["significant"].sum())
    curve = np.array(parts, dtype=np.float64)
    return RankedTarget(name, rows.height, significant, noise, tuple(drawn.to_dicts()), curve)


def ranking_listing(ranking: pl.DataFrame, limits: Limits) -> Listing:
    """Return the rows of all targets, each target's best first in turn, so that a cut takes the last of each."""
    said = {field["name"]: field["description"] for field in RANKING.describe()["fields"]}
    fields = [Field(name, title, kind, said[name]) for name, (title, kind) in TITLES.items()]
    kept = ranking
    if ranking.height > limits.rows:
        most = max(limits.rows // ranking["target"].n_unique(), 1)
        kept = ranking.filter(pl.col("rank") <= most)
    found = listing("ranking", "A row is a target and a feature; information is in nats.", kept, fields, limits.rows)
    if kept.height == ranking.height:
        return found
    caption = (
        f"A row is a target and a feature; information is in nats. The first {len(found.rows):,} of "
        f"{ranking.height:,} rows."
    )
    return Listing(found.name, caption, found.fields, found.rows, found.texts)
