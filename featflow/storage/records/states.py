"""States and what else is kept as Arrow with a digest: read, validated, and rebuilt as what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from featflow.errors import DamagedError, FeatflowError, first_line
from featflow.storage.store import Store

__all__ = ["codebook_path", "frozen_path", "read_state"]

T = TypeVar("T")


def read_state(store: Store, path: str, rebuild: Callable[[pa.Table], T]) -> T:
    """Return what is made of a state's table.

    Raises
    ------
    DamagedError
        Its bytes are not those that were written, or they are the table of something else.
    FileNotFoundError
        There is no such state.
    """
    table = store.read_arrow(path)
    try:
        return rebuild(table)
    except (FeatflowError, MemoryError):
        raise
    except Exception as error:  # whatever rebuilding stumbles over
        raise DamagedError(
            f"{store.uri(path)}: damaged: not what its name says ({type(error).__name__}: {first_line(error)}); "
            "remove it and run again"
        ) from error


def frozen_path(digest: str) -> str:
    """Return the path of arrays that a transform has fitted to data."""
    return f"states/frozen/{digest}.arrow"


def codebook_path(digest: str) -> str:
    """Return the path of a codebook."""
    return f"states/codebook/{digest}.arrow"
