"""Notes of images that storage did not give, below ``states/not_given``."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from featflow.storage.records.json_files import Record, read_json
from featflow.storage.records.manifest import Count
from featflow.storage.store import Store

__all__ = ["read_not_given"]


class _NotGiven(Record):
    uri: str
    column: str
    row_group: Count
    row: Count


MODEL = TypeAdapter(list[_NotGiven])


def read_not_given(store: Store, path: str) -> list[dict[str, Any]]:
    """Return the places of images that a note names.

    Raises
    ------
    DamagedError
        It is not what was written.
    FileNotFoundError
        There is no such note.
    """
    entries: list[dict[str, Any]] = read_json(store, path, MODEL, "remove it: the next run asks for the images again")
    return entries
