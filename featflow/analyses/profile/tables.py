"""The profile table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import (
    INTEGER,
    INTEGERS,
    NAMES,
    QUANTILE_PROBABILITIES,
    REAL,
    TEXT,
    TableSpec,
    field,
    nats,
)

__all__ = ["HISTOGRAM_BINS", "PROFILE"]

HISTOGRAM_BINS = 24
"""Bins of a number's histogram: as many bars as a cell of the report shows apart."""
ASKED_FOR = "Null but where analyses.profile.sketches is set."

PROFILE = TableSpec(
    name="profile",
    row="a column",
    schema=pa.schema(
        [
            field("column", TEXT, "Column name; fields of structs are dotted."),
            field("type", TEXT, "Arrow type in the files."),
            field("kind", TEXT, "category, number, time or text."),
            field("role", TEXT, "feature, target or event_time."),
            field("rows", INTEGER, "Rows read."),
            field("missing", INTEGER, "Rows in which the value is null."),
            field("nonfinite", INTEGER, "Rows that hold NaN or an infinity; they take no part in moments."),
            field("distinct", INTEGER, "Distinct values, nulls left out; an estimate where the bounds differ."),
            field("distinct_low", INTEGER, "Lower bound of distinct, two standard errors."),
            field("distinct_high", INTEGER, "Upper bound of distinct, two standard errors."),
            field("mean", REAL, "Mean of the finite values; of times, microseconds since 1970 UTC."),
            field("std", REAL, "Standard deviation, ddof 1; with weights, reliability weights: M2 / (W - W2 / W)."),
            field("skewness", REAL, "Skewness m3 / m2^1.5, biased as in scipy.stats.skew."),
            field("kurtosis", REAL, "Excess kurtosis m4 / m2^2 - 3, biased as in scipy.stats.kurtosis."),
            field("min", REAL, "Smallest finite value."),
            field("max", REAL, "Largest finite value."),
            field("quantiles", pa.list_(REAL), f"Quantiles at {', '.join(map(str, QUANTILE_PROBABILITIES))}."),
            field("quantile_rank_error", REAL, "Largest share of values that one histogram cell cannot tell apart."),
            field(
                "histogram",
                INTEGERS,
                f"Values in {HISTOGRAM_BINS} equal bins from the 1% to the 99% quantile; null where these are one.",
            ),
            field(
                "top_values",
                pa.list_(pa.struct([("value", TEXT), ("count", INTEGER)])),
                "Most frequent values; lower bounds of the counts where distinct is an estimate.",
            ),
            nats("entropy", "Plug-in entropy of the values, missing as one more; null where values are not exact."),
            field("alerts", NAMES, "What to look at before using the column."),
            field(
                "quantile_sketch",
                pa.binary(),
                f"Apache DataSketches KLL (doubles, k=200) of the finite values. {ASKED_FOR}",
            ),
            field(
                "distinct_sketch", pa.binary(), f"Apache DataSketches HLL (lg k = 12, HLL_4) of the values. {ASKED_FOR}"
            ),
            field("frequent_sketch", pa.binary(), f"Apache DataSketches frequent strings of the values. {ASKED_FOR}"),
        ]
    ),
    of_columns=("missing", "distinct", "mean", "quantiles", "top_values"),
)
