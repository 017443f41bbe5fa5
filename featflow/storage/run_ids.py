"""Names of runs: they sort by time, and nothing else looks like one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["RUN_ID", "SECOND", "new_run_id", "run_ids", "time_of"]

RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
"""What `new_run_id` gives."""
SECOND = len("20260102T030405Z")
"""Characters of a name that say when its run began."""


def new_run_id(now: datetime) -> str:
    """Return a name that sorts by time.

    Examples
    --------
    >>> new_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:17]
    '20260102T030405Z-'
    """
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def time_of(run_id: str) -> datetime | None:
    """Return when a run began by its name, None for a name that is no run's.

    Examples
    --------
    >>> time_of("20260102T030405Z-abc123").isoformat(), time_of("20260230T030405Z-abc123"), time_of("exp1")
    ('2026-01-02T03:04:05+00:00', None, None)
    """
    if not RUN_ID.fullmatch(run_id):
        return None
    try:
        return datetime.strptime(run_id[:SECOND], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def run_ids(names: Iterable[str]) -> list[str]:
    """Return the names that are runs', in their order."""
    return [name for name in names if time_of(name)]
