"""The last runs at an output, and the one under way, from manifests, notes of failures and the lock."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.compute as pc

from featflow.errors import ConfigurationError, DamagedError, DatasetError
from featflow.storage import lock
from featflow.storage.records.failure import read_failure
from featflow.storage.records.latest import read_latest
from featflow.storage.records.manifest import read_manifest, read_unpublished
from featflow.storage.run import Run
from featflow.storage.run_ids import run_ids, time_of
from featflow.storage.store import Store

__all__ = ["RunStatus", "Status", "UnderWay", "age", "status"]

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
DONE, DAMAGED = "done", "damaged"


@dataclass(frozen=True)
class RunStatus:
    """Outcome of a run. Fields that are unknown of an unfinished run are None."""

    run: str
    status: str
    """done, bad data, failed, unfinished where nothing says how it ended, or damaged where what says so cannot be read;
    `error` names the file then."""
    started: str
    """Time, ISO 8601."""
    latest: bool = False
    """Whether LATEST names it."""
    seconds: float | None = None
    """Seconds that it took."""
    rows: dict[str, int] | None = None
    """In footers, read, quarantined."""
    shards: dict[str, int] | None = None
    """All, computed, reused."""
    retries: dict[str, int] | None = None
    """Retries by kind."""
    drift_alerts: int | None = None
    """Rows of its drift table that are alerts."""
    warnings: tuple[str, ...] = ()
    """Warnings for readers of its tables."""
    error: str | None = None
    """Why it ended."""
    exit_code: int | None = None
    """Exit code of its process."""

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
    """Seconds until the run counts as dead unless it renews its claim."""


@dataclass(frozen=True)
class Status:
    """The last runs at an output, and the one under way."""

    output: str
    now: str
    """Time, ISO 8601."""
    under_way: UnderWay | None
    runs: tuple[RunStatus, ...]
    """The last ones, newest first, without the one under way."""
    latest_ended: str | None = None
    """When the run that LATEST names ended, however many have failed since; ISO 8601."""
    damaged: str | None = None
    """Why it is not known when that was: LATEST, or what says how its run ended, is damaged."""

    def is_younger(self, oldest: timedelta) -> bool:
        """Return whether the run that readers see ended at most this long ago.

        Raises
        ------
        DamagedError
            Nothing says when it ended.
        """
        if self.damaged:
            raise DamagedError(self.damaged)
        if self.latest_ended is None:
            return False
        return datetime.fromisoformat(self.now) - datetime.fromisoformat(self.latest_ended) <= oldest

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def age(text: str) -> timedelta:
    """Return the duration of an age such as 36h.

    Raises
    ------
    ConfigurationError
        The text is no age.

    Examples
    --------
    >>> age("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not match:
        raise ConfigurationError(f"--max-age {text}: write minutes, hours or days, such as 90m, 36h or 2d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def status(output: str, last: int, options: dict[str, Any] | None = None) -> Status:
    """Return the last runs at an output, and the one under way.

    Raises
    ------
    DatasetError
        There is no output.
    InfrastructureError
        Storage did not answer.
    """
    store = Store(output, options or {})
    claim = lock.claim(store)
    names = run_ids(sorted(store.names("runs"), reverse=True))
    if not names and claim is None and not store.names("states"):
        raise DatasetError(f"{output}: no run has been there; check the path")
    running = claim and UnderWay(
        claim.run or None,
        claim.host,
        claim.pid,
        datetime.fromtimestamp(claim.since, UTC).isoformat() if claim.since else None,
        round(claim.expires - time.time(), 1),
    )
    latest, damaged = None, None
    try:
        latest = read_latest(store)
    except DamagedError as error:
        damaged = str(error)
    shown = (name for name in names if claim is None or name != claim.run)
    runs = [_run_status(store, name, name == latest) for name, _ in zip(shown, range(last), strict=False)]
    newest_first = sorted(runs, key=lambda run: datetime.fromisoformat(run.started), reverse=True)
    latest_ended = None
    if latest:
        seen = next((run for run in runs if run.latest), None) or _run_status(store, latest, True)
        latest_ended = seen.ended.isoformat() if seen.status == DONE else None
        damaged = (
            None
            if latest_ended
            else f"{store.uri('LATEST')}: run {latest}, which it names, is {seen.status}"
            + (f": {seen.error}" if seen.error else "")
        )
    now = datetime.now(UTC).isoformat()
    return Status(output, now, running or None, tuple(newest_first), latest_ended, damaged)


def _run_status(store: Store, name: str, latest: bool) -> RunStatus:
    """Return the outcome of a run, by the files in its folder."""
    began = time_of(name)
    unknown = RunStatus(name, DAMAGED, (began or datetime.fromtimestamp(0, UTC)).isoformat(), latest)
    try:
        published = read_manifest(store, name)
        failure = {} if published else read_failure(store, name) or {}
        manifest = published or read_unpublished(store, name) or {}
    except DamagedError as error:
        return replace(unknown, error=str(error))
    if published:
        state = DONE
    elif manifest.get("status", DONE) != DONE:
        state = manifest["status"]
    else:
        state = "failed" if failure else "unfinished"
    ended = published or failure or manifest
    told = RunStatus(
        run=name,
        status=state,
        started=ended.get("started") or unknown.started,
        latest=latest,
        seconds=ended.get("seconds", {}).get("total"),
        rows=manifest.get("rows"),
        shards=manifest.get("shards"),
        retries=manifest.get("retries"),
        warnings=tuple(manifest.get("warnings", ())),
        error=failure.get("error"),
        exit_code=failure.get("exit_code", 0 if published else None),
    )
    try:
        return replace(told, drift_alerts=_count_alerts(Run(store, name, manifest))) if published else told
    except DatasetError as error:  # its table is gone or damaged, and how it ended is known
        return replace(told, error=str(error))


def _count_alerts(run: Run) -> int | None:
    if "drift" not in run.tables:
        return None
    alerts = run.arrow("drift", ["alert"])
    return pc.sum(alerts["alert"], min_count=0).as_py() if alerts.num_columns else None
