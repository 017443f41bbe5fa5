"""A run from lock to commit.

Bad input is told before anything is started or imported that takes seconds: the
pipeline, which the driver imports while Ray's workers do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from featflow.config import Config
from featflow.dataset.dataset import Dataset, open_dataset
from featflow.dataset.footers import Footers
from featflow.errors import FeatflowError, first_line
from featflow.execution import quarantine_notes
from featflow.execution.engines.base import Engine
from featflow.execution.options import EngineOptions
from featflow.execution.progress import Reporter, SilentProgress, Stopwatch
from featflow.execution.telemetry import Sink, Telemetry
from featflow.export.openlineage import lineage
from featflow.pipeline.engine_choice import EngineChoice, choose_engine
from featflow.pipeline.unchanged import publish_again, unchanged_run
from featflow.storage import latest, lock, retries
from featflow.storage.redaction import redacted, without_credentials
from featflow.storage.run import FAILURE, Run
from featflow.storage.run_ids import new_run_id
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store

__all__ = ["run"]

INTERRUPTED = 130
"""What the command line ends with after Ctrl-C."""
PIPELINE = "featflow.pipeline.pipeline"
"""What the driver imports once there is work; tasks need most of it, too."""
TORCH_SECONDS = 10.0
"""Estimated seconds from which torch is loaded for what it sorts and counts faster: about a tenth of them."""


def run(config: Config, progress: Reporter | None = None, *, recheck: bool = False) -> Run:
    """Run the job and return the finished run.

    Parameters
    ----------
    recheck
        Whether all row groups are read again that earlier runs could not read; else some of them are.

    Raises
    ------
    InputError
        The configuration or the data's schema is wrong.
    BadDataError
        More rows are unreadable than the budget allows; the quarantine table of the run says which.
    LockedError
        Another run holds the output's lock.
    InfrastructureError
        Storage or the cluster failed; a retry continues where this run stopped.
    """
    watch = Stopwatch()
    retries.reset()
    store = Store(config.output, config.dataset.storage_options)
    run_id = new_run_id(watch.began)
    telemetry = Telemetry(run_id, progress or SilentProgress())
    held, noted = lock.hold(store, run_id), _failure_noted(store, run_id, watch, config.dataset.secrets)
    told_of = lineage.told(config, store, run_id, watch.began)
    with without_credentials(config.dataset.secrets), held as locked, noted, told_of as told, locked.told_first():
        telemetry.before_step = locked.stop_if_lost
        if config.latest:
            latest.check_movable(store)
        seen = latest.look(store)
        if recheck:
            quarantine_notes.forget(store)
        footers = Footers(store)
        dataset = open_dataset(config.dataset, config.output, footers)
        config.analyses.check(dataset, config.dataset.entity)
        watch.lap("plan")
        writer = RunWriter(store, run_id)
        before = unchanged_run(config, dataset, writer)
        if before:
            manifest = publish_again(before, config, dataset, writer, telemetry)
            watch.lap("published again")
            manifest |= {"started": watch.began.isoformat(), "retries": retries.counts(), "seconds": watch.total()}
        else:
            manifest = _measure(config, dataset, writer, telemetry, watch)
        footers.save()
        if told:
            manifest["warnings"] += told.warnings
        finished = writer.commit(manifest, locked.check, seen)
        if told:
            told.complete(finished)
        return finished


def _measure(
    config: Config, dataset: Dataset, writer: RunWriter, telemetry: Telemetry, watch: Stopwatch
) -> dict[str, Any]:
    """Write all tables on the engine that suits; return the manifest."""
    chosen = choose_engine(config, dataset)
    engine = open_engine(config.engine, chosen)
    try:
        telemetry.load, telemetry.sink = engine.load, open_sink(chosen)
        pipeline = import_module(PIPELINE)
        watch.lap("start")
        manifest: dict[str, Any] = pipeline.write_tables(config, dataset, writer, engine, telemetry, watch)
    finally:
        engine.close()
    return manifest | {"engine_reason": chosen.reason}


@contextmanager
def _failure_noted(store: Store, run: str, watch: Stopwatch, secrets: dict[str, Any]) -> Iterator[None]:
    """Leave a note of why a run ended that was not published: `featflow status` reads it."""
    try:
        yield
    except BaseException as error:
        said = str(error) if isinstance(error, FeatflowError) else f"{type(error).__name__}: {first_line(error)}"
        said = redacted(said, secrets)
        if not isinstance(error, Exception):  # SIGTERM, which Ray takes in its own way, or Ctrl-C
            said = "it was told to end"
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", None)
        code = getattr(error, "code", 1) if code is None else code
        note = {"run": run, "started": watch.began.isoformat(), "seconds": watch.total(), "exit_code": code}
        with suppress(FeatflowError):  # storage may be what failed
            store.write(f"runs/{run}/{FAILURE}", json.dumps(note | {"error": said}).encode())
        raise


def note_lost(config: Config, process: int, error: FeatflowError) -> None:
    """Leave the note of a run whose process of this machine ended without a word, and give its lock back."""
    store = Store(config.output, config.dataset.storage_options)
    with suppress(FeatflowError):
        for claim in lock.give_back(store, process):
            started, seconds = datetime.fromtimestamp(claim.since, UTC), {"total": time.time() - claim.since}
            note: dict[str, Any] = {"run": claim.run, "started": started.isoformat(), "seconds": seconds}
            note |= {"exit_code": error.exit_code, "error": str(error)}
            store.write(f"runs/{claim.run}/{FAILURE}", json.dumps(note).encode())


def open_engine(options: EngineOptions, chosen: EngineChoice) -> Engine:
    """Return the engine that was chosen; Ray is imported only where it is used, torch where it pays."""
    if chosen.kind == "serial":
        from featflow.execution.engines.serial import SerialEngine  # noqa: PLC0415

        if chosen.seconds > TORCH_SECONDS:
            import_module("torch")
        return SerialEngine()
    from featflow.execution.engines.ray import RayEngine  # noqa: PLC0415

    return RayEngine(options.address, options.in_flight, PIPELINE)


def open_sink(chosen: EngineChoice) -> Sink | None:
    """Return where figures are collected: Ray's metrics where Ray is used."""
    if chosen.kind == "serial":
        return None
    from featflow.execution.engines.ray_metrics import RayMetrics  # noqa: PLC0415

    return RayMetrics()
