"""A run from lock to commit.

Bad input is told before anything is started or imported that takes seconds: the
pipeline, which the driver imports while Ray's workers do.
"""

from __future__ import annotations

from importlib import import_module

from featflow import lock, retries
from featflow.checks import check
from featflow.config import Config
from featflow.dataset import open_dataset
from featflow.engines.base import Engine
from featflow.export import lineage
from featflow.footers import Footers
from featflow.progress import Reporter, SilentProgress, Stopwatch
from featflow.runs import Run, RunWriter, new_run_id
from featflow.storage import Store

__all__ = ["run"]

PIPELINE = "featflow.pipeline"
"""What the driver imports once there is work; tasks need most of it, too."""


def run(config: Config, progress: Reporter | None = None) -> Run:
    """Run the job and return the finished run.

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
    with lock.hold(store) as check_held, lineage.told(config, store, run_id, watch.began) as told:
        footers = Footers(store)
        dataset = open_dataset(config.dataset, config.output, footers)
        check(config, dataset)
        watch.lap("plan")
        engine = open_engine(config)
        try:
            pipeline = import_module(PIPELINE)
            watch.lap("start")
            writer = RunWriter(store, run_id)
            manifest = pipeline.write_tables(config, dataset, writer, engine, progress or SilentProgress(), watch)
        finally:
            engine.close()
        footers.save()
        check_held()
        if told:
            manifest["warnings"] += told.warnings
        finished = writer.commit(manifest)
        if told:
            told.complete(finished)
        return finished


def open_engine(config: Config) -> Engine:
    """Return the engine of the configuration; Ray is imported only where it is used."""
    if config.engine.kind == "serial":
        from featflow.engines.serial import SerialEngine  # noqa: PLC0415

        return SerialEngine()
    from featflow.engines.ray import RayEngine  # noqa: PLC0415

    return RayEngine(config.engine.address, config.engine.in_flight, PIPELINE)
