"""The interaction table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import (
    INTEGER,
    REAL,
    TEXT,
    TableSpec,
    field,
    nats,
)

__all__ = ["INTERACTION"]

INTERACTION = TableSpec(
    name="interaction",
    row="a target and a pair of features",
    schema=pa.schema(
        [
            field("target", TEXT, "Target column."),
            field("rank", INTEGER, "1 for the highest synergy of the target."),
            field("feature_a", TEXT, "First feature."),
            field("feature_b", TEXT, "Second feature."),
            field("n", INTEGER, "Rows in which the target is present."),
            field("rows_used", INTEGER, "Rows that this row's numbers come from; n and those without the target."),
            nats("joint_mi", "Plug-in mutual information of the pair with the target."),
            nats("expected_mi", "Exact mean of joint_mi over permutations of the target."),
            nats(
                "corrected_joint_mi",
                "joint_mi less what chance makes of it: expected_mi, and more where rows of a group are alike.",
            ),
            nats("synergy", "corrected_joint_mi less the information of each feature alone, corrected alike."),
            nats("standard_error", "Jackknife standard error of synergy."),
            nats("ci_low", "Lower end of the confidence interval of synergy, which always holds it."),
            nats("ci_high", "Upper end of the confidence interval of synergy; both within the target's entropy."),
            field("z", REAL, "synergy / standard_error."),
            field("synergy_p_value", REAL, "Probability of a |z| at least this large if synergy is 0; Student's t."),
            field("p_value", REAL, "Of the joint: the larger p of I(A;Y|B) and I(B;Y|A), each against its own null."),
            field("q_value", REAL, "From p_value, over all pairs looked at, those not kept counted as p = 1."),
            field("strategy", TEXT, "memorise: cross the two; naive: leave them apart; null where it is open."),
        ]
    ),
    of_columns=("joint_mi", "synergy"),
)
