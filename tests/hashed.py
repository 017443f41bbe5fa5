"""Datasets of images for the tests, and of nothing but their hashes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.execution import state_store
from featflow.execution.context import Context
from featflow.execution.engines.ray import RayEngine
from featflow.execution.engines.serial import SerialEngine
from featflow.execution.progress import SilentProgress
from featflow.execution.workspace import Workspace
from featflow.measures.options import UncertaintyOptions
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import DescriptorsSpec

PHOTO = Column("photo", "image", Kind.IMAGE, source_type="binary")


def opened(folder, table, kind="serial", parts=3, **dataset):
    """A dataset of so many files, and the context of a run over it."""
    (folder / "data").mkdir()
    cuts = np.linspace(0, len(table), parts + 1).astype(int)
    for index, (start, end) in enumerate(pairwise(cuts)):
        pq.write_table(table.slice(start, end - start), folder / "data" / f"{index}.parquet")
    config = parse({"dataset": {"source": str(folder / "data")} | dataset, "output": str(folder / "out")})
    engine = RayEngine(None, 2) if kind == "ray" else SerialEngine()
    workspace = Workspace(Store(config.output), engine, SilentProgress(), 2**24, 2**24)
    dataset = open_dataset(config.dataset)
    context = Context(workspace, dataset, UncertaintyOptions(), RunWriter(workspace.store, "hashed"))
    return dataset, context, Embedding(PHOTO, DescriptorsSpec(), 10**8)


def of_hashes(folder, images, kind="serial"):
    """The same of images that are nothing but content, hash and part; content None is no picture."""
    table = pa.table({"x": np.arange(len(images)), "part": pa.array([part for *_, part in images], pa.string())})
    dataset, context, made = opened(folder, table, kind)
    start, names = 0, [made.named(name).name for name in ("content", "perceptual_hash")]
    schema = pa.schema(list(zip(names, (pa.binary(DIGEST_BYTES), pa.uint64()), strict=True)))
    for shard in dataset.shards:
        rows = [
            dict(zip(names, (content, None if content is None else perceptual_hash), strict=True))
            for content, perceptual_hash, _ in images[start : start + shard.rows]
        ]
        start += shard.rows
        path = state_store.path(StoredSummarizer(made), shard.digest)
        context.workspace.store.write_arrow(path, pa.Table.from_pylist(rows, schema))
    return context, dataset.shards, made, next(c for c in dataset.columns if c.name == "part")
