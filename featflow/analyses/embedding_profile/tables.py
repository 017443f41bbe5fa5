"""The embedding_profile table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import (
    INTEGER,
    INTEGERS,
    REAL,
    REALS,
    TEXT,
    TableSpec,
    field,
)

__all__ = ["EMBEDDING_PROFILE"]

CLASS = pa.struct([("class", TEXT), ("n", INTEGER), ("centroid", REALS), ("scatter", REAL)])
TARGET = pa.struct(
    [
        ("target", TEXT),
        ("classes", pa.list_(CLASS)),
        ("majority_share", REAL),
        ("fisher_ratio", REAL),
        ("fisher_by_dimension", REALS),
        ("nearest_mean_accuracy", REAL),
        ("linear_probe_accuracy", REAL),
        ("prefix_accuracy", REALS),
        ("held_out_rows", INTEGER),
    ]
)


EMBEDDING_PROFILE = TableSpec(
    name="embedding_profile",
    row="a column of images and an encoder",
    schema=pa.schema(
        [
            field("column", TEXT, "Column of images."),
            field("encoder", TEXT, "What made the vectors: encoder, version, preprocessing and decoder."),
            field("rows", INTEGER, "Rows read: valid + failed + nonfinite."),
            field("valid", INTEGER, "Rows with a finite vector; all that follows is of these."),
            field("failed", INTEGER, "Rows without a vector: missing images, and those of which nothing was made."),
            field("nonfinite", INTEGER, "Rows whose vector holds NaN or an infinity."),
            field("width", INTEGER, "Dimensions of a vector, d."),
            field("norm_edges", REALS, "Edges of the bins of Euclidean lengths, ascending; a bin holds its lower one."),
            field("norm_counts", INTEGERS, "Vectors by length: one bin fewer than edges, from the first used bin on."),
            field("centroid", REALS, "Mean of each dimension."),
            field("variance", REALS, "Variance of each dimension, ddof 1."),
            field("spectrum", REALS, "Eigenvalues of the covariance, ddof 1, falling."),
            field("effective_rank", REAL, "exp of the entropy of the spectrum's shares: 1 to d (Roy & Vetterli 2007)."),
            field("dead_dimensions", INTEGER, "Dimensions that never vary."),
            field("prefix", INTEGERS, "Numbers of leading dimensions: powers of two below d, and d."),
            field("prefix_variance", REALS, "Share of the total variance in so many leading dimensions."),
            field("exact_duplicates", INTEGER, "Images beyond the first of the same bytes."),
            field("near_duplicates", INTEGER, "Images that look like one of other bytes by their perceptual hashes."),
            field(
                "leakage",
                pa.list_(pa.struct([("first", TEXT), ("second", TEXT), ("exact", INTEGER), ("near", INTEGER)])),
                "Of two values of the split column: images of the second that the first has; others like one of it.",
            ),
            field(
                "targets",
                pa.list_(TARGET),
                "For each target: the classes seen, scatter being the mean squared distance from the class's centroid; "
                "majority_share of the largest; fisher_by_dimension, the variance between classes over that within; "
                "fisher_ratio, its mean over dimensions that vary within classes, which is trace(Sb) / trace(Sw) where "
                "each is divided by its standard deviation within classes (Fukunaga 1990); accuracies on held_out_rows "
                "of classifiers made from other shards: the nearest class mean, of all dimensions and of each prefix, "
                "and linear discriminant analysis.",
            ),
        ]
    ),
    of_images=("centroid", "spectrum"),
)
