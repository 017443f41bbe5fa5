"""Files at an output that none of its newest runs needs: old and unfinished runs, states of other data or specs.

A state is kept where a kept run used its spec's folder and names it: of a shard, or of some merged
(`StateReferences` of execution/state_store.py, written into every manifest). Codebooks of kept runs stay, and so do
notes of what cannot be read of their files, footers, and the runs that they are compared with. Only ``runs`` and
``states`` are searched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from featflow.dataset.footers import PATH as FOOTERS
from featflow.errors import DatasetError
from featflow.execution.state_store import QUARANTINE, codebook_path, frozen_path
from featflow.storage import lock
from featflow.storage.run import Run, list_runs
from featflow.storage.store import Store

__all__ = ["Garbage", "find", "remove"]


CHECK_EVERY = 100
"""Files removed between two checks that the lock is still held. A check takes a few requests; a hundred removals take
far less than a lease."""


@dataclass(frozen=True)
class Garbage:
    """Files that no kept run needs."""

    kept: tuple[str, ...]
    """Runs that stay, oldest first."""
    files: dict[str, int]
    """Bytes of each file, by path below the output, sorted."""
    notes: tuple[str, ...] = ()
    """What was not searched, and why."""
    removed: bool = False
    """Whether the files are gone."""

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        files = [{"path": path, "bytes": nbytes} for path, nbytes in self.files.items()]
        total = {"files": len(files), "bytes": sum(self.files.values())}
        return {
            "kept": list(self.kept),
            "removed": self.removed,
            "total": total,
            "files": files,
            "notes": list(self.notes),
        }


def find(output: str, keep: int, options: dict[str, Any] | None = None) -> Garbage:
    """Return the files that could be removed, without removing them.

    Parameters
    ----------
    keep
        Number of newest finished runs that stay.

    Raises
    ------
    DatasetError
        There is no output.
    InfrastructureError
        Storage did not answer.
    """
    store = _open_output(output, options)
    holder = lock.holder(store)
    garbage = _collect(store, keep)
    if holder is None:
        return garbage
    note = f"a run is under way ({holder}): runs that are not finished, and states, are not looked at"
    finished = {f"runs/{run.run_id}/" for run in list_runs(output, options)}
    files = {path: nbytes for path, nbytes in garbage.files.items() if path.startswith(tuple(finished))}
    return replace(garbage, files=files, notes=(*garbage.notes, note))


def remove(output: str, keep: int, options: dict[str, Any] | None = None) -> Garbage:
    """Remove what `find` finds, and return it.

    Raises
    ------
    DatasetError
        There is no output.
    LockedError
        A run is under way.
    InfrastructureError
        Storage did not answer; the next call finds the files that are left.
    """
    store = _open_output(output, options)
    with lock.hold(store) as check_held:
        garbage = _collect(store, keep)
        # Marks go first: without one a run does not exist for readers. Its tables follow, and states last.
        for number, path in enumerate(sorted(garbage.files, key=lambda path: (not path.endswith("/_SUCCESS"), path))):
            if number % CHECK_EVERY == 0:
                check_held()
            store.remove(path)
        for folder in ("runs", "states"):
            store.prune(folder)
    return replace(garbage, removed=True)


def _open_output(output: str, options: dict[str, Any] | None) -> Store:
    store = Store(output, options or {})
    if not store.names("runs") and not store.names("states"):
        raise DatasetError(f"{output}: neither runs nor states there; check the path")
    return store


def _collect(store: Store, keep: int) -> Garbage:
    finished = {run.run_id: run for run in list_runs(store.root, store.options)}  # oldest first
    kept_ids = set(list(finished)[-keep:])
    with suppress(FileNotFoundError):
        kept_ids |= {store.read("LATEST").decode().strip()} & set(finished)
    compared = [other for run_id in kept_ids for other in finished[run_id].manifest.get("compared_with", ())]
    kept_ids |= {run_id for run_id in compared if run_id in finished}
    runs = [run for run_id, run in finished.items() if run_id in kept_ids]
    files = {
        path: nbytes
        for path, nbytes in store.sizes("runs").items()
        if _run_of(path) not in kept_ids or PurePosixPath(path).parts[2] == "pending"
    }
    without_names = [
        run.run_id
        for run in runs
        if any("names" not in reference for reference in run.manifest.get("state_references", [{}]))
    ]
    notes: tuple[str, ...] = ()
    if not runs:
        notes = ("no run has finished: states stay, for one that goes on where another ended",)
    elif without_names:
        notes = (
            f"run {without_names[0]} does not say which states it rests on, an older release made it: states stay",
        )
    else:
        is_referenced = _reference_test(store, runs)
        files |= {path: nbytes for path, nbytes in store.sizes("states").items() if not is_referenced(path)}
    return Garbage(tuple(run.run_id for run in runs), files, notes)


def _run_of(path: str) -> str:
    return PurePosixPath(path).parts[1]


def _reference_test(store: Store, runs: list[Run]) -> Callable[[str], bool]:
    """Return a function that says whether these runs need a path below ``states``."""
    states = {
        f"{folder}/{name}.arrow"
        for run in runs
        for reference in run.manifest["state_references"]
        for name in reference["names"]
        for folder in reference["folders"]
    }
    states |= {codebook_path(run.manifest["codebook"]) for run in runs if run.manifest["codebook"]} | {FOOTERS}
    states |= {frozen_path(digest) for run in runs for digest in run.manifest.get("frozen", {}).values()}
    inputs = {shard["uri"] for run in runs for shard in run.manifest["inputs"]}

    def is_referenced(path: str) -> bool:
        if path.startswith(f"{QUARANTINE}/") and path.endswith(".json"):
            with suppress(FileNotFoundError):  # gone since it was listed
                return any(entry["uri"] in inputs for entry in json.loads(store.read(path)))
        return path in states

    return is_referenced
