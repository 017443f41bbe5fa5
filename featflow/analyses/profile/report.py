"""The part Data: event time, alerts, and a row a column with a small picture of its distribution."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import polars as pl

from featflow.analyses.reporting.labels import rounded, time
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Field, Listing, listing
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["profiles", "section"]

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Heights of bars, one character a bar from 0 to 35: a picture is then a short text."""
FIELDS = (
    Field("column", "column", "text"),
    Field("kind", "kind", "text"),
    Field("role", "role", "text"),
    Field(
        "picture",
        "distribution",
        "picture",
        "Numbers and times: rows between the 1% and the 99% quantile. Categories and texts: the most frequent values. "
        "Bars are scaled to the highest one.",
    ),
    Field("missing_share", "missing", "share", "Share of rows in which the value is null."),
    Field("distinct", "distinct", "integer", "Distinct values; an estimate where sketches count."),
    Field("mean", "mean", "value", "Mean of the finite values."),
    Field("std", "std", "span", "Standard deviation; of times, in days."),
    Field("min", "min", "value", "Smallest finite value."),
    Field("median", "median", "value", "The 50% quantile."),
    Field("max", "max", "value", "Largest finite value."),
    Field("top", "most frequent", "text", "The most frequent value."),
    Field("top_share", "its share", "share", "Share of rows that hold the most frequent value."),
    Field("entropy", "entropy", "number", "Plug-in entropy in nats, missing as one more value."),
    Field("nonfinite", "not finite", "integer", "Rows that hold NaN or an infinity."),
    Field("alerts", "alerts", "words", "What to look at before using the column."),
)
LONG = 10
"""Characters of a number up to which it is shown as it is; longer ones are rounded to fit a cell."""
DAY = 86_400e6
"""Microseconds of a day."""


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the columns, in the part Data."""
    if "profile" not in run.tables:
        return None
    profile = run.table("profile")
    values = {"columns": profile.height, "event_time": _event_time(run, profile), "alerts": _alerts(profile)}
    return Section("profile", "Columns", (profiles(profile, limits.rows),), {}, values, "profile/section.html")


def _event_time(run: Run, profile: pl.DataFrame) -> str:
    """Return the configured window and the range of event times that were read; empty if there are neither."""
    times = profile.filter((pl.col("role") == "event_time") & (pl.col("kind") == "time") & pl.col("min").is_not_null())
    read = f"{time(times['min'][0])} to {time(times['max'][0])} UTC" if times.height else ""
    return "; ".join(part for part in (run.manifest["config"]["dataset"].get("window") or "", read) if part)


def _alerts(profile: pl.DataFrame) -> list[tuple[str, int]]:
    """Return alerts and how many columns have each, most first."""
    # duplicate_of:other is one alert, whatever the other is
    names = profile["alerts"].explode().drop_nulls().str.split(":").list.first()
    return list(names.value_counts(sort=True, name="n").iter_rows())


def profiles(profile: pl.DataFrame, most: int) -> Listing:
    """Return the profile as a listing, columns in the order of the dataset."""
    rows = [_listing_row(row) for row in profile.head(most).iter_rows(named=True)]
    names = [field.name for field in FIELDS]
    schema = {name: profile.schema.get(name, pl.String if name in {"picture", "top"} else pl.Float64) for name in names}
    frame = pl.DataFrame(rows, schema=schema)
    listed = listing("profile", "A row is a column.", frame, FIELDS, most)
    if profile.height > most:
        return replace(listed, caption=f"A row is a column. The first {most:,} of {profile.height:,} columns.")
    return listed


def _listing_row(row: dict[str, Any]) -> dict[str, Any]:
    top = (row["top_values"] or [None])[0]
    std = row["std"] / DAY if row["kind"] == "time" and row["std"] is not None else row["std"]
    return {
        **row,
        "std": rounded(std),
        "picture": _picture(row),
        "missing_share": row["missing"] / row["rows"] if row["rows"] else None,
        "median": row["quantiles"][3] if row["quantiles"] else None,
        "top": _shown_value(top["value"], row["kind"]) if top else None,
        "top_share": top["count"] / row["rows"] if top and row["rows"] else None,
    }


def _shown_value(text: str, kind: str) -> str:
    """Return a value as a cell shows it: few digits of a number, quotes for an empty text.

    Examples
    --------
    >>> _shown_value("0.30000000000000004", "number"), _shown_value("", "category")
    ('0.3', '""')
    """
    if kind == "number":
        with suppress(ValueError):
            return str(rounded(float(text)) if len(text) > LONG else text)
    return text or '""'


def _picture(row: dict[str, Any]) -> str | None:
    """Return heights of bars: of numbers between two quantiles, of categories by falling count."""
    heights = row["histogram"] or [value["count"] for value in row["top_values"] or []]
    highest = max(heights, default=0)
    # The lowest bar that is not empty can be seen.
    return "".join(DIGITS[max(round(35 * h / highest), int(h > 0))] for h in heights) if highest > 0 else None
