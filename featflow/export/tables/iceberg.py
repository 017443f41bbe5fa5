"""A run's tables, appended to Iceberg tables: all parts of a table in one commit."""

from __future__ import annotations

import re
from typing import Any

from featflow.dataset.sources.iceberg import load_iceberg_catalog
from featflow.dataset.sources.storage import failure, iceberg_options
from featflow.errors import ConfigurationError, FeatflowError
from featflow.export.tables.rows import RUN_ID, Appended, chosen, parts, schema_of
from featflow.storage.references import resolve_references
from featflow.storage.run import Run, open_run

__all__ = ["export_iceberg"]


def export_iceberg(
    uri: str, to: str, tables: list[str] | None = None, catalog: dict[str, Any] | None = None
) -> Appended:
    """Append a run's tables to the Iceberg tables ``TO.NAME``; those that hold rows of the run stay as they are.

    Parameters
    ----------
    uri
        Of the run, or of an output for its latest.
    to
        ``CATALOG.NAMESPACE``; the namespace is made if it is not there.
    tables
        Names of tables; all by default.
    catalog
        Properties of the catalog beside pyiceberg's own configuration; references in them are resolved.

    Raises
    ------
    DatasetError
        There is no such run, or it has no such table.
    ConfigurationError
        The package pyiceberg is not installed, or the catalog is not configured.
    InfrastructureError
        The catalog or storage failed, or another commit came in between; another try goes on from there.
    """
    run = open_run(uri)
    name, _, namespace = to.partition(".")
    if not name or not namespace:
        raise ConfigurationError(f"{to}: write CATALOG.NAMESPACE, where the tables are to be")
    try:
        properties = iceberg_options(run.store.options) | resolve_references(catalog or {})
        loaded = load_iceberg_catalog(name, properties)
    except FeatflowError as error:
        raise _said_for_export(error) from None
    rows = {}
    for table in chosen(run, tables):
        try:
            loaded.create_namespace_if_not_exists(namespace)
            rows[table] = _append(run, table, loaded, f"{namespace}.{table}")
        except FeatflowError:
            raise
        except Exception as error:
            raise _said_for_export(failure(f"{to}.{table}", error, properties)) from error
    return Appended(run.run_id, to, rows)


def _said_for_export(error: FeatflowError) -> FeatflowError:
    """Return an error of reading tables as one of writing them, where no configuration of a dataset is."""
    text = str(error).replace("check dataset.source", "check --to and --catalog")
    text = text.replace("dataset.storage_options, dataset.catalog", "--catalog")
    return type(error)(re.sub(r"dataset\.(catalog|storage_options)\b", "--catalog", text))


def _append(run: Run, name: str, catalog: Any, identifier: str) -> int:
    """Append a table of a run, and return how many rows."""
    from pyiceberg.expressions import EqualTo  # noqa: PLC0415

    schema = schema_of(run, name)
    table = catalog.create_table_if_not_exists(identifier, schema=schema)
    of_run = table.scan(row_filter=EqualTo(RUN_ID, run.run_id), selected_fields=(RUN_ID,), limit=1)
    if of_run.to_arrow().num_rows:
        return 0
    count = 0
    with table.transaction() as transaction:
        if set(schema.names) - {field.name for field in table.schema().fields}:  # a later version writes more columns
            with transaction.update_schema() as update:
                update.union_by_name(schema)
        for part in parts(run, name):
            if part.num_rows:
                transaction.append(part)
                count += part.num_rows
    return count
