"""The embedding table."""

from __future__ import annotations

import pyarrow as pa

from featflow.storage.tables import (
    TEXT,
    TableSpec,
    field,
)

__all__ = ["EMBEDDING"]

EMBEDDING = TableSpec(
    name="embedding",
    row="an image; the entity columns and event_time come before these columns, as they are in the files",
    schema=pa.schema(
        [
            field("column", TEXT, "Column of images."),
            field("encoder", TEXT, "What made the vector: encoder, version, preprocessing and decoder."),
            field("status", TEXT, "ok, or why there is no vector: missing, empty, unreadable, truncated, ..."),
            field("error", TEXT, "What the reader or the decoder said; null where the status says all."),
            field("embedding", pa.list_(pa.float32()), "Vector; null unless the status is ok."),
        ]
    ),
    of_images=("embedding",),
)
