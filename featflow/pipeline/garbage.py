"""What is at an output that none of its newest runs rests on: old and unfinished runs, states of other data or specs.

A state is kept where a kept run used its spec's folder and names it: of a shard, or of some merged
(`StateReferences`, written into every manifest). Codebooks of kept runs stay, notes of what cannot
be read of their files, footers and digests of row groups, what files that are no Parquet became, the runs that they are
compared with, and the tables of runs since which nothing had changed. A run whose manifest is damaged may need any
state, and the tables of any run before it: they stay. Nothing goes but what featflow has written, by its name
(`featflow.pipeline.owned`): in ``runs`` and ``states``, and halves of files that dead writers left there and beside
``LATEST``.
"""

from __future__ import annotations

from collections.abc import Callable
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
from featflow.errors import DamagedError, DatasetError
from featflow.execution import quarantine_notes
from featflow.pipeline.owned import RUN_PARTS, is_own, is_own_folder, is_partial
from featflow.storage import lock
from featflow.storage.many_files import remove_all
from featflow.storage.records.latest import PATH as LATEST
from featflow.storage.records.latest import read_latest
from featflow.storage.records.not_given import read_not_given
from featflow.storage.records.quarantine import read_unreadable
from featflow.storage.records.states import codebook_path, frozen_path
from featflow.storage.run import Run, survey
from featflow.storage.run_ids import SECOND, run_ids
from featflow.storage.store import Store

__all__ = ["Garbage", "find", "remove"]


BATCH = 500
"""Files removed between two looks at the lock: some seconds on an object store, which a run that begins waits for."""
NAMED = 5
"""Files that a note names."""
NOTES = {quarantine_notes.FOLDER: read_unreadable, NOT_GIVEN: read_not_given}
"""Folders of notes on files of the dataset, and what reads a note."""
GAVE_WAY = "a run or an export asked for the lock: what is left is for the next call"


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


def find(output: str, keep: int, options: dict[str, Any] | None = None, *, forget: bool = False) -> Garbage:
    """Return what could be removed; removes nothing.

    Parameters
    ----------
    keep
        Newest finished runs that stay.
    forget
        Whether notes of what cannot be read go, too: the next run reads all of it again.

    Raises
    ------
    DatasetError
        There is no output.
    InfrastructureError
        Storage did not answer.
    """
    store = _opened(output, options)
    holder = lock.holder(store)
    found = _found(store, keep, forget=forget)
    if holder is None:
        return found
    note = f"a run is under way ({holder}): runs that are not finished, and states, are not looked at"
    finished = tuple(f"runs/{run.run_id}/" for run in survey(store)[0])
    files = {path: nbytes for path, nbytes in found.files.items() if path.startswith(finished) and not is_partial(path)}
    return replace(found, files=files, notes=(*found.notes, note))


def remove(output: str, keep: int, options: dict[str, Any] | None = None, *, forget: bool = False) -> Garbage:
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
    with lock.hold(store, kind=lock.REMOVAL) as held:
        found = _found(store, keep, forget=forget)
        # A run that has no mark any more is none for readers; its tables go after that, and states last.
        marks = [path for path in found.files if path.endswith("/_SUCCESS")]
        others = [path for path in found.files if not path.endswith("/_SUCCESS")]
        batches = [some for each in (marks, others) for some in _batches(each)]
        for number, batch in enumerate(batches):
            held.check()
            if held.is_asked:
                gone = {path for some in batches[:number] for path in some}
                files = {path: nbytes for path, nbytes in found.files.items() if path in gone}
                return replace(found, files=files, notes=(*found.notes, GAVE_WAY), removed=True)
            remove_all(store, batch, held.stop_if_over)
        for folder in ("runs", "states"):
            store.prune(folder, is_own_folder)
    return replace(found, removed=True)


def _batches(paths: list[str]) -> list[list[str]]:
    return [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]


def _opened(output: str, options: dict[str, Any] | None) -> Store:
    """Return an output where a run of featflow's has been, finished or not."""
    store = Store(output, options or {})
    names = store.names("runs")
    if not names and not store.names("states"):
        raise DatasetError(f"{output}: neither runs nor states there; check the path")
    if not any(RUN_PARTS & set(store.names(f"runs/{run_id}")) for run_id in run_ids(names)):
        raise DatasetError(f"{output}: no run of featflow's has been there, and nothing is removed; check the path")
    return store


