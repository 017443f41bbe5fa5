"""What is appended: a run's tables with the run's id, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from featflow.storage.run import Run

__all__ = ["RUN_ID", "Appended", "chosen", "parts", "schema_of"]

RUN_ID = "run_id"
"""Name of the column that says which run a row is of."""


@dataclass(frozen=True)
class Appended:
    """What an export appended."""

    run: str
    """Id of the run."""
    to: str
    """Where the tables are."""
    rows: dict[str, int]
    """Rows that were appended, by table; 0 where the run was there already, or its table is empty."""

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def chosen(run: Run, tables: list[str] | None) -> list[str]:
    """Return the names of the tables to export, by default all that the run wrote.

    Raises
    ------
    DatasetError
        The run has no such table.
    """
    for name in tables or ():
        run.paths(name)
    return list(tables or run.manifest["tables"])


def schema_of(run: Run, name: str) -> pa.Schema:
    """Return the columns of a table of a run, the run's id first."""
    first = next(parts(run, name))
    return first.schema


def parts(run: Run, name: str) -> Iterator[pa.Table]:
    """Yield the parts of a table of a run with the run's id as their first column; errors as `Run.arrow`."""
    for path in run.paths(name):
        part = run.part(path)
        ids = pa.repeat(run.run_id, part.num_rows)
        # What a column means stands where Iceberg looks for it.
        fields = [each.with_metadata({"doc": (each.metadata or {}).get(b"description", b"")}) for each in part.schema]
        schema = pa.schema([pa.field(RUN_ID, pa.string(), metadata={"doc": "Id of the run."}), *fields])
        yield pa.table([ids, *part.columns], schema=schema)
