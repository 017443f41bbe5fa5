"""Runs at an output: written table by table, committed last, read back.

A run exists once its ``_SUCCESS`` does. Order of a commit: tables, manifest,
``_SUCCESS``, ``LATEST``; a reader that follows it never sees half a run. What is read has been checked, by digests
and by bounds: see `featflow.storage.records`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featflow.errors import DamagedError, DatasetError
from featflow.storage.records.failure import FAILURE
from featflow.storage.records.latest import read_latest
from featflow.storage.records.manifest import read_manifest
from featflow.storage.records.matrices import read_block, read_index
from featflow.storage.records.tables import damaged, digest_of_parts, read_part
from featflow.storage.run_ids import RUN_ID, run_ids
from featflow.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FAILURE", "Run", "list_runs", "open_run", "part_paths", "survey"]


@dataclass(frozen=True)
class Run:
    """One finished run."""

    store: Store
    """Its output."""
    run_id: str
    """Its name below ``runs/``."""
    manifest: dict[str, Any]
    """What was read, computed and written."""

    @classmethod
    def open(cls, output: str, run_id: str | None = None, options: dict[str, Any] | None = None) -> Run:
        """Open a run, the latest by default; ``output`` may also be a run's own URI.

        Raises
        ------
        DatasetError
            There is no such finished run at the output.
        DamagedError
            ``LATEST``, or the run's manifest, is not what was written.
        """
        folder, mark, name = output.rstrip("/").rpartition("/runs/")
        if run_id is None and mark and RUN_ID.fullmatch(name):
            output, run_id = folder, name
        store = Store(output, options or {})
        run_id = run_id or read_latest(store)
        manifest = read_manifest(store, run_id) if run_id else None
        if not run_id or manifest is None:
            raise DatasetError(f"{output}: no finished run {run_id or 'there'}; 'featflow runs {output}' lists them")
        return cls(store, run_id, manifest)

    @property
    def uri(self) -> str:
        """Where the run is."""
        return self.store.uri(f"runs/{self.run_id}")

    @property
    def measured_by(self) -> str:
        """Id of the run that measured what this one publishes: its own, unless nothing had changed."""
        return str(self.manifest.get("unchanged_since") or self.run_id)

    @property
    def tables(self) -> dict[str, str]:
        """URI of every table."""
        return {name: self.store.uri(entry["path"]) for name, entry in self.manifest["tables"].items()}

    def inputs(self) -> list[dict[str, Any]]:
        """Return the manifest's entries of shards that were read, less the row groups in quarantine."""
        lost = {(row["uri"], row["row_group"]) for row in self.table("quarantine", ["uri", "row_group"]).to_dicts()}
        inputs = []
        for entry in self.manifest["inputs"]:
            readable = [(entry["uri"], group) not in lost for group in entry["row_groups"]]
            if any(readable) and (entry["uri"], None) not in lost:
                of_groups = ("row_groups", "contents")
                inputs.append(entry | {name: list(compress(entry.get(name, ()), readable)) for name in of_groups})
        return inputs

    def arrow(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return a table, or some of its columns, as Arrow.

        Raises
        ------
        DatasetError
            This run has no such table, and the message lists those it has; or its file is damaged, or gone.
        """
        paths, entry = self.paths(name), self.manifest["tables"][name]
        known = self._digests(name)
        read = [read_part(self.store, path, columns, known.get(path)) for path in paths]
        # Older releases kept no digest of each part.
        if "sha256" in entry and digest_of_parts([digest for _, digest in read]) != entry["sha256"]:
            raise DatasetError(damaged(self.store.uri(entry["path"])))
        return pa.concat_tables([table for table, _ in read])

    def part(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """Return one part of a table by its path, or some of its columns; errors as `arrow`."""
        known = {path: digest for name in self.manifest["tables"] for path, digest in self._digests(name).items()}
        return read_part(self.store, path, columns, known.get(path))[0]

    def _digests(self, name: str) -> dict[str, str]:
        """Return the SHA-256 of each part of a table by its path, as far as the manifest says it."""
        entry = self.manifest["tables"][name]
        digests = entry.get("part_sha256") or ([entry["sha256"]] if entry["parts"] == 1 and "sha256" in entry else [])
        return dict(zip(self.paths(name), digests, strict=False))

    def paths(self, name: str) -> list[str]:
        """Return the paths of a table's parts below the output, in order; errors as `arrow`."""
        if name not in self.manifest["tables"]:
            written = ", ".join(self.manifest["tables"])
            raise DatasetError(f"run {self.run_id} has no table '{name}'; it wrote {written}")
        entry = self.manifest["tables"][name]
        return [entry["path"]] if entry["parts"] == 1 else part_paths(entry["path"], entry["parts"])

    def table(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Return a table, or some of its columns, as a polars frame; errors as `arrow`."""
        import polars as pl  # noqa: PLC0415  0.2 s, which a run need not wait for

        frame = pl.from_arrow(self.arrow(name, columns))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
        return frame

    def matrix(self, method: str, columns: list[str] | None = None) -> tuple[list[str], np.ndarray]:
        """Return columns and the values of a correlation method between them, shape (columns, columns).

        NaN where there is no value and on the diagonal. Needs ``analyses.correlation.dense``. Files hold blocks; the
        matrix of all or some columns is put together in memory.

        Raises
        ------
        DatasetError
            The run wrote no matrix of this method.
        DamagedError
            Its files are not what was written.
        """
        try:
            index, digests = f"runs/{self.measured_by}/tensors/{method}/index.json", self.manifest.get("matrices", {})
            blocks = read_index(self.store, index, digests.get(method))
        except FileNotFoundError:
            raise DatasetError(f"run {self.run_id} has no matrix '{method}'; set analyses.correlation.dense") from None
        names = list(dict.fromkeys(name for side in ("rows", "columns") for block in blocks for name in block[side]))
        requested = set(names if columns is None else columns)
        names = [name for name in names if name in requested]
        place = {name: index for index, name in enumerate(names)}
        matrix = np.full((len(names), len(names)), np.nan)
        for block in blocks:
            sides = [np.array([place.get(name, -1) for name in block[side]]) for side in ("rows", "columns")]
            if any((side < 0).all() for side in sides):
                continue
            values = read_block(self.store, block)
            rows, others = np.meshgrid(*sides, indexing="ij")
            given = ~np.isnan(values) & (rows >= 0) & (others >= 0)
            i, j = rows[given], others[given]
            matrix[i, j] = matrix[j, i] = values[given]
        return names, matrix


def list_runs(output: str, options: dict[str, Any] | None = None) -> list[Run]:
    """Return the finished runs at an output, oldest first, without those whose manifests are damaged (`survey`)."""
    return survey(Store(output, options or {}))[0]


def survey(store: Store) -> tuple[list[Run], dict[str, DamagedError]]:
    """Return the finished runs at an output, oldest first; and what is wrong with those that cannot be read."""
    runs, broken = list[Run](), dict[str, DamagedError]()
    for run_id in run_ids(store.names("runs")):
        try:
            manifest = read_manifest(store, run_id)
        except DamagedError as error:
            broken[run_id] = error
        else:
            runs += [] if manifest is None else [Run(store, run_id, manifest)]
    # Run ids of one second sort at random; times of one zone sort as texts.
    return sorted(runs, key=lambda run: str(run.manifest["started"])), broken


def part_paths(path: str, parts: int) -> list[str]:
    """Return the paths of a table's parts, in order."""
    return [f"{path}/part-{number:05d}.parquet" for number in range(parts)]


def open_run(uri: str) -> Run:
    """Open a run by its URI, ``<output>/runs/<id>``, or the latest one at an output.

    Raises
    ------
    DatasetError
        There is no such finished run.
    """
    output, mark, run_id = uri.rstrip("/").rpartition("/runs/")
    try:
        return Run.open(output, run_id) if mark and output and "/" not in run_id else Run.open(uri)
    except DatasetError as error:
        try:
            return Run.open(uri)  # an output may lie in a folder named runs
        except DatasetError:
            raise error from None
