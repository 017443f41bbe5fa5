"""What is at an output that none of its newest runs rests on: old and unfinished runs, states of other data or specs.

A state is kept where a kept run used its spec's folder and names it: of a shard, or of some merged
(`StateReferences`, written into every manifest). Codebooks of kept runs stay, notes of what cannot
be read of their files, footers and digests of row groups, what files that are no Parquet became, the runs that they are
compared with, and the tables of runs since which nothing had changed. Nothing but ``runs`` and ``states`` is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from featflow.dataset.contents import PATH as CONTENTS
from featflow.dataset.conversion import FOLDER as CONVERTED
from featflow.dataset.conversion import TYPES as CONVERTED_TYPES
from featflow.dataset.footers import PATH as FOOTERS
from featflow.dataset.known_deletes import PATH as DELETES
from featflow.dataset.named_images import PATH as IMAGES
from featflow.dataset.not_given import FOLDER as NOT_GIVEN
from featflow.errors import DatasetError
from featflow.execution.state_store import QUARANTINE, codebook_path, frozen_path
from featflow.storage import lock
from featflow.storage.run import Run, list_runs
from featflow.storage.store import Store

__all__ = ["Garbage", "find", "remove"]


CHECK_EVERY = 100
"""Files between two looks at whether the lock is still held."""


@dataclass(frozen=True)
class Garbage:
    """What nothing kept rests on."""

    kept: tuple[str, ...]
    """Runs that stay, oldest first."""
    files: dict[str, int]
    """Bytes of each file, by path below the output, sorted."""
    notes: tuple[str, ...] = ()
    """What was left alone, and why."""
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
    """Return what could be removed; removes nothing.

    Parameters
    ----------
    keep
        Newest finished runs that stay.

    Raises
    ------
    DatasetError
        There is no output.
    InfrastructureError
        Storage did not answer.
    """
    store = _opened(output, options)
    holder = lock.holder(store)
    found = _found(store, keep)
    if holder is None:
        return found
    note = f"a run is under way ({holder}): runs that are not finished, and states, are not looked at"
    finished = {f"runs/{run.run_id}/" for run in list_runs(output, options)}
    files = {path: nbytes for path, nbytes in found.files.items() if path.startswith(tuple(finished))}
    return replace(found, files=files, notes=(*found.notes, note))


def remove(output: str, keep: int, options: dict[str, Any] | None = None) -> Garbage:
    """Remove what `find` finds, and return it.

    Raises
    ------
    DatasetError
        There is no output.
    LockedError
        A run is under way.
    InfrastructureError
        Storage did not answer; what is left is found by the next call.
    """
    store = _opened(output, options)
    with lock.hold(store) as check_held:
        found = _found(store, keep)
        # A run that has no mark any more is none for readers; its tables go after that, and states last.
        for number, path in enumerate(sorted(found.files, key=lambda path: (not path.endswith("/_SUCCESS"), path))):
            if number % CHECK_EVERY == 0:
                check_held()
            store.remove(path)
        for folder in ("runs", "states"):
            store.prune(folder)
    return replace(found, removed=True)


def _opened(output: str, options: dict[str, Any] | None) -> Store:
    store = Store(output, options or {})
    if not store.names("runs") and not store.names("states"):
        raise DatasetError(f"{output}: neither runs nor states there; check the path")
    return store


def _found(store: Store, keep: int) -> Garbage:
    finished = {run.run_id: run for run in list_runs(store.root, store.options)}  # oldest first
    kept = set(list(finished)[-keep:])
    with suppress(FileNotFoundError):
        kept |= {store.read("LATEST").decode().strip()} & set(finished)
    compared = [other for run_id in kept for other in finished[run_id].manifest.get("compared_with", ())]
    kept |= {run_id for run_id in compared if run_id in finished}
    runs = [run for run_id, run in finished.items() if run_id in kept]
    published = _published(runs)
    files = {
        path: nbytes
        for path, nbytes in store.sizes("runs").items()
        if (_name(path) not in kept or PurePosixPath(path).parts[2] == "pending")
        and not f"{path}/".startswith(published)
    }
    silent = [
        run.run_id for run in runs if any("names" not in used for used in run.manifest.get("state_references", [{}]))
    ]
    notes: tuple[str, ...] = ()
    if not runs:
        notes = ("no run has finished: states stay, for one that goes on where another ended",)
    elif silent:
        notes = (f"run {silent[0]} does not say which states it rests on, an older release made it: states stay",)
    else:
        wanted = _is_wanted(store, runs)
        files |= {path: nbytes for path, nbytes in store.sizes("states").items() if not wanted(path)}
    return Garbage(tuple(run.run_id for run in runs), files, notes)


def _published(runs: list[Run]) -> tuple[str, ...]:
    """Return where the tables and matrices of runs are: in an earlier one's folder where nothing had changed since."""
    tables = {f"{entry['path']}/" for run in runs for entry in run.manifest["tables"].values()}
    return (*tables, *{f"runs/{run.measured_by}/tensors/" for run in runs})


def _name(path: str) -> str:
    return PurePosixPath(path).parts[1]


def _is_wanted(store: Store, runs: list[Run]) -> Callable[[str], bool]:
    """Return what says whether a path below ``states`` is of these runs."""
    states = {
        f"{folder}/{name}.arrow"
        for run in runs
        for used in run.manifest["state_references"]
        for name in used["names"]
        for folder in used["folders"]
    }
    states |= {codebook_path(run.manifest["codebook"]) for run in runs if run.manifest["codebook"]}
    states |= {FOOTERS, CONTENTS, DELETES, IMAGES}
    states |= {frozen_path(digest) for run in runs for digest in run.manifest.get("frozen", {}).values()}
    shards = [shard for run in runs for shard in run.manifest["inputs"]]
    states |= {f"{CONVERTED}/{shard['parquet'].rpartition('/')[2]}" for shard in shards if "parquet" in shard}
    states.add(CONVERTED_TYPES)
    inputs = {shard["uri"] for shard in shards}

    def wanted(path: str) -> bool:
        if path.startswith((f"{QUARANTINE}/", f"{NOT_GIVEN}/")) and path.endswith(".json"):
            with suppress(FileNotFoundError):  # gone since it was listed
                return any(entry["uri"] in inputs for entry in json.loads(store.read(path)))
        return path in states

    return wanted
