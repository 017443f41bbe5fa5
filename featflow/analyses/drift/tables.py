"""The drift table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import INTEGER, REAL, TEXT, TableSpec, field

__all__ = ["DRIFT"]

DRIFT = TableSpec(
    name="drift",
    row="a feature, or a pair, and a metric of what changed between two runs",
    schema=pa.schema(
        [
            field("feature", TEXT, "Column; the first of a pair; null where a row is of all columns together."),
            field("feature_b", TEXT, "Second column of the pair whose correlation changed most."),
            field("target", TEXT, "Target of a change of information or rank."),
            field("method", TEXT, "Method of a correlation, or encoder of vectors."),
            field(
                "metric",
                TEXT,
                "psi, jensen_shannon (nats), kolmogorov_smirnov, wasserstein (in the reference's standard deviations), "
                "l_infinity, missing_rate, new_categories, vanished_categories, information (nats), rank, "
                "correlation_rms, correlation_largest or frechet (squared, over the reference's total variance).",
            ),
            field("reference_run", TEXT, "Run that is compared with."),
            field("current_run", TEXT, "Run that is compared."),
            field(
                "reference_value",
                REAL,
                "Of a change: what it was in the reference; of categories new or gone: their share by chance.",
            ),
            field(
                "current_value", REAL, "Of a change: what it is now; of categories new or gone: their share of rows."
            ),
            field("value", REAL, "The metric; changes are current - reference, of categories new or gone at least 0."),
            field("error_bound", REAL, "Bound on the distance from the value of the raw rows; 0 where it is exact."),
            field("threshold", REAL, "Largest |value| that raises no alert; null where the metric raises none."),
            field("z", REAL, "Change over its standard error, both runs taken as independent."),
            field(
                "p_value",
                REAL,
                "Probability of a change at least this large if both runs are of the same distribution.",
            ),
            field("q_value", REAL, "From p_value, over all rows of the same metric, method, target and reference_run."),
            field(
                "runs_beyond", INTEGER, "Runs in a row, to this one, with |value| beyond threshold and a small q_value."
            ),
            field("alert", pa.bool_(), "Whether runs_beyond has reached drift.persist."),
        ]
    ),
    of_columns=("value",),
)
