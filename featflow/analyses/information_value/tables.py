"""The information_value table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import INTEGER, NAMES, REAL, TEXT, TableSpec, field, nats

__all__ = ["INFORMATION_VALUE"]

BIN = pa.struct(
    [("bin", TEXT), ("rows", REAL), ("events", REAL), ("event_rate", REAL), ("woe", REAL), ("contribution", REAL)]
)

INFORMATION_VALUE = TableSpec(
    name="information_value",
    row="a target of two classes and a feature",
    schema=pa.schema(
        [
            field("target", TEXT, "Target column."),
            field("event", TEXT, "Class whose rows are the events: the later of the two in the order of their names."),
            field("feature", TEXT, "Feature column."),
            field("n", INTEGER, "Rows in which the target is present."),
            field("event_rate", REAL, "Share of events among these rows, by weight where there are weights."),
            nats("iv", "Information value: sum over bins of (share of events - share of others) x weight of evidence."),
            nats("expected_iv", "Mean of iv if bins say nothing, to first order: (bins - 1)(1 / events + 1 / others)."),
            nats("iv_standard_error", "Jackknife standard error of iv."),
            nats("iv_low", "Lower end of the confidence interval of iv."),
            nats("iv_high", "Upper end of the confidence interval of iv."),
            field("ks", REAL, "Kolmogorov-Smirnov: largest distance of the distributions of events and of others."),
            field("ks_low", REAL, "Lower end of the confidence interval of ks."),
            field("ks_high", REAL, "Upper end of the confidence interval of ks."),
            field(
                "auc",
                REAL,
                "Probability that an event has the larger value, ties as half: of a number, below .5 where it falls; "
                "of a category, its levels in the order of their event rates.",
            ),
            field("auc_standard_error", REAL, "Jackknife standard error of auc."),
            field("auc_low", REAL, "Lower end of the confidence interval of auc."),
            field("auc_high", REAL, "Upper end of the confidence interval of auc."),
            nats("split_gain", "Information of the best split in two, of rows with a value."),
            field("split_value", REAL, "Of a number: values at or above it lie above the best split."),
            field("split_levels", NAMES, "Of a category: the bins of higher event rate of the best split."),
            field("event_rate_low", REAL, "Share of events below the split, or in the other levels."),
            field("event_rate_high", REAL, "Share of events above the split, or in split_levels."),
            field(
                "bins",
                pa.list_(BIN),
                "Bins of the pair coding: rows and events, by weight where there are weights; woe, the logarithm of "
                "share of events over share of others; contribution to iv. A bin without events or without others "
                "counts half a row more of each.",
            ),
        ]
    ),
    of_columns=("iv", "auc"),
)
