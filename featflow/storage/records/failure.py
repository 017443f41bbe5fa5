"""``failure.json``: why a run ended that was not published."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from featflow.storage.records.json_files import ABSENT, Record, read_json
from featflow.storage.records.manifest import Seconds, Time
from featflow.storage.store import Store

__all__ = ["FAILURE", "read_failure"]

FAILURE = "failure.json"
"""Its name in the folder of the run."""


class _Failure(Record):
    started: Time = ABSENT
    seconds: dict[str, Seconds] = ABSENT
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = ABSENT
    error: str = ABSENT


MODEL = TypeAdapter(_Failure)


def read_failure(store: Store, run_id: str) -> dict[str, Any] | None:
    """Return the note of a run, None if it left none; raise DamagedError if it cannot be read."""
    try:
        note: dict[str, Any] = read_json(store, f"runs/{run_id}/{FAILURE}", MODEL, "remove it: nothing else needs it")
    except FileNotFoundError:
        return None
    return note