def _found(store: Store, keep: int, *, forget: bool) -> Garbage:
    runs, broken = survey(store)  # oldest first
    finished = {run.run_id: run for run in runs}
    kept, notes = set(list(finished)[-keep:]), list[str]()
    try:
        kept |= {read_latest(store) or ""} & set(finished)
    except DamagedError as error:
        notes.append(str(error))
    compared = [other for run_id in kept for other in finished[run_id].manifest.get("compared_with", ())]
    kept |= {run_id for run_id in compared if run_id in finished}
    notes += [f"{error}: it, the runs before it, and states stay" for error in broken.values()]
    # Also tables whose run was removed, as one that publishes them stayed. Names of runs of one second have no order.
    needed = max(broken, default="")[:SECOND]
    kept |= {run_id for run_id in finished if run_id[:SECOND] <= needed}
    runs = [run for run_id, run in finished.items() if run_id in kept]
    published = _published(runs)

    def stays(path: str) -> bool:
        run_id, part = PurePosixPath(path).parts[1:3]
        if run_id in kept | broken.keys():
            return part != "pending"
        return f"{path}/".startswith(published) or (run_id[:SECOND] <= needed and part in {"tables", "tensors"})

    sizes = store.sizes("runs")
    files = {path: nbytes for path, nbytes in sizes.items() if is_own(path) and (is_partial(path) or not stays(path))}
    silent = [
        run.run_id for run in runs if any("names" not in used for used in run.manifest.get("state_references", [{}]))
    ]
    states = store.sizes("states")
    if not runs and not broken:
        notes.append("no run has finished: states stay, for one that goes on where another ended")
    elif silent:
        notes.append(f"run {silent[0]} does not say which states it rests on, an older release made it: states stay")
    elif not broken:
        wanted = _is_wanted(store, runs, notes)
        files |= {path: nbytes for path, nbytes in states.items() if is_own(path) and not wanted(path)}
    files |= {path: nbytes for path, nbytes in states.items() if is_own(path) and is_partial(path)}
    if forget:
        files |= quarantine_notes.notes(store)
    halves, young = _halves(store, [path for path in files if is_partial(path)])
    files = {path: nbytes for path, nbytes in (files | halves).items() if path not in young}
    others = [path for path in (*sizes, *states) if not is_own(path)]
    if others:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        notes.append(f"not featflow's own, and left alone: {', '.join(others[:NAMED])}{more}")
    return Garbage(tuple(run.run_id for run in runs), files, tuple(notes))


def _halves(store: Store, partial: list[str]) -> tuple[dict[str, int], set[str]]:
    """Return halves of files beside LATEST; and halves that may just be written, as reports are without the lock.

    Those of claims go wherever the lock is taken.
    """
    found = {path: half for path, half in store.partials("").items() if path.startswith(f".{LATEST}.")}
    without_lock = {path.rpartition("/")[0] for path in partial if path.count("/") == 2}
    others = {path: half for folder in without_lock for path, half in store.partials(folder).items()}
    young = {path for path, (_, age) in others.items() if age <= lock.LEASE_SECONDS}
    return {path: nbytes for path, (nbytes, _) in found.items() if is_partial(path)}, young


def _published(runs: list[Run]) -> tuple[str, ...]:
    """Return where the tables and matrices of runs are: in an earlier one's folder where nothing had changed since."""
    tables = {f"{entry['path']}/" for run in runs for entry in run.manifest["tables"].values()}
    return (*tables, *{f"runs/{run.measured_by}/tensors/" for run in runs})


def _is_wanted(store: Store, runs: list[Run], notes: list[str]) -> Callable[[str], bool]:
    """Return what says whether a path below ``states`` is of these runs; it adds notes of what it cannot read."""
    names: dict[str, set[str]] = {}
    for run in runs:
        for used in run.manifest["state_references"]:
            for folder in used["folders"]:
                names.setdefault(folder, set()).update(used["names"])
    states = {codebook_path(run.manifest["codebook"]) for run in runs if run.manifest["codebook"]}
    states |= {FOOTERS, CONTENTS, DELETES, IMAGES}
    states |= {frozen_path(digest) for run in runs for digest in run.manifest.get("frozen", {}).values()}
    shards = [shard for run in runs for shard in run.manifest["inputs"]]
    states |= {f"{CONVERTED}/{shard['parquet'].rpartition('/')[2]}" for shard in shards if "parquet" in shard}
    states.add(CONVERTED_TYPES)
    inputs = {shard["uri"] for shard in shards}

    def wanted(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        read = next((read for start, read in NOTES.items() if path.startswith(f"{start}/")), None)
        if read and not is_partial(path):
            try:
                return any(entry["uri"] in inputs for entry in read(store, path))
            except FileNotFoundError:  # gone since it was listed
                return True
            except DamagedError as error:
                notes.append(f"{error}; it stays")
                return True
        return path in states or name.removesuffix(".arrow") in names.get(folder, ())

    return wanted
