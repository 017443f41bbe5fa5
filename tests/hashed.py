"""Datasets of images for the tests, and of nothing but their hashes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featflow.columns.column import Column, Kind
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.execution import state_store
from featflow.execution.engines.ray import RayEngine
from featflow.execution.engines.serial import SerialEngine
from featflow.execution.passes import Workspace
from featflow.execution.progress import SilentProgress
from featflow.storage.store import Store
from featflow.transforms.images.embeddings import EmbeddingsSummarizer, embeddings_schema
from featflow.transforms.images.encoders import DescriptorsSpec

PHOTO = Column("photo", "image", Kind.IMAGE, source_type="binary")


def opened(folder, table, kind="serial", parts=3, **dataset):
    """A dataset of so many files, and the workspace of a run over it."""
    (folder / "data").mkdir()
    cuts = np.linspace(0, len(table), parts + 1).astype(int)
    for index, (start, end) in enumerate(pairwise(cuts)):
        pq.write_table(table.slice(start, end - start), folder / "data" / f"{index}.parquet")
    config = parse({"dataset": {"source": str(folder / "data")} | dataset, "output": str(folder / "out")})
    engine = RayEngine(None, 2) if kind == "ray" else SerialEngine()
    workspace = Workspace(Store(config.output), engine, SilentProgress(), 2**24, 2**24)
    return open_dataset(config.dataset), workspace, EmbeddingsSummarizer(PHOTO, DescriptorsSpec(), 10**8)


def of_hashes(folder, images, kind="serial"):
    """The same of images that are nothing but content, hash and part; content None is no picture."""
    table = pa.table({"x": np.arange(len(images)), "part": pa.array([part for *_, part in images], pa.string())})
    dataset, workspace, spec = opened(folder, table, kind)
    start, schema = 0, embeddings_schema(spec.encoder.width)
    for shard in dataset.shards:
        rows = [
            {"content": content, "likeness": None if content is None else likeness}
            for content, likeness, _ in images[start : start + shard.rows]
        ]
        start += shard.rows
        workspace.store.write_arrow(state_store.path(spec, shard.digest), pa.Table.from_pylist(rows, schema))
    return workspace, dataset.shards, spec, next(c for c in dataset.columns if c.name == "part")
