"""The correlations of a run: heat maps, and the strongest pairs of each method."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import polars as pl

from featflow.analyses.correlation.heat_maps import heat_maps
from featflow.analyses.correlation.plots import heat_plot
from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.reporting.labels import plural
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["pair_listing", "section"]

FIELDS = (
    ("method", "method", "text"),
    ("feature_a", "first", "text"),
    ("feature_b", "second", "text"),
    ("value", "value", "number"),
    ("estimate", "estimate", "number"),
    ("ci_low", "from", "number"),
    ("ci_high", "to", "number"),
    ("n", "rows", "integer"),
    ("q_value", "q", "probability"),
)


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the heat map of each method and the strongest pairs."""
    if "correlation" not in run.tables:
        return None
    pairs = run.table("correlation", [name for name, _, _ in FIELDS])
    heats = heat_maps(run, pairs, limits)
    plots = {f"heat-{index}": partial(heat_plot, heat) for index, heat in enumerate(heats)}
    listings = (pair_listing(pairs, limits),)
    return Section("correlation", "Correlation", listings, plots, {"heats": heats}, "correlation/section.html")


def pair_listing(pairs: pl.DataFrame, limits: PageLimits) -> Listing:
    """Return the strongest pairs, equally many of each method."""
    pairs = pairs.filter(pl.col("value").is_not_null())
    most = max(limits.pairs // max(pairs["method"].n_unique(), 1), 1)
    strength = pl.col("value").abs().rank("ordinal", descending=True).over("method")
    methods = pairs["method"].unique(maintain_order=True)
    strongest_pairs = pairs.filter(strength <= most).sort(
        pl.col("method").cast(pl.Enum(methods)), pl.col("value").abs(), descending=[False, True]
    )
    fields = described(CORRELATION, FIELDS)
    listed = listing("pairs", "A row is a method and a pair, strongest first.", strongest_pairs, fields, limits.rows)
    if strongest_pairs.height == pairs.height:
        return listed
    strongest = f"the strongest {most:,} of each method, of {plural(pairs.height, 'row')}"
    return replace(listed, caption=f"A row is a method and a pair: {strongest}.")
