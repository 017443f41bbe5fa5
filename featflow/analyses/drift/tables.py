"""The Arrow schema of the drift table."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["DRIFT"]

_FIELDS = (
    ("feature", pa.string(), "Column; the first of a pair; null where a row is of all columns together."),
    ("feature_b", pa.string(), "Second column of the pair whose correlation changed most."),
    ("target", pa.string(), "Target of a change of information or rank."),
    ("method", pa.string(), "Method of a correlation, or encoder of vectors."),
    (
        "metric",
        pa.string(),
        (
            "psi, jensen_shannon (nats), kolmogorov_smirnov, wasserstein (in the reference's standard deviations), "
            "l_infinity, missing_rate, new_categories, vanished_categories, information (nats), rank, correlation_rms, "
            "correlation_largest or frechet (squared, over the reference's total variance)."
        ),
    ),
    ("reference_run", pa.string(), "Run that is compared with."),
    ("current_run", pa.string(), "Run that is compared."),
    (
        "reference_value",
        pa.float64(),
        "Of a change: what it was in the reference; of categories new or gone: their share by chance.",
    ),
    ("current_value", pa.float64(), "Of a change: what it is now; of categories new or gone: their share of rows."),
    ("value", pa.float64(), "The metric; changes are current - reference, of categories new or gone at least 0."),
    ("error_bound", pa.float64(), "Bound on the distance from the value of the raw rows; 0 where it is exact."),
    ("threshold", pa.float64(), "Largest |value| that raises no alert; null where the metric raises none."),
    ("z", pa.float64(), "Change over its standard error, both runs taken as independent."),
    ("p_value", pa.float64(), "Probability of a change at least this large if both runs are of the same distribution."),
    ("q_value", pa.float64(), "From p_value, over all rows of the same metric, method, target and reference_run."),
    ("runs_beyond", pa.int64(), "Runs in a row, to this one, with |value| beyond threshold and a small q_value."),
    ("alert", pa.bool_(), "Whether runs_beyond has reached drift.persist."),
)

DRIFT = pa.schema([pa.field(name, kind, metadata={"description": said}) for name, kind, said in _FIELDS])
"""A row is a feature and a metric, compared with one run."""
