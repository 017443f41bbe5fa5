"""The correlation table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import (
    INTEGER,
    REAL,
    TESTS,
    TEXT,
    TableSpec,
    field,
)

__all__ = ["CORRELATION"]

INTERVAL = "the confidence interval around estimate, within what is possible; holds error_bound."

CORRELATION = TableSpec(
    name="correlation",
    row="a pair of columns and a method",
    schema=pa.schema(
        [
            field("method", TEXT, "pearson, spearman, cramers_v, correlation_ratio or mutual_information (in nats)."),
            field("feature_a", TEXT, "First column; the category in a correlation ratio."),
            field("feature_b", TEXT, "Second column; the number in a correlation ratio."),
            field("n", INTEGER, "Rows used: both present, or for mutual_information all rows, missing as a level."),
            field("value", REAL, "The statistic; null where a column does not vary over the rows used."),
            field("expected", REAL, "Mean of the statistic under independence, for mutual_information, in nats."),
            field(
                "estimate",
                REAL,
                "value; for mutual_information value - expected, and less what alike rows of a group add.",
            ),
            field("error_bound", REAL, "For spearman: bound on the distance from the exact rank correlation."),
            field("standard_error", REAL, "Standard error of value, by error_method; error_bound is not in it."),
            field("ci_low", REAL, f"Lower end of {INTERVAL}"),
            field("ci_high", REAL, f"Upper end of {INTERVAL}"),
            field(
                "error_method",
                TEXT,
                "fisher_z, from value and n; jackknife, over groups of rows; null where there is none.",
            ),
            *TESTS,
        ]
    ),
    of_columns=("value",),
)
