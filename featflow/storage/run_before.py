"""The run that a new one follows: its codings go on, and what changed since is said.

It is the run that LATEST names. Where LATEST or that run's manifest is damaged or gone, it is the newest whole run that
LATEST might have named: a damaged file costs a warning, and at the worst a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

from featflow.errors import DamagedError
from featflow.storage.records.latest import PATH, read_latest
from featflow.storage.records.manifest import read_manifest
from featflow.storage.run import Run, survey
from featflow.storage.store import Store

__all__ = ["WARNING", "RunBefore", "run_before"]

WARNING = "run before: "
"""Beginning of the warnings about it."""


@dataclass(frozen=True)
class RunBefore:
    """The run that a new one follows."""

    run: Run | None
    """None for the first one, and where no earlier run is whole."""
    warnings: tuple[str, ...] = ()
    """What is damaged, and what that costs."""


def run_before(store: Store) -> RunBefore:
    """Return the run that a new one at an output follows.

    Raises
    ------
    InfrastructureError
        Storage did not answer.
    """
    latest, is_absent = None, False
    try:
        latest = read_latest(store)
        is_absent = latest is None
        manifest = read_manifest(store, latest) if latest else None
        if latest and manifest is not None:
            return RunBefore(Run(store, latest, manifest))
        lost = f"{store.uri(PATH)}: " + (f"run {latest}, which it names, is not there" if latest else "not there")
    except DamagedError as error:
        lost = str(error)
    runs, broken = survey(store)
    # A back-fill (latest: false) is followed by nobody.
    whole = [run for run in runs if run.manifest["config"].get("latest", True)]
    if whole:
        cost = f"this run follows {whole[-1].run_id}, the newest one that is whole"
        return RunBefore(whole[-1], (f"{WARNING}{lost}; {cost}",))
    if is_absent and not broken:  # none was ever published for readers
        return RunBefore(None)
    cost = "no earlier run is whole: codings are made anew, and nothing is compared"
    return RunBefore(None, (f"{WARNING}{lost}; {cost}",))
