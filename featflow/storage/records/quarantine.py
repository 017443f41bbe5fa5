"""Notes of row groups that cannot be read, below ``states/quarantine``."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from featflow.storage.records.json_files import ABSENT, Record, read_json
from featflow.storage.records.manifest import Count
from featflow.storage.store import Store

__all__ = ["read_unreadable"]


class _Unreadable(Record):
    uri: str
    row_group: Count | None
    rows: Count | None
    reason: str
    detail: str
    column: str | None = ABSENT


MODEL = TypeAdapter(list[_Unreadable])


def read_unreadable(store: Store, path: str) -> list[dict[str, Any]]:
    """Return what a note names.

    Raises
    ------
    DamagedError
        It is not what was written.
    FileNotFoundError
        There is no such note.
    """
    entries: list[dict[str, Any]] = read_json(store, path, MODEL, "remove it: the next run reads again what it names")
    return entries
