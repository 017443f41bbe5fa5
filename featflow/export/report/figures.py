"""All that a page shows of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from featflow.analyses.correlation.heat_maps import HeatMap, heat_maps
from featflow.analyses.embedding.report import ImageColumn, Scores, image_columns
from featflow.analyses.interaction.graphs import Graph, graphs, significant
from featflow.analyses.profile.report import profiles
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.ranking.report import RankedTarget, ranked_targets, ranking_listing
from featflow.analyses.reporting.limits import Limits
from featflow.analyses.reporting.listing import Listing
from featflow.export.report.overview import (
    Overview,
    drift_listing,
    interaction_listing,
    overview,
    pair_listing,
    quarantine_listing,
)
from featflow.storage.run import Run

__all__ = ["Figures", "figures_of"]

PAIRS = ["method", "feature_a", "feature_b", "n", "value", "ci_low", "ci_high", "q_value"]
"""Columns of the correlation table that are shown."""


@dataclass(frozen=True)
class Figures:
    """What is drawn and listed of a run; empty where the run has no such table."""

    overview: Overview
    listings: dict[str, Listing]
    """By place in the page: profile, ranking, pairs, interactions, drift, quarantine."""
    rankings: tuple[RankedTarget, ...]
    heats: tuple[HeatMap, ...]
    graphs: tuple[Graph, ...]
    images: tuple[ImageColumn, ...]
    drift: dict[str, int] | None
    """Rows and alerts; None where there was nothing to compare with."""


def figures_of(
    run: Run, options: dict[str, Any], limits: Limits, images: tuple[ImageColumn, ...] | None = None
) -> Figures:
    """Return the figures of a run.

    Parameters
    ----------
    options
        Of the dataset's filesystem, for examples of images.
    images
        Those of a larger page, of which some are taken: no image is read again.
    """
    tables = set(run.tables)
    profile = run.table("profile") if "profile" in tables else pl.DataFrame(PROFILE.empty())
    ranking = run.table("ranking") if "ranking" in tables else None
    listings: dict[str, Listing] = {}
    if ranking is not None and ranking.height:
        listings["ranking"] = ranking_listing(ranking, limits)
    heats: tuple[HeatMap, ...] = ()
    if "correlation" in tables:
        pairs = run.table("correlation", PAIRS)
        listings["pairs"] = pair_listing(pairs, limits)
        heats = heat_maps(run, pairs, limits)
    drawn: tuple[Graph, ...] = ()
    sure: pl.DataFrame | None = None
    if "interaction" in tables:
        interaction = run.table("interaction")
        listings["interactions"] = interaction_listing(interaction, limits)
        rate = run.manifest["config"]["analyses"]["uncertainty"]["false_discovery_rate"]
        drawn, sure = graphs(interaction, ranking, rate, limits), significant(interaction, rate)
    drift = run.table("drift") if "drift" in tables else pl.DataFrame()
    if drift.height:
        listings["drift"] = drift_listing(drift, limits)
    quarantine = run.table("quarantine")
    if quarantine.height:
        listings["quarantine"] = quarantine_listing(quarantine, limits)
    if profile.height:
        listings["profile"] = profiles(profile, limits.rows)
    return Figures(
        overview(run, profile),
        listings,
        ranked_targets(ranking, limits) if ranking is not None and ranking.height else (),
        heats,
        drawn,
        tuple(image_columns(run, Scores(ranking, sure), options, limits))
        if images is None
        else tuple(column.fewer(limits.examples) for column in images),
        {"rows": drift.height, "alerts": int(drift["alert"].sum())} if drift.height else None,
    )
