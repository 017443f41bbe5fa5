"""The whole states that a run rests on: named in its manifest, read back one block of columns at a time.

They stay where they are, so two runs can be compared without their data. Columns are numbers, then categories and
texts, each kind in the dataset's order; a block's columns follow those of the block before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featflow.analyses.change import ColumnState
from featflow.columns.column import Column, Kind, Role
from featflow.errors import DamagedError, DatasetError
from featflow.execution import state_store
from featflow.execution.state_store import AnySummarizer
from featflow.storage.run import Run
from featflow.summaries import Levels, Moments, Quantiles, VectorMoments
from featflow.transforms.images.embeddings import EmbeddingsSummarizer

__all__ = ["RunStates", "named_states"]

READ: dict[str, Any] = {
    "levels": Levels,
    "moments": Moments,
    "quantiles": Quantiles,
    "vector_moments": VectorMoments,
}
"""States that runs are compared by."""


def named_states(
    columns: Sequence[Column],
    names: Mapping[AnySummarizer, str],
    vectors: Mapping[EmbeddingsSummarizer, str],
) -> dict[str, Any]:
    """Return what a manifest says of whole states, as JSON values.

    Parameters
    ----------
    columns
        Of pass 1.
    names
        Name of every whole state of pass 1, specs of a kind in the order of their columns.
    vectors
        Path of the whole state of the moments of each image column's vectors.
    """
    known = set(columns)
    return {
        "columns": [
            {"name": column.name, "type": column.type, "kind": column.kind.value, "role": column.role.value}
            for column in columns
        ],
        "whole": [
            {
                "summary": spec.name,
                "path": state_store.path(spec, name),
                "columns": sum(column in known for column in spec.columns),
            }
            for spec, name in names.items()
        ],
        "vectors": [
            {"column": spec.column.name, "encoder": spec.encoder_id, "path": path} for spec, path in vectors.items()
        ],
    }


class RunStates:
    """What a run has kept of its columns.

    Raises
    ------
    DatasetError
        The run's manifest says nothing of states, or one of them is damaged or not there any more.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        kept = run.manifest.get("states")
        if kept is None:
            raise DatasetError(f"{run.uri}: its manifest does not say which states it rests on; run it again")
        found = (Column(c["name"], c["type"], Kind(c["kind"]), role=Role(c["role"])) for c in kept["columns"])
        self.columns = {column.name: column for column in found}
        """Columns by name."""
        self._whole, self._vectors = kept["whole"], kept["vectors"]
        self._place: dict[str, int] = {}
        for numeric in (True, False):
            names = (column.name for column in self.columns.values() if column.is_numeric is numeric)
            self._place.update({name: place for place, name in enumerate(names)})
        self._loaded: dict[str, tuple[str, Any]] = {}

    def __getitem__(self, name: str) -> ColumnState:
        column = self.columns[name]
        if not column.is_numeric:
            levels, index = self._block("levels", name)
            return ColumnState(column, levels.rows, levels.columns[index].missing, levels.columns[index])
        moments, index = self._block("moments", name)
        quantiles, place = self._block("quantiles", name)
        weight, missing = moments.weight[index], moments.rows - int(moments.n[index])
        with np.errstate(all="ignore"):  # what does not exist is NaN
            std = np.sqrt(moments.m2[index] / (weight - moments.weight_square[index] / weight))
        extremes = float(moments.low[index]), float(moments.high[index])
        return ColumnState(column, moments.rows, missing, quantiles.histograms[place], float(std), *extremes)

    def vectors(self) -> dict[tuple[str, str], VectorMoments]:
        """Return the moments of vectors by image column and encoder."""
        return {(each["column"], each["encoder"]): self._read("vector_moments", each["path"]) for each in self._vectors}

    def _block(self, summary: str, name: str) -> tuple[Any, int]:
        """Return the state that holds a column, and its place there; the last one of a kind is kept."""
        place = self._place[name]
        for entry in self._whole:
            if entry["summary"] == summary:
                if place < entry["columns"]:
                    path = entry["path"]
                    if self._loaded.get(summary, ("", None))[0] != path:
                        self._loaded[summary] = path, self._read(summary, path)
                    return self._loaded[summary][1], place
                place -= entry["columns"]
        raise DatasetError(f"{self.run.uri}: its manifest names no {summary} of column '{name}'; run it again")

    def _read(self, summary: str, path: str) -> Any:
        try:
            return READ[summary].from_arrow(self.run.store.read_arrow(path))
        except FileNotFoundError:
            raise DatasetError(
                f"{self.run.store.uri(path)}: the run's state is not there any more; run it again"
            ) from None
        except DamagedError as error:
            raise DatasetError(f"run {self.run.run_id}: {error}") from None
