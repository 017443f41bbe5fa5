"""Writing a run: tables in parts, digests, commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from featflow.errors import FeatflowError, InfrastructureError, LockedError
from featflow.storage import latest
from featflow.storage.records.manifest import MARK
from featflow.storage.records.tables import digest_of_parts
from featflow.storage.run import Run, part_paths
from featflow.storage.run_before import RunBefore, run_before
from featflow.storage.store import Store
from featflow.storage.tables import TableSpec

__all__ = ["PART_ROWS", "RunWriter", "Written"]

PART_ROWS = 1_000_000
"""Rows of one part of a large table."""


@dataclass(frozen=True)
class Written:
    """One part of a table."""

    rows: int
    nbytes: int
    sha256: str

    @classmethod
    def of(cls, rows: int, data: bytes) -> Written:
        """Return what a manifest keeps of a file of so many rows."""
        return cls(rows, len(data), hashlib.sha256(data).hexdigest())


class RunWriter:
    """Writes the tables of one run, then commits it."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self.tables: dict[str, dict[str, Any]] = {}
        self.matrices: dict[str, list[dict[str, Any]]] = {}

    @cached_property
    def before(self) -> RunBefore:
        """The run that this one follows, as it was when it was first asked for."""
        return run_before(self.store)

    def folder(self, name: str) -> str:
        """Return a folder of this run."""
        return f"runs/{self.run_id}/{name}"

    def write(self, spec: TableSpec, tables: Iterable[pa.Table]) -> None:
        """Write a table from its pieces: one file, or parts of about a million rows in the order given."""
        path, written = self.path(spec.name), list[Written]()
        for piece, last in _pieces(tables, spec.schema):
            part = path if last and not written else part_paths(path, len(written) + 1)[-1]
            _, data = self.store.write_parquet(part, piece)
            written.append(Written.of(piece.num_rows, data))
        self.add(spec, written)

    def path(self, name: str) -> str:
        """Return where a table is: a file, or a folder of parts."""
        return f"runs/{self.run_id}/tables/{name}.parquet"

    def part_paths(self, name: str, parts: int) -> list[str]:
        """Return where so many parts of a table are to be written."""
        return part_paths(self.path(name), parts) if parts > 1 else [self.path(name)]

    def add(self, spec: TableSpec, written: Sequence[Written]) -> None:
        """Add a table whose parts are written. Its SHA-256 is that of its parts' in order."""
        self.tables[spec.name] = {
            "path": self.path(spec.name),
            "rows": sum(part.rows for part in written),
            "parts": len(written),
            "bytes": sum(part.nbytes for part in written),
            "sha256": digest_of_parts([part.sha256 for part in written]),
            "part_sha256": [part.sha256 for part in written],
            "made_of": {"columns": list(spec.of_columns), "images": list(spec.of_images)},
        }

    def commit(self, manifest: dict[str, Any], check_held: Callable[[], None], seen: latest.Seen) -> Run:
        """Make the run visible, as the latest if its configuration says so.

        The lock may be lost between any check and the write after it, where this process is halted there for longer
        than a lease. So a check follows each of the last writes, too, and takes back what came too late.

        Parameters
        ----------
        check_held
            Raises LockedError if the lock is lost.
        seen
            LATEST when the lock was taken.

        Raises
        ------
        LockedError
            The lock was lost; this run is not published.
        InfrastructureError
            Storage failed, before the run was published, or after that at LATEST, which the message says.
        """
        check_held()
        for method, blocks in self.matrices.items():
            index = json.dumps(blocks).encode()
            self.store.write(f"{self.folder('tensors')}/{method}/index.json", index)
            manifest.setdefault("matrices", {})[method] = hashlib.sha256(index).hexdigest()
        if self.matrices:
            manifest["tensor_bytes"] = sum(self.store.sizes(self.folder("tensors")).values())
        digest = self.save_manifest(manifest)
        check_held()
        self._check_parts(manifest)
        self.store.write(self._mark, digest.encode())
        try:
            check_held()
            if manifest["config"]["latest"]:
                self._move_latest(manifest, check_held, seen)
        except LockedError as lost:
            self._take_back(lost)
            raise
        except FeatflowError as error:
            undone = f"LATEST was not moved and names the run before: {error}"
            raise type(error)(f"run {self.run_id} is published and listed, but {undone}") from error
        return Run(self.store, self.run_id, manifest)

    def _take_back(self, lost: LockedError) -> None:
        try:
            self.store.remove(self._mark)
        except FeatflowError as error:
            raise LockedError(
                f"{lost}; but its mark {self.store.uri(self._mark)} cannot be removed: {error}; remove it by hand"
            ) from error

    def _move_latest(self, manifest: dict[str, Any], check_held: Callable[[], None], seen: latest.Seen) -> None:
        while True:
            now = latest.look(self.store)
            if now.value != seen.value:  # another run's, if the lock is lost; else a person's, and this one is newer
                check_held()
            if latest.move(self.store, self.run_id, now):
                break
            seen = latest.Seen(None, None)
        with suppress(InfrastructureError):  # LATEST is moved: what storage says now changes nothing
            try:
                check_held()
            except LockedError:
                if latest.put_forward(self.store, manifest["started"]):
                    raise

    @property
    def _mark(self) -> str:
        return f"runs/{self.run_id}/{MARK}"

    def _check_parts(self, manifest: dict[str, Any]) -> None:
        """Raise InfrastructureError unless all parts of the tables are there, by one listing a folder of tables."""
        tables = manifest["tables"]
        folders = {entry["path"].rpartition("/")[0] for entry in tables.values()}
        sizes = {path: size for folder in folders for path, size in self.store.sizes(folder).items()}
        for name, entry in tables.items():
            parts = part_paths(entry["path"], entry["parts"]) if entry["parts"] > 1 else [entry["path"]]
            if sum(sizes.get(path, -1) for path in parts) != entry["bytes"]:
                raise InfrastructureError(
                    f"{self.store.uri(entry['path'])}: the table '{name}' is not there any more as it was written; "
                    "nothing was published, run again"
                )

    def save_manifest(self, manifest: dict[str, Any]) -> str:
        """Write the manifest, without making the run visible, and return its SHA-256."""
        data = json.dumps(manifest, indent=1).encode()
        self.store.write(f"runs/{self.run_id}/manifest.json", data)
        return hashlib.sha256(data).hexdigest()


def _pieces(tables: Iterable[pa.Table], empty: pa.Schema) -> Iterator[tuple[pa.Table, bool]]:
    """Yield pieces of about `PART_ROWS` rows, and whether each is the last."""
    waiting: list[pa.Table] = [empty.empty_table()]
    for table in tables:
        if sum(piece.num_rows for piece in waiting) >= PART_ROWS:
            yield pa.concat_tables(waiting).combine_chunks(), False
            waiting = [empty.empty_table()]
        waiting.append(table)
    yield pa.concat_tables(waiting).combine_chunks(), True
