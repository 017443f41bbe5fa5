"""The ranking of each target, drawn and listed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import polars as pl

from featflow.analyses.ranking import plots
from featflow.analyses.ranking.ranked_targets import evidence_of, ranked_targets
from featflow.analyses.ranking.tables import RANKING
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["ranking_listing", "section"]

FIELDS = (
    ("target", "target", "text"),
    ("rank", "rank", "integer"),
    ("feature", "feature", "text"),
    ("corrected_mi", "information", "number"),
    ("ci_low", "from", "number"),
    ("ci_high", "to", "number"),
    ("rank_low", "best rank", "integer"),
    ("rank_high", "worst rank", "integer"),
    ("assured_mi", "beyond noise", "number"),
    ("expected_mi", "noise expected", "number"),
    ("null_std", "its deviation", "number"),
    ("q_value", "q", "probability"),
    ("significant", "significant", "flag"),
    ("normalized_mi", "share explained", "share"),
    ("missing_mi", "in missing", "number"),
    ("value_mi", "in values", "number"),
    ("cardinality", "levels", "integer"),
    ("mi", "before correction", "number"),
    ("alerts", "alerts", "words"),
)


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the ranking of each target, drawn and listed."""
    ranking = run.table("ranking") if "ranking" in run.tables else None
    if ranking is None or ranking.is_empty():
        return None
    targets = ranked_targets(ranking, limits)
    drawn = {}
    for index, ranked in enumerate(targets):
        drawn[f"information-{index}"] = partial(plots.information_plot, ranked)
        drawn[f"ranks-{index}"] = partial(plots.rank_plot, ranked)
        if ranked.is_cut:
            drawn[f"curve-{index}"] = partial(plots.curve_plot, ranked)
    listings = (ranking_listing(ranking, limits),)
    return Section(
        "ranking",
        "Ranking",
        listings,
        drawn,
        {"targets": targets, "evidence": evidence_of(run), "is_assured": "assured_mi" in ranking.columns},
        "ranking/section.html",
    )


def ranking_listing(ranking: pl.DataFrame, limits: PageLimits) -> Listing:
    """Return the rows of all targets, best first; a ranking of too many rows is cut to the first of each target."""
    first_rows = ranking
    if ranking.height > limits.rows:
        most = max(limits.rows // ranking["target"].n_unique(), 1)
        first_rows = ranking.filter(pl.col("rank") <= most)
    row = "A row is a target and a feature; information is in nats."
    listed = listing("ranking", row, first_rows, described(RANKING, FIELDS), limits.rows)
    if first_rows.height == ranking.height:
        return listed
    return replace(listed, caption=f"{row} The first {len(listed.rows):,} of {ranking.height:,} rows.")
