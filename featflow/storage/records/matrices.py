"""Matrices of a run: blocks of Arrow tensors, and an index that says which rows and columns each is of."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter

from featflow.errors import DamagedError, DatasetError, first_line
from featflow.storage.records.json_files import ABSENT, MOST_BYTES, Record, checked
from featflow.storage.records.manifest import Digest
from featflow.storage.records.tables import damaged
from featflow.storage.run_ids import RUN_ID
from featflow.storage.store import Store

__all__ = ["read_block", "read_index"]

BlockPath = Annotated[str, Field(pattern=rf"^runs/{RUN_ID.pattern}/tensors/[a-z_]+/[0-9]+\.arrow\z")]


class _Block(Record):
    path: BlockPath
    rows: list[str]
    columns: list[str]
    sha256: Digest = ABSENT
    """Older releases write none."""


MODEL = TypeAdapter(list[_Block])


def read_index(store: Store, path: str, sha256: str | None) -> list[dict[str, Any]]:
    """Return the blocks of a matrix.

    Raises
    ------
    DamagedError
        It is no list of blocks, or its bytes are not those that were written.
    FileNotFoundError
        There is no such matrix.
    """

    def blocks_in(data: bytes) -> list[dict[str, Any]]:
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError(damaged(store.uri(path)))
        blocks: list[dict[str, Any]] = checked(data, store.uri(path), MODEL, "run it again")
        return blocks

    return store.read_checked(path, blocks_in, MOST_BYTES)


def read_block(store: Store, block: dict[str, Any]) -> np.ndarray:
    """Return the values of a block, shape (rows, columns).

    Raises
    ------
    DatasetError
        Its file is not there.
    DamagedError
        It is not what was written.
    """
    uri = store.uri(block["path"])
    try:
        return store.read_checked(block["path"], lambda data: _values(data, block, uri))
    except FileNotFoundError:
        raise DatasetError(f"{uri}: the run's matrix is not there any more; run it again") from None


def _values(data: bytes, block: dict[str, Any], uri: str) -> np.ndarray:
    if block.get("sha256", digest := hashlib.sha256(data).hexdigest()) != digest:
        raise DamagedError(damaged(uri))
    try:
        values = pa.ipc.read_tensor(pa.BufferReader(data)).to_numpy()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{uri}: damaged: {first_line(error)}; run it again") from None
    if values.dtype != np.float64 or values.shape != (len(block["rows"]), len(block["columns"])):
        raise DamagedError(f"{uri}: damaged: not the numbers that its index describes; run it again")
    return np.asarray(values)
