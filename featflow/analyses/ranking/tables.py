"""The ranking table, and that of its windows."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import INTEGER, NAMES, REAL, TESTS, TEXT, TableSpec, field, nats

__all__ = ["RANKING", "RANKING_WINDOW"]

TIME = "in event_time's own unit, of times microseconds since 1970 UTC."


RANKING = TableSpec(
    name="ranking",
    row="a target and a feature",
    schema=pa.schema(
        [
            field("target", TEXT, "Target column."),
            field("rank", INTEGER, "1 for the highest assured_mi of the target, those that are significant first."),
            field("feature", TEXT, "Feature column."),
            field("n", INTEGER, "Rows in which the target is present."),
            field(
                "effective_n",
                REAL,
                "Independent rows of equal weight that would say as much; units, of a feature constant within them.",
            ),
            field("cardinality", INTEGER, "Levels of the feature seen in these rows, missing counted as one."),
            nats("mi", "Plug-in mutual information with the target."),
            nats("expected_mi", "Mean of mi under the null: of rows exactly, or of the units that rows share."),
            nats("corrected_mi", "mi - expected_mi."),
            nats(
                "assured_mi",
                "mi less what noise of the same null reaches at the largest significant p-value of the target, at "
                "least expected_mi; above 0 where significant, 0 at that p-value. Null where no p-value is known.",
            ),
            field("normalized_mi", REAL, "corrected_mi / (H(target) - expected_mi)."),
            nats("null_std", "Standard deviation of mi under the null."),
            field(
                "null_method",
                TEXT,
                "How p_value was found: exact, gamma, monte_carlo, degenerate (one value) on rows; units, groups.",
            ),
            field("design_effect", REAL, "Mean of mi under the null of units over that of rows; null without units."),
            field("z", REAL, "corrected_mi / null_std."),
            *TESTS,
            nats("within_mi", "Part of corrected_mi within units; null where margins of units are not kept."),
            field("within_p_value", REAL, "P(as much within units) over permutations of the target within units."),
            nats("between_mi", "Part of corrected_mi between units; null where margins of units are not kept."),
            field(
                "between_p_value",
                REAL,
                "P(as much between units) over permutations of units, or shifts around the calendar where both drift.",
            ),
            field(
                "significant",
                pa.bool_(),
                "Whether q_value is at most uncertainty.false_discovery_rate, and the score above 0.",
            ),
            field("noise_rank", INTEGER, "Rank from which on nothing is significant, for the whole target."),
            nats("standard_error", "Jackknife standard error of corrected_mi."),
            nats("ci_low", "Lower end of the confidence interval of corrected_mi."),
            nats("ci_high", "Upper end of the confidence interval of corrected_mi."),
            field("rank_low", INTEGER, "Best rank that the intervals leave possible."),
            field("rank_high", INTEGER, "Worst rank that the intervals leave possible."),
            nats("missing_mi", "Corrected information in whether the feature is missing."),
            nats("value_mi", "Corrected information in its values where present; adds up to corrected_mi."),
            nats("marginal_mi", "Corrected information without regard to the strata; null without strata."),
            nats("forward_information", "Mean of the same column of ranking_window over rows; null without windows."),
            nats("random_split_information", "The same for random splits of rows, with as many rows to learn from."),
            field("window_rank_std", REAL, "Standard deviation of the rank over windows, ddof 1."),
            nats("hash_loss", "Estimated information lost to hashing; null where every level is counted."),
            field("alerts", NAMES, "Alerts of the feature's profile, and of its relation to the target."),
        ]
    ),
    of_columns=("mi", "p_value"),
)

RANKING_WINDOW = TableSpec(
    name="ranking_window",
    row="a target, a window of event time and a feature",
    schema=pa.schema(
        [
            field("target", TEXT, "Target column."),
            field("window", INTEGER, "1 for the earliest window of the target."),
            field("start", REAL, f"First time of the window, {TIME}"),
            field("end", REAL, f"First time beyond the window, {TIME}"),
            field("n", INTEGER, "Rows of the window in which the target is present."),
            field("rank", INTEGER, "1 for the highest corrected_mi of the target in this window."),
            field("feature", TEXT, "Feature column."),
            nats("mi", "Plug-in mutual information with the target in this window, of pair codes."),
            nats("expected_mi", "Exact mean of mi over permutations of the target within the window."),
            nats("corrected_mi", "mi - expected_mi."),
            nats(
                "forward_information",
                "Mean gain in log-likelihood of the target in this window by what the windows before say of it given "
                "the feature, over what they say of it alone; null in the first.",
            ),
        ]
    ),
    of_columns=("mi",),
)
