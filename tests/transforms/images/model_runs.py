"""Runs whose images models encode, what their embedding tables say, and pictures with planted truths."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

COLOURS = np.array([(220, 50, 50), (50, 190, 70), (50, 70, 210), (230, 220, 80)])


def by_model(folder, column="photo", **options):
    """Return the options of an image column that a model encodes."""
    return {"column": column, "encoder": f"transformers:{folder}"} | options


def configuration(source, output, images, kind="serial", **dataset):
    return {
        "dataset": {"source": str(source), "images": images} | dataset,
        "output": str(output),
        "engine": {"kind": kind},
        "analyses": {"correlation": False, "interaction": False},
    }


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def said(run, column, name):
    """Return what the embedding table says of an image column, row by row."""
    table = run.arrow("embedding")
    return table.filter(pc.equal(table["column"], column))[name].to_pylist()


def as_array(lists):
    """Return lists, NaN where there is none, shape (rows, width), float32."""
    width = max(len(each) for each in lists if each is not None)
    return np.array([[np.nan] * width if each is None else each for each in lists], np.float32)


def vectors(run, column="photo"):
    """Return an image column's vectors in the embedding table as an array."""
    return as_array(said(run, column, "embedding"))


@dataclass(frozen=True)
class Planted:
    """Pictures of four colours, with planted labels and copies."""

    table: pa.Table
    """Columns key, photo, part (of a split), label (the colour, one in six or so drawn anew), permuted (labels)."""
    group: np.ndarray
    """Colour of each row, 0 to 3."""
    look: np.ndarray
    """Rows with the same number look alike; no others do."""
    there: np.ndarray
    """Rows with a picture."""


def planted(rows):
    """Return so many pictures: 40 are the bytes of another, 30 are another but for a pixel, four are damaged."""
    random, row = np.random.default_rng(3), np.arange(rows)
    failed = np.array([3, rows // 4, rows // 2, rows - 1])
    there = np.setdiff1d(row, failed)
    group, look, nudge = random.integers(0, 4, rows), row.copy(), np.zeros(rows, np.uint8)
    some = random.permutation(there)
    look[some[:70]], nudge[some[40:70]] = random.choice(some[70:140], 70), 1 + np.arange(30)
    group = group[look]
    shades = random.integers(-20, 21, (rows, 8, 9, 1))[look]
    pixels = (COLOURS[group][:, None, None] + shades).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    pixels[:, 0, 0, 2] ^= nudge
    photos = [png(each) for each in pixels]
    for place, damage in zip(failed, (None, b"", photos[0][:60], b"not an image"), strict=True):
        photos[place] = damage
    colour = np.array(["red", "green", "blue", "yellow"])[group]
    label = np.where(random.random(rows) < 0.15, random.permutation(colour), colour)
    columns = {
        "key": row,
        "photo": pa.array(photos, pa.binary()),
        "part": random.choice(["test", "train", "valid"], rows, p=[0.2, 0.6, 0.2]),
        "label": pa.array(label, mask=np.isin(row, [3, 17, rows // 3])),
        "permuted": random.permutation(label),
    }
    return Planted(pa.table(columns), group, look, there)
