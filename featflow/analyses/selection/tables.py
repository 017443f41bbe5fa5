"""The selection table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import INTEGER, NAMES, REAL, TEXT, TableSpec, field, nats

__all__ = ["SELECTION"]

SELECTION = TableSpec(
    name="selection",
    row="a target, a method, and a feature chosen at a step, looked at after the last step, or kept out",
    schema=pa.schema(
        [
            field("target", TEXT, "Target column."),
            field("method", TEXT, "Criterion of the path: cmim, jmi, mrmr, jmim, disr or three_mr."),
            field("step", INTEGER, "1 for the feature chosen first; null for features that were kept out."),
            field("feature", TEXT, "Feature column; of a cross, both joined by ' x '."),
            field("features", NAMES, "Columns of the feature: one, or the two of a cross."),
            field("kept", pa.bool_(), "Whether to use it: what it adds is more than the best of noise would."),
            field(
                "reason",
                TEXT,
                "Why it is not kept: noise (what it adds), redundancy (chosen only because it is like nothing else), "
                "or the alert that keeps it out; null for kept features.",
            ),
            nats(
                "gain",
                "Criterion at this step, each term less what chance adds: of cmim the least information about the "
                "target given any one feature chosen before; of disr and three_mr a share without unit.",
            ),
            nats("standard_error", "Jackknife standard error of gain, the features before it held fixed."),
            field(
                "noise_p",
                REAL,
                "Probability that the best of as many columns of noise as features are left would look as unlikely "
                "as this gain; it is of all of them together, so no q-value is needed.",
            ),
            field(
                "selection_probability",
                REAL,
                "Share of halves of the rows in which it is among as many first features as are kept.",
            ),
            nats("relevance", "Corrected information about the target alone: corrected_mi of the ranking."),
            nats("pair_loss", "Part of relevance that the coarser bins of pairs do not hold."),
            nats("redundancy", "Most information shared with a feature chosen before."),
            field("redundant_with", TEXT, "That feature."),
            nats("complementarity", "Most synergy with another kept feature."),
            field("complementary_with", TEXT, "That feature."),
            field(
                "conditioned_on", TEXT, "Feature chosen before given which it says least; null if it says less alone."
            ),
            field("runner_up", TEXT, "Feature that would have been chosen in its place."),
            nats("runner_up_gain", "Criterion of that feature at this step."),
            field("margin_p", REAL, "P(a difference of both gains at least this large) if there is none; Student's t."),
            field(
                "rows_used", INTEGER, "Rows that this row's numbers come from: those in which the target is present."
            ),
        ]
    ),
    of_columns=("gain",),
)
