"""Images of a run's dataset, read back with their vectors: shards and their parts of the embedding table."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from featflow.columns.column import Column, Kind
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import DataFile, check_unchanged
from featflow.dataset.image_places import folder_uri
from featflow.dataset.parquet import open_parquet
from featflow.dataset.table_files import IMMUTABLE
from featflow.errors import DatasetError, InfrastructureError
from featflow.storage.records.tables import streaming
from featflow.storage.run import Run
from featflow.transforms.images.pictures import decode

__all__ = ["MOST_IMAGES", "Piece", "first_rows", "images", "pieces", "thumbnail"]

MOST_PIECES = 8
"""Shards that examples are chosen from, spread over the dataset: vectors are read of these, and files of the chosen
images; with `MOST_IMAGES` these are at most 16,000 vectors."""
MOST_IMAGES = 2_000
"""Images of a shard that examples are chosen from, its first, which bounds vectors in memory."""
SIDE, QUALITY = 96, 72
"""Longest side of a thumbnail in pixels, and its JPEG quality: the page holds up to 180 of them, and is small."""


@dataclass(frozen=True)
class Piece:
    """A shard of a run and its part of the embedding table."""

    shard: Shard
    table: str
    """URI of the part."""
    allow: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Folders beside the dataset's own in which rows may name images, by column."""


def pieces(run: Run) -> tuple[list[Piece], int]:
    """Return some shards of a run, spread evenly, and how many there are.

    Raises
    ------
    DatasetError
        The dataset has changed since the run.
    InfrastructureError
        Storage failed.
    """
    inputs, paths = run.inputs(), run.paths("embedding")
    if len(paths) != len(inputs):
        raise DatasetError(f"{len(paths)} parts of images and {len(inputs)} shards were read; run again")
    chosen = np.unique(np.linspace(0, len(paths) - 1, MOST_PIECES).astype(int))
    allow: dict[str, tuple[str, ...]] = {}
    for image in run.manifest["config"]["dataset"].get("images", ()):
        named = map(folder_uri, image.get("allow", ()))
        allow[image["column"]] = (*allow.get(image["column"], ()), *named)
    found = [Piece(_shard(inputs[i], run.store.options), run.store.uri(paths[i]), allow) for i in chosen]
    return found, len(paths)


def _shard(entry: dict[str, Any], options: dict[str, Any]) -> Shard:
    if entry["version"].startswith(IMMUTABLE):  # the manifest does not say how the table reads the file
        raise DatasetError(f"{entry['uri']}: no pictures are looked up in files of Delta and Iceberg tables")
    groups = tuple(entry["row_groups"])
    file = DataFile(entry["uri"], entry["size"], entry["version"], parquet=entry.get("parquet", ""))
    below = entry.get("images_below", [entry["uri"].rpartition("/")[0]])
    file = replace(file, images_below=tuple(below))
    check_unchanged(file, options)
    with open_parquet(file.readable, options) as opened:
        rows = tuple(opened.metadata.row_group(group).num_rows for group in groups)
        nbytes = file.size * int(entry["rows"]) // max(opened.metadata.num_rows, 1)
    return Shard(file, groups, rows, nbytes, range(*entry["part"]) if entry.get("part") else None)


def first_rows(piece: Piece, image: tuple[str, str], options: dict[str, Any]) -> pa.Table:
    """Return the embedding table of the first `MOST_IMAGES` images of a shard.

    Parameters
    ----------
    image
        Column and encoder: every encoder has its own rows of the same images.
    options
        Of the filesystem of the run.
    """
    column, encoder = image
    batches, remaining = list[pa.Table](), MOST_IMAGES
    with streaming(piece.table, options), open_parquet(piece.table, options) as part:
        batches.append(part.schema_arrow.empty_table())
        for batch in part.iter_batches(MOST_IMAGES):
            matching = pc.and_(pc.equal(batch["column"], column), pc.equal(batch["encoder"], encoder))
            batches.append(pa.table(batch.filter(matching).slice(0, remaining)))
            remaining -= len(batches[-1])
            if not remaining:
                break
    return pa.concat_tables(batches)


def images(piece: Piece, column: str, rows: Collection[int], options: dict[str, Any]) -> dict[int, bytes]:
    """Return the encoded images of some rows of a shard; rows after the last one requested are not read."""
    requested, contents, start = set(rows), dict[int, bytes](), 0
    columns = (Column(column, "image", Kind.IMAGE, allow=piece.allow.get(column, ())),)
    size = piece.shard.nbytes // max(piece.shard.rows, 1)
    for batch in _batches(piece, columns, options, batch_rows(columns, size)):
        data = batch.column(0).field("bytes")
        for row in sorted(requested):
            if start <= row < start + batch.num_rows and data[row - start].is_valid:
                contents[row] = data[row - start].as_py()
        start += batch.num_rows
        if start > max(requested, default=-1):
            break
    return contents


def _batches(piece: Piece, columns: tuple[Column, ...], options: dict[str, Any], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(piece.shard, columns, options, rows):
        if isinstance(batch, Quarantined):
            raise InfrastructureError(f"{batch.uri}: cannot be read any more: {batch.detail}")
        yield batch


def thumbnail(data: bytes, most_pixels: int) -> str | None:
    """Return a small picture as a data URI; None if there is none in the bytes.

    Examples
    --------
    >>> thumbnail(b"no image", 100) is None
    True
    """
    picture = decode(data, most_pixels).image
    if picture is None:
        return None
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}"
