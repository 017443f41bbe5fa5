"""States over all rows of a run: its manifest names them, and they are read back one block of columns at a time.

States stay where they are, so two runs can be compared without their data. Columns are numbers, then categories and
texts, each kind in the dataset's order; a block's columns follow those of the block before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from featflow.analyses.change import ColumnState
from featflow.columns.codebook import Codebook
from featflow.columns.column import Column, Kind, Role
from featflow.errors import DamagedError, DatasetError
from featflow.execution.state_store import AnySummarizer
from featflow.storage.records.states import codebook_path, read_state
from featflow.storage.run import Run
from featflow.summaries import SUMMARIZERS

__all__ = ["RunStates", "named_states"]

T = TypeVar("T")

STATES = {spec.name: spec.state for spec in SUMMARIZERS}


def named_states(columns: Sequence[Column], paths: Mapping[AnySummarizer, str]) -> dict[str, Any]:
    """Return the manifest's entry of the states over all rows, as JSON values.

    Parameters
    ----------
    columns
        Columns that pass 1 read.
    paths
        Path of every state of pass 1 over all rows, specs of a kind in the order of their columns.
    """
    known = set(columns)
    return {
        "columns": [
            {"name": column.name, "type": column.type, "kind": column.kind.value, "role": column.role.value}
            for column in columns
        ],
        "whole": [
            {"summary": spec.name, "path": path, "columns": sum(column in known for column in spec.columns)}
            for spec, path in paths.items()
        ],
    }


class RunStates:
    """Counts and moments of a run's columns, read from its states as they are asked for.

    Raises
    ------
    DatasetError
        The run's manifest says nothing of states, or one of them is damaged or not there any more.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        states = run.manifest.get("states")
        if states is None:
            raise DatasetError(f"{run.uri}: its manifest does not say which states it rests on; run it again")
        try:
            columns = [Column(c["name"], c["type"], Kind(c["kind"]), role=Role(c["role"])) for c in states["columns"]]
        except ValueError as error:
            raise DatasetError(f"{run.uri}: its manifest names columns of no kind that is known: {error}") from None
        self.columns = {column.name: column for column in columns}
        """Columns by name."""
        self._entries = states["whole"]
        self._positions: dict[str, int] = {}
        for numeric in (True, False):
            names = (column.name for column in self.columns.values() if column.is_numeric is numeric)
            self._positions.update({name: position for position, name in enumerate(names)})
        self._loaded: dict[str, tuple[str, Any]] = {}

    def __getitem__(self, name: str) -> ColumnState:
        column = self.columns[name]
        if not column.is_numeric:
            levels, index = self._block("levels", name)
            return ColumnState(column, levels.rows, levels.columns[index].missing, levels.columns[index])
        moments, index = self._block("moments", name)
        binned, position = self._block("value_histograms", name)
        weight, missing = moments.weight[index], moments.rows - int(moments.n[index])
        with np.errstate(all="ignore"):  # what does not exist is NaN
            std = np.sqrt(moments.m2[index] / (weight - moments.weight_square[index] / weight))
        extremes = float(moments.low[index]), float(moments.high[index])
        return ColumnState(column, moments.rows, missing, binned.histograms[position], float(std), *extremes)

    @cached_property
    def codebook(self) -> Codebook:
        """Codings of the run's columns."""
        digest = self.run.manifest["codebook"]
        if digest is None:
            raise DatasetError(f"{self.run.uri}: its manifest names no codebook; run it again")
        return self._read(codebook_path(digest), "codebook", Codebook.from_arrow)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the run's jackknife errors."""
        fitted = self.run.manifest.get("fitted")
        if fitted is None:
            raise DatasetError(f"{self.run.uri}: its manifest does not say what was fitted; run it again")
        return max(int(fitted["jackknife"]["groups"]) - 1, 1)

    def has(self, table: str) -> bool:
        """Return whether the run wrote a table."""
        return table in self.run.manifest["tables"]

    def noted(self, analysis: str) -> dict[str, Any]:
        """Return an analysis's notes in the manifest; empty if it has none."""
        notes: dict[str, Any] = self.run.manifest.get("analyses", {}).get(analysis, {})
        return notes

    def is_like(self, other: RunStates, name: str) -> bool:
        """Return whether a column is in both runs, in one type and kind."""
        here, there = self.columns.get(name), other.columns.get(name)
        return here is not None and there is not None and (here.type, here.kind) == (there.type, there.kind)

    def read(self, summary: str, path: str) -> Any:
        """Return a state of a summary."""
        if summary not in STATES:
            raise DatasetError(f"{self.run.uri}: its manifest names a state of no kind that is known: {summary}")
        return self._read(path, "state", STATES[summary].from_arrow)

    def _block(self, summary: str, name: str) -> tuple[Any, int]:
        """Return the state that holds a column, and its index there; one state a summary stays in memory."""
        position = self._positions[name]
        for entry in self._entries:
            if entry["summary"] == summary:
                if position < entry["columns"]:
                    path = entry["path"]
                    if self._loaded.get(summary, ("", None))[0] != path:
                        self._loaded[summary] = path, self.read(summary, path)
                    return self._loaded[summary][1], position
                position -= entry["columns"]
        raise DatasetError(f"{self.run.uri}: its manifest names no {summary} of column '{name}'; run it again")

    def _read(self, path: str, what: str, rebuild: Callable[[pa.Table], T]) -> T:
        try:
            return read_state(self.run.store, path, rebuild)
        except FileNotFoundError:
            raise DatasetError(
                f"{self.run.store.uri(path)}: the run's {what} is not there any more; run it again"
            ) from None
        except DamagedError as error:
            raise DatasetError(f"run {self.run.run_id}: {error}") from None
