"""The Arrow schema of every output table: the contract with readers.

Tables are long and typed. A statistic that does not exist is null, never NaN
or infinity. Information quantities are in nats, said in the field's metadata.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.ranking.tables import RANKING_WINDOW
from featflow.errors import ConfigurationError

__all__ = ["QUANTILE_PROBABILITIES", "SCHEMAS", "build", "describe", "schema"]

QUANTILE_PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

TEXT, INTEGER, REAL = pa.string(), pa.int64(), pa.float64()
NAMES, REALS, INTEGERS = pa.list_(TEXT), pa.list_(REAL), pa.list_(INTEGER)

_CLASS = pa.struct([("class", TEXT), ("n", INTEGER), ("centroid", REALS), ("scatter", REAL)])
_TARGET = pa.struct(
    [
        ("target", TEXT),
        ("classes", pa.list_(_CLASS)),
        ("majority_share", REAL),
        ("fisher_ratio", REAL),
        ("fisher_by_dimension", REALS),
        ("nearest_mean_accuracy", REAL),
        ("linear_probe_accuracy", REAL),
        ("prefix_accuracy", REALS),
        ("held_out_rows", INTEGER),
    ]
)


def _field(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


def _nats(name: str, description: str) -> pa.Field:
    return _field(name, REAL, description, "nats")


_TESTS = (
    _field("p_value", REAL, "Probability of a score at least this large under the null."),
    _field("q_value", REAL, "Smallest false-discovery rate at which this row would be reported."),
)

_INTERVAL = "the confidence interval of value, for mutual_information of value - expected; holds error_bound."

SCHEMAS: dict[str, pa.Schema] = {
    "profile": pa.schema(
        [
            _field("column", TEXT, "Column name; fields of structs are dotted."),
            _field("type", TEXT, "Arrow type in the files."),
            _field("kind", TEXT, "category, number, time or text."),
            _field("role", TEXT, "feature, target or event_time."),
            _field("rows", INTEGER, "Rows read."),
            _field("missing", INTEGER, "Rows in which the value is null."),
            _field("nonfinite", INTEGER, "Rows that hold NaN or an infinity; they take no part in moments."),
            _field("distinct", INTEGER, "Distinct values, nulls left out; an estimate where the bounds differ."),
            _field("distinct_low", INTEGER, "Lower bound of distinct, two standard errors."),
            _field("distinct_high", INTEGER, "Upper bound of distinct, two standard errors."),
            _field("mean", REAL, "Mean of the finite values; of times, microseconds since 1970 UTC."),
            _field("std", REAL, "Standard deviation, ddof 1; with weights, reliability weights: M2 / (W - W2 / W)."),
            _field("skewness", REAL, "Skewness m3 / m2^1.5, biased as in scipy.stats.skew."),
            _field("kurtosis", REAL, "Excess kurtosis m4 / m2^2 - 3, biased as in scipy.stats.kurtosis."),
            _field("min", REAL, "Smallest finite value."),
            _field("max", REAL, "Largest finite value."),
            _field("quantiles", pa.list_(REAL), f"Quantiles at {', '.join(map(str, QUANTILE_PROBABILITIES))}."),
            _field("quantile_rank_error", REAL, "Largest share of values that one histogram cell cannot tell apart."),
            _field(
                "top_values",
                pa.list_(pa.struct([("value", TEXT), ("count", INTEGER)])),
                "Most frequent values; lower bounds of the counts where distinct is an estimate.",
            ),
            _nats("entropy", "Plug-in entropy of the values, missing as one more; null where values are not exact."),
            _field("alerts", NAMES, "What to look at before using the column."),
            _field("quantile_sketch", pa.binary(), "Apache DataSketches KLL (doubles, k=200) of the finite values."),
            _field("distinct_sketch", pa.binary(), "Apache DataSketches HLL (lg k = 12, HLL_4) of the values."),
            _field("frequent_sketch", pa.binary(), "Apache DataSketches frequent strings of the values."),
        ]
    ),
    "correlation": pa.schema(
        [
            _field("method", TEXT, "pearson, spearman, cramers_v, correlation_ratio or mutual_information (in nats)."),
            _field("feature_a", TEXT, "First column; the category in a correlation ratio."),
            _field("feature_b", TEXT, "Second column; the number in a correlation ratio."),
            _field("n", INTEGER, "Rows used: both present, or for mutual_information all rows, missing as a level."),
            _field("value", REAL, "The statistic; null where a column does not vary over the rows used."),
            _field("expected", REAL, "Mean of the statistic under independence, for mutual_information, in nats."),
            _field("error_bound", REAL, "For spearman: bound on the distance from the exact rank correlation."),
            _field("standard_error", REAL, "Standard error of value, by error_method; error_bound is not in it."),
            _field("ci_low", REAL, f"Lower end of {_INTERVAL}"),
            _field("ci_high", REAL, f"Upper end of {_INTERVAL}"),
            _field(
                "error_method",
                TEXT,
                "fisher_z, from value and n; jackknife, over groups of rows; null where there is none.",
            ),
            *_TESTS,
        ]
    ),
    "ranking": pa.schema(
        [
            _field("target", TEXT, "Target column."),
            _field("rank", INTEGER, "1 for the highest corrected_mi of the target."),
            _field("feature", TEXT, "Feature column."),
            _field("n", INTEGER, "Rows in which the target is present."),
            _field("effective_n", REAL, "Rows of equal weight that would say as much; n without weights."),
            _field("cardinality", INTEGER, "Levels of the feature seen in these rows, missing counted as one."),
            _nats("mi", "Plug-in mutual information with the target."),
            _nats("expected_mi", "Exact mean of mi over permutations of the target, both margins fixed."),
            _nats("corrected_mi", "mi - expected_mi."),
            _field("normalized_mi", REAL, "corrected_mi / (H(target) - expected_mi)."),
            _nats("null_std", "Standard deviation of mi under the null."),
            _field(
                "null_method",
                TEXT,
                "How p_value was found: exact, gamma, monte_carlo, f (clusters), degenerate (one value).",
            ),
            _field(
                "design_effect",
                REAL,
                "Variance of the score over clusters divided by that over rows; null without clusters.",
            ),
            _field("z", REAL, "(mi / design_effect - expected_mi) / null_std."),
            *_TESTS,
            _field("significant", pa.bool_(), "Whether q_value is at most uncertainty.false_discovery_rate."),
            _field("noise_rank", INTEGER, "Rank from which on nothing is significant, for the whole target."),
            _nats("standard_error", "Jackknife standard error of corrected_mi."),
            _nats("ci_low", "Lower end of the confidence interval of corrected_mi."),
            _nats("ci_high", "Upper end of the confidence interval of corrected_mi."),
            _field("rank_low", INTEGER, "Best rank that the intervals leave possible."),
            _field("rank_high", INTEGER, "Worst rank that the intervals leave possible."),
            _nats("missing_mi", "Corrected information in whether the feature is missing."),
            _nats("value_mi", "Corrected information in its values where present; adds up to corrected_mi."),
            _nats("marginal_mi", "Corrected information without regard to the strata; null without strata."),
            _nats("forward_information", "Mean of the same column of ranking_window over rows; null without windows."),
            _nats("random_split_information", "The same for random splits of rows, with as many rows to learn from."),
            _field("window_rank_std", REAL, "Standard deviation of the rank over windows, ddof 1."),
            _nats("hash_loss", "Estimated information lost to hashing; null where every level is counted."),
            _field("alerts", NAMES, "Alerts of the feature's profile, and of its relation to the target."),
        ]
    ),
    "ranking_window": RANKING_WINDOW,
    "interaction": pa.schema(
        [
            _field("target", TEXT, "Target column."),
            _field("rank", INTEGER, "1 for the highest synergy of the target."),
            _field("feature_a", TEXT, "First feature."),
            _field("feature_b", TEXT, "Second feature."),
            _field("n", INTEGER, "Rows in which the target is present."),
            _field("rows_used", INTEGER, "Rows that this row's numbers come from; n and those without the target."),
            _nats("joint_mi", "Plug-in mutual information of the pair with the target."),
            _nats("expected_mi", "Exact mean of joint_mi over permutations of the target."),
            _nats("corrected_joint_mi", "joint_mi - expected_mi."),
            _nats("synergy", "corrected_joint_mi less the corrected information of each feature alone."),
            _nats("standard_error", "Jackknife standard error of synergy."),
            _nats("ci_low", "Lower end of the confidence interval of synergy."),
            _nats("ci_high", "Upper end of the confidence interval of synergy."),
            _field("z", REAL, "synergy / standard_error."),
            _field("synergy_p_value", REAL, "Probability of a |z| at least this large if synergy is 0; Student's t."),
            _field("p_value", REAL, "Of the joint: the larger p of I(A;Y|B) and I(B;Y|A), each against its own null."),
            _field("q_value", REAL, "From p_value, over all pairs looked at, those not kept counted as p = 1."),
            _field("strategy", TEXT, "memorise: cross the two; naive: leave them apart; null where it is open."),
        ]
    ),
    "embedding": pa.schema(  # entity columns and event_time come before these
        [
            _field("column", TEXT, "Column of images."),
            _field("encoder", TEXT, "What made the vector: encoder, version, preprocessing and decoder."),
            _field("status", TEXT, "ok, or why there is no vector: missing, empty, unreadable, truncated, ..."),
            _field("error", TEXT, "What the reader or the decoder said; null where the status says all."),
            _field("embedding", pa.list_(pa.float32()), "Vector; null unless the status is ok."),
        ]
    ),
    "embedding_profile": pa.schema(
        [
            _field("column", TEXT, "Column of images."),
            _field("encoder", TEXT, "What made the vectors: encoder, version, preprocessing and decoder."),
            _field("rows", INTEGER, "Rows read: valid + failed + nonfinite."),
            _field("valid", INTEGER, "Rows with a finite vector; all that follows is of these."),
            _field("failed", INTEGER, "Rows without a vector: missing images, and those of which nothing was made."),
            _field("nonfinite", INTEGER, "Rows whose vector holds NaN or an infinity."),
            _field("width", INTEGER, "Dimensions of a vector, d."),
            _field(
                "norm_edges", REALS, "Edges of the bins of Euclidean lengths, ascending; a bin holds its lower one."
            ),
            _field("norm_counts", INTEGERS, "Vectors by length: one bin fewer than edges, from the first used bin on."),
            _field("centroid", REALS, "Mean of each dimension."),
            _field("variance", REALS, "Variance of each dimension, ddof 1."),
            _field("spectrum", REALS, "Eigenvalues of the covariance, ddof 1, falling."),
            _field(
                "effective_rank", REAL, "exp of the entropy of the spectrum's shares: 1 to d (Roy & Vetterli 2007)."
            ),
            _field("dead_dimensions", INTEGER, "Dimensions that never vary."),
            _field("prefix", INTEGERS, "Numbers of leading dimensions: powers of two below d, and d."),
            _field("prefix_variance", REALS, "Share of the total variance in so many leading dimensions."),
            _field("exact_duplicates", INTEGER, "Images beyond the first of the same bytes."),
            _field("near_duplicates", INTEGER, "Images that look like one of other bytes by their perceptual hashes."),
            _field(
                "leakage",
                pa.list_(pa.struct([("first", TEXT), ("second", TEXT), ("exact", INTEGER), ("near", INTEGER)])),
                "Of two values of the split column: images of the second that the first has; others like one of it.",
            ),
            _field(
                "targets",
                pa.list_(_TARGET),
                "For each target: the classes seen, scatter being the mean squared distance from the class's centroid; "
                "majority_share of the largest; fisher_by_dimension, the variance between classes over that within; "
                "fisher_ratio, its mean over dimensions that vary within classes, which is trace(Sb) / trace(Sw) where "
                "each is divided by its standard deviation within classes (Fukunaga 1990); accuracies on held_out_rows "
                "of classifiers made from other shards: the nearest class mean, of all dimensions and of each prefix, "
                "and linear discriminant analysis.",
            ),
        ]
    ),
    "drift": DRIFT,
    "quarantine": pa.schema(
        [
            _field("uri", TEXT, "File."),
            _field("row_group", INTEGER, "Row group; null for a whole file."),
            _field("row", INTEGER, "Row within the row group; null for a whole row group."),
            _field("column", TEXT, "Column at fault, where known."),
            _field("rows", INTEGER, "Rows lost; null where the footer cannot be read."),
            _field("reason", TEXT, "unreadable_file or unreadable_row_group."),
            _field("detail", TEXT, "What the reader said."),
        ]
    ),
}


def schema(name: str) -> pa.Schema:
    """Return the schema of the table ``name``.

    Raises
    ------
    ConfigurationError
        No such table; the message lists those there are.
    """
    if name not in SCHEMAS:
        raise ConfigurationError(f"no table '{name}'; tables are {', '.join(SCHEMAS)}")
    return SCHEMAS[name]


def build(name: str, columns: dict[str, Any]) -> pa.Table:
    """Return table ``name`` from its columns; absent columns are null, NaN and infinities become null.

    Parameters
    ----------
    columns
        Arrays or lists of one length, by field name.

    Examples
    --------
    >>> build("quarantine", {"uri": ["a.parquet"], "reason": ["unreadable_file"]}).column("rows").null_count
    1
    """
    length = max(map(len, columns.values()), default=0)
    unknown = set(columns) - set(SCHEMAS[name].names)
    if unknown:
        raise KeyError(f"table {name} has no column {sorted(unknown)}")
    arrays = [_array(columns.get(field.name), field.type, length) for field in SCHEMAS[name]]
    return pa.Table.from_arrays(arrays, schema=SCHEMAS[name])


def _array(values: Any, kind: pa.DataType, length: int) -> pa.Array:
    if values is None:
        return pa.nulls(length, kind)
    if kind == REAL:
        real = (
            values
            if isinstance(values, np.ndarray)
            else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        )
        return pa.array(real, kind, mask=~np.isfinite(real))
    return pa.array(values, kind)


def describe(name: str) -> dict[str, Any]:
    """Return the published JSON description of a table: field names, types, units, meanings."""
    fields = []
    for field in schema(name):
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        fields.append({"name": field.name, "type": str(field.type), **metadata})
    return {"table": name, "fields": fields}
