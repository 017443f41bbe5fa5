"""What the last runs at an output did, and whether one is under way: from manifests, notes of failures and the lock."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.compute as pc

from featflow.errors import ConfigurationError, DatasetError
from featflow.storage import lock
from featflow.storage.run import FAILURE, Run
from featflow.storage.store import Store

__all__ = ["RunStatus", "Status", "UnderWay", "age", "status"]

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
RUN = re.compile(r"\d{8}T\d{6}Z-")
"""What names of runs begin with."""
DONE = "done"


@dataclass(frozen=True)
class RunStatus:
    """What a run did. What is not known of one that was not finished is None."""

    run: str
    status: str
    """done, bad data, failed, or unfinished where nothing says how it ended."""
    started: str
    """Time, ISO 8601."""
    latest: bool = False
    """Whether LATEST names it."""
    seconds: float | None = None
    """How long it took."""
    rows: dict[str, int] | None = None
    """In footers, read, quarantined."""
    shards: dict[str, int] | None = None
    """All, computed, reused."""
    retries: dict[str, int] | None = None
    """What was tried again, by kind."""
    drift_alerts: int | None = None
    """Rows of its drift table that are alerts."""
    warnings: tuple[str, ...] = ()
    """What readers of its tables should know."""
    error: str | None = None
    """Why it ended."""
    exit_code: int | None = None
    """What it ended with."""

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return datetime.fromisoformat(self.started) + timedelta(seconds=self.seconds or 0)


@dataclass(frozen=True)
class UnderWay:
    """The run that holds the lock."""

    run: str | None
    host: str
    process: int
    since: str | None
    """Time, ISO 8601."""
    lease_seconds: float
    """Until it counts as dead, unless it says again that it lives."""


@dataclass(frozen=True)
class Status:
    """What there is to say of an output."""

    output: str
    now: str
    """Time, ISO 8601."""
    under_way: UnderWay | None
    runs: tuple[RunStatus, ...]
    """The last ones, newest first, without the one under way."""
    latest_ended: str | None = None
    """When the run that LATEST names ended, however many have failed since; ISO 8601."""

    def is_younger(self, oldest: timedelta) -> bool:
        """Return whether what readers see is of a run that ended since."""
        if self.latest_ended is None:
            return False
        return datetime.fromisoformat(self.now) - datetime.fromisoformat(self.latest_ended) <= oldest

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def age(text: str) -> timedelta:
    """Return how long an age such as 36h is.

    Raises
    ------
    ConfigurationError
        It is none.

    Examples
    --------
    >>> age("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not found:
        raise ConfigurationError(f"--max-age {text}: write minutes, hours or days, such as 90m, 36h or 2d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def status(output: str, last: int, options: dict[str, Any] | None = None) -> Status:
    """Return what the last runs at an output did.

    Raises
    ------
    DatasetError
        There is no output.
    InfrastructureError
        Storage did not answer.
    """
    store = Store(output, options or {})
    held = lock.claim(store)
    names = sorted((name for name in store.names("runs") if RUN.match(name)), reverse=True)
    if not names and held is None and not store.names("states"):
        raise DatasetError(f"{output}: no run has been there; check the path")
    running = held and UnderWay(
        held.run or None,
        held.host,
        held.pid,
        datetime.fromtimestamp(held.since, UTC).isoformat() if held.since else None,
        round(held.expires - time.time(), 1),
    )
    latest = (_read(store, "LATEST") or b"").decode().strip()
    told = (name for name in names if held is None or name != held.run)
    runs = [_run(store, name, name == latest) for name, _ in zip(told, range(last), strict=False)]
    newest_first = sorted(runs, key=lambda run: datetime.fromisoformat(run.started), reverse=True)
    seen = _run(store, latest, True).ended.isoformat() if latest else None
    return Status(output, datetime.now(UTC).isoformat(), running or None, tuple(newest_first), seen)


def _run(store: Store, name: str, latest: bool) -> RunStatus:
    """Return what a run did, by what is there of it."""
    published = _read(store, f"runs/{name}/_SUCCESS") is not None
    manifest = json.loads(_read(store, f"runs/{name}/manifest.json") or b"{}")
    failure = json.loads(_read(store, f"runs/{name}/{FAILURE}") or b"{}")
    ended = manifest if published else failure or manifest
    if published:
        state = DONE
    elif manifest.get("status", DONE) != DONE:
        state = manifest["status"]
    else:
        state = "failed" if failure else "unfinished"
    return RunStatus(
        run=name,
        status=state,
        started=ended.get("started") or _time_of(name),
        latest=latest,
        seconds=ended.get("seconds", {}).get("total"),
        rows=manifest.get("rows"),
        shards=manifest.get("shards"),
        retries=manifest.get("retries"),
        drift_alerts=_alerts(Run(store, name, manifest)) if published else None,
        warnings=tuple(manifest.get("warnings", ())),
        error=failure.get("error"),
        exit_code=failure.get("exit_code", 0 if published else None),
    )


def _alerts(run: Run) -> int | None:
    return pc.sum(run.arrow("drift")["alert"], min_count=0).as_py() if "drift" in run.tables else None


def _read(store: Store, path: str) -> bytes | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None


def _time_of(name: str) -> str:
    """Return when a run began, by its name."""
    return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat()
