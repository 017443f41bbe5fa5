"""The group table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import INTEGER, REAL, TEXT, TableSpec, field, nats

__all__ = ["GROUP"]

GROUP = TableSpec(
    name="group",
    row="a feature, in its group",
    schema=pa.schema(
        [
            field("group", INTEGER, "1 for the group whose representative ranks best; without a ranking, by name."),
            field("representative", TEXT, "Feature that stands for the group, which one may keep alone."),
            field("feature", TEXT, "Feature; the representative first, then the most similar to it."),
            field("is_representative", pa.bool_(), "Whether the feature is the representative."),
            field(
                "similarity",
                REAL,
                "Similarity to the representative, 0 to 1; null in groups of chains (see methods) that do not hold it.",
            ),
            field("size", INTEGER, "Features of the group; 1 where a feature stands alone."),
            field("target", TEXT, "Target about which the feature ranks best; null without a ranking."),
            nats("relevance", "corrected_mi about that target."),
            field("missing", INTEGER, "Rows in which the feature is missing."),
        ]
    ),
    of_columns=("similarity",),
)
