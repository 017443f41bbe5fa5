"""The drift section: changes since earlier runs."""

from __future__ import annotations

import polars as pl

from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["drift_listing", "section"]

FIELDS = (
    ("alert", "alert", "flag"),
    ("feature", "feature", "text"),
    ("feature_b", "and", "text"),
    ("target", "about", "text"),
    ("metric", "metric", "text"),
    ("method", "method", "text"),
    ("reference_value", "before", "number"),
    ("current_value", "now", "number"),
    ("value", "value", "number"),
    ("threshold", "threshold", "number"),
    ("q_value", "q", "probability"),
    ("reference_run", "compared with", "text"),
)


def section(run: Run, limits: PageLimits) -> Section:
    """Return the section; of a run without an earlier one it says so."""
    drift = run.table("drift") if "drift" in run.tables else pl.DataFrame(DRIFT.empty())
    values = {"rows": drift.height, "alerts": int(drift["alert"].sum())}
    listings = (drift_listing(drift, limits),) if drift.height else ()
    return Section("drift", "Drift", listings, {}, values, "drift/section.html")


def drift_listing(drift: pl.DataFrame, limits: PageLimits) -> Listing:
    """Return a listing of drift rows: alerts first, then those nearest to their thresholds."""
    nearness = (pl.col("value").abs() / pl.col("threshold")).fill_null(-1).fill_nan(-1)
    ordered = drift.sort(pl.col("alert").fill_null(value=False), nearness, descending=True)
    return listing("drift", "A row is a feature and a metric.", ordered, described(DRIFT, FIELDS), limits.pairs)
