"""A run's tables, appended to Delta tables.

Every append commits the run's id as an application's transaction, which the log keeps: a second append of the run finds
it, and of two at once one fails.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from featflow.dataset.sources.storage import delta_options, failure
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.export.tables.rows import Appended, chosen, parts, schema_of
from featflow.storage.run import Run, open_run

__all__ = ["export_delta"]


def export_delta(uri: str, to: str | None = None, tables: list[str] | None = None) -> Appended:
    """Append a run's tables to the Delta tables ``TO/NAME``; those that hold the run already stay as they are.

    Parameters
    ----------
    uri
        Of the run, or of an output for its latest.
    to
        Folder of the tables; ``delta`` below the output by default.
    tables
        Names of tables; all by default.

    Raises
    ------
    DatasetError
        There is no such run, or it has no such table.
    ConfigurationError
        The package deltalake is not installed.
    InfrastructureError
        Storage failed, or another commit came in between; another try goes on from there.
    """
    run = open_run(uri)
    try:
        from deltalake.exceptions import CommitFailedError, DeltaError  # noqa: PLC0415  0.2 s, which only Delta tables need
    except ImportError:
        raise ConfigurationError("Delta tables need the package deltalake: pip install 'featflow[delta]'") from None
    root = (to or run.store.uri("delta")).rstrip("/")
    rows = {}
    for name in chosen(run, tables):
        try:
            rows[name] = _append(run, name, f"{root}/{name}")
        except CommitFailedError as error:
            raise InfrastructureError(f"{root}/{name}: another commit came in between: {error}; retry") from error
        except (DeltaError, OSError) as error:
            raise failure(f"{root}/{name}", error, delta_options(run.store.options)) from error
    return Appended(run.run_id, root, rows)


def _append(run: Run, name: str, uri: str) -> int:
    """Append a table of a run, and return how many rows."""
    from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake  # noqa: PLC0415

    store = delta_options(run.store.options)
    transaction = f"featflow:{run.run_id}"
    if DeltaTable.is_deltatable(uri, store):
        there = DeltaTable(uri, storage_options=store)
        if there.transaction_version(transaction) is not None:
            return 0
    count = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for part in parts(run, name):
            count += part.num_rows
            yield from part.to_batches()

    write_deltalake(
        uri,
        pa.RecordBatchReader.from_batches(schema_of(run, name), batches()),
        mode="append",
        schema_mode="merge",
        storage_options=store,
        commit_properties=CommitProperties(app_transactions=[Transaction(transaction, 1)]),
    )
    return count
