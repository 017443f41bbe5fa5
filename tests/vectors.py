"""Batches of vectors, digests and labels for tests."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from featflow.columns.binning import category_coding
from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES

VECTOR = Column("v", "vector", Kind.VECTOR)
CONTENT = Column("c", "binary", Kind.VECTOR)
LABEL = Column("y", "string", Kind.CATEGORY)


def label_coding(levels):
    return category_coding(LABEL, list(levels), [1] * len(levels), 16)


def vectors(values, absent=None):
    values = np.ascontiguousarray(values, np.float32)
    mask = pa.array(np.zeros(len(values), bool) if absent is None else absent)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1], mask=mask)


def digests(names):
    values = [None if name is None else hashlib.sha256(str(name).encode()).digest()[:DIGEST_BYTES] for name in names]
    return pa.array(values, pa.binary(DIGEST_BYTES))


def batch_of(values, *, labels=None, names=None, absent=None):
    columns = {"v": vectors(values, absent)}
    if labels is not None:
        columns["y"] = pa.array(list(labels), pa.string()).dictionary_encode()
    if names is not None:
        columns["c"] = digests(names)
    return pa.record_batch(columns)


def merged(spec, batch, size):
    """The state of a batch cut into pieces."""
    state = spec.empty()
    for start in range(0, batch.num_rows, size):
        state = state.merge(spec.summarize(batch.slice(start, size)))
    return state


def same(left, right):
    return left.to_arrow().equals(right.to_arrow(), check_metadata=True)
