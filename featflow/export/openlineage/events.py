"""OpenLineage events of a run: the datasets it read, the tables it wrote, and the input columns of each output column.

A dataset is named as OpenLineage names files: ``s3://bucket`` and a key, ``file`` and a path. A table of a run has the
same name from run to run, ``<output>/<table>``; its version is the run, and a symlink leads to its files.

Events are plain JSON values: importing the client's classes for them took as long as reading a small table (0.45 s).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from featflow.analyses.catalogue import TABLES
from featflow.config import Config, parse
from featflow.storage.run import Run
from featflow.storage.tables import QUANTILE_PROBABILITIES

__all__ = ["FACETS", "Event", "complete_event", "dataset_name", "fail_event", "start_event"]

Event = dict[str, Any]
"""A RunEvent as JSON values."""

SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "DataQualityMetricsInputDatasetFacet": "1-0-3",
    "DatasetVersionDatasetFacet": "1-0-1",
    "ErrorMessageRunFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "SchemaDatasetFacet": "1-2-0",
    "SymlinksDatasetFacet": "1-0-1",
}
"""Versions of the facets' schemas that events follow."""
PRODUCER = f"urn:featflow:{version('featflow')}"
MOST_COLUMNS = 1000
"""Columns beyond which an event leaves out metrics and lineage of single columns: it would have many megabytes."""


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of the dataset at a URI; a pattern is named by the folder before it.

    Examples
    --------
    >>> dataset_name("s3a://lake/flights/*.parquet"), dataset_name("/data/a.parquet")
    (('s3://lake', 'flights'), ('file', '/data/a.parquet'))
    """
    protocol, mark, rest = uri.partition("://")
    if not mark or protocol in {"file", "local"}:
        return "file", _before_pattern(os.path.abspath(rest if mark else uri)) or "/"  # noqa: PTH100  keeps a pattern
    host, _, path = rest.partition("/")
    return f"{'s3' if protocol == 's3a' else protocol}://{host}", _before_pattern(path) or "/"


def _before_pattern(path: str) -> str:
    first = min((path.index(mark) for mark in "*?[" if mark in path), default=None)
    return (path if first is None else path[:first].rpartition("/")[0]).rstrip("/")


def start_event(config: Config, run_id: str, at: datetime) -> Event:
    """Return the event of a run's start."""
    return _event(config, run_id, "START", at)


def fail_event(config: Config, run_id: str, message: str, *, stopped: bool = False) -> Event:
    """Return the event of a run that failed or was stopped; the caller has removed credentials from the message."""
    error = _facet("ErrorMessageRunFacet", message=message, programmingLanguage="Python")
    return _event(config, run_id, "ABORT" if stopped else "FAIL", datetime.now(UTC), {"errorMessage": error})


def complete_event(run: Run) -> Event:
    """Return the event of a run's end, from its manifest and its profile."""
    manifest = run.manifest
    config = parse(manifest["config"])
    ended = datetime.fromisoformat(manifest["started"]) + timedelta(seconds=manifest["seconds"]["total"])
    event = _event(config, run.run_id, "COMPLETE", ended)
    names = ["column", "type", "kind", "rows", "missing", "distinct", "min", "max", "quantiles"]
    profiled = run.arrow("profile").select(names).to_pylist() if "profile" in run.tables else []
    file_columns = [row for row in profiled if row["column"] not in manifest.get("derived", {})]
    inputs = event["inputs"]
    for dataset in inputs if file_columns else ():
        dataset["facets"] = {"schema": _schema_facet(file_columns, config)}
    if len(inputs) == 1 and file_columns:  # numbers are of all sources together
        inputs[0]["inputFacets"] = {"dataQualityMetrics": _quality_facet(file_columns, manifest)}
    folders = {entry["path"].rpartition("/")[0] for entry in manifest["tables"].values()}
    sizes = {path: size for folder in folders for path, size in run.store.sizes(folder).items()}
    event["outputs"] = [_output_dataset(run, config, table, (sizes, inputs, profiled)) for table in manifest["tables"]]
    return event


def _event(config: Config, run_id: str, state: str, at: datetime, facets: dict[str, Any] | None = None) -> Event:
    namespace, name = dataset_name(config.output)
    options = config.lineage
    datasets = dict.fromkeys(dataset_name(source) for source in config.dataset.source)
    return {
        "eventType": state,
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": EVENT,
        "run": {
            "runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}/runs/{run_id}")),
            "facets": facets or {},
        },
        "job": {
            "namespace": options.namespace if options else "featflow",
            "name": (options and options.job) or name.lstrip("/") or namespace,
            "facets": {},
        },
        "inputs": [{"namespace": space, "name": name, "facets": {}, "inputFacets": {}} for space, name in datasets],
        "outputs": [],
    }


def _facet(name: str, **fields: Any) -> dict[str, Any]:
    """Return a facet with its producer and the schema that it follows."""
    schema = f"{SPEC}/facets/{FACETS[name]}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}


def _without_nulls(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None: OpenLineage knows no null."""
    return {name: value for name, value in fields.items() if value is not None}


def _schema_facet(columns: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    fields = [_without_nulls(name=name) for name in config.dataset.entity]
    fields += [_without_nulls(name=row["column"], type=row["type"]) for row in columns]
    return _facet("SchemaDatasetFacet", fields=fields)


def _quality_facet(rows: list[dict[str, Any]], manifest: dict[str, Any]) -> dict[str, Any]:
    files = {entry["uri"]: entry["size"] for entry in manifest["inputs"]}
    columns = {
        row["column"]: _without_nulls(
            nullCount=row["missing"],
            distinctCount=row["distinct"],
            count=row["rows"] - row["missing"],
            min=row["min"],
            max=row["max"],
            quantiles=_without_nulls(
                **dict(zip(map(str, QUANTILE_PROBABILITIES), row["quantiles"] or [], strict=False))
            ),
        )
        for row in rows
    }
    return _facet(
        "DataQualityMetricsInputDatasetFacet",
        columnMetrics=columns if len(columns) <= MOST_COLUMNS else {},
        rowCount=manifest["rows"]["read"],
        bytes=sum(files.values()),
        fileCount=len(files),
    )


def _output_dataset(
    run: Run, config: Config, table: str, sources: tuple[dict[str, int], list[dict[str, Any]], Any]
) -> dict[str, Any]:
    sizes, inputs, profiled = sources
    entry, (namespace, name) = run.manifest["tables"][table], dataset_name(config.output)
    keys = _key_columns(config) if table == "embedding" else []
    columns = [_without_nulls(name=key) for key in keys]
    columns += [
        _without_nulls(
            name=field.name, type=str(field.type), description=field.metadata.get(b"description", b"").decode() or None
        )
        for field in TABLES[table].schema
    ]
    space, location = dataset_name(run.store.uri(entry["path"]))
    facets = {
        "schema": _facet("SchemaDatasetFacet", fields=columns),
        "version": _facet("DatasetVersionDatasetFacet", datasetVersion=run.run_id),
        "symlinks": _facet(
            "SymlinksDatasetFacet", identifiers=[{"namespace": space, "name": location, "type": "LOCATION"}]
        ),
    }
    lineage = dict(_column_lineage(table, keys, inputs, profiled, run.manifest))
    if lineage:
        facets["columnLineage"] = _facet("ColumnLineageDatasetFacet", fields=lineage, dataset=[])
    size = sum(part for path, part in sizes.items() if path == entry["path"] or path.startswith(f"{entry['path']}/"))
    statistics = _facet(
        "OutputStatisticsOutputDatasetFacet", rowCount=entry["rows"], size=size, fileCount=entry["parts"]
    )
    return {
        "namespace": namespace,
        "name": f"{name}/{table}",
        "facets": facets,
        "outputFacets": {"outputStatistics": statistics},
    }


def _key_columns(config: Config) -> list[str]:
    return [*config.dataset.entity, *filter(None, [config.dataset.event_time])]


def _column_lineage(
    table: str,
    keys: list[str],
    inputs: list[dict[str, Any]],
    profiled: list[dict[str, Any]],
    manifest: dict[str, Any],
) -> Iterator[tuple[str, Any]]:
    """Yield each output column with its lineage: the input columns that it is computed from.

    A derived column is replaced by the columns of files that it is computed from.
    """
    derived = manifest.get("derived", {})
    images = [each["column"] for each in manifest["config"]["dataset"]["images"]]
    names = [row["column"] for row in profiled]
    used = dict.fromkeys(name for name in names if name not in derived)
    used |= dict.fromkeys(source for name in names for source in derived.get(name, ()))
    for key in keys:
        yield key, _input_fields(inputs, [key], "IDENTITY")
    if images:
        for column in TABLES[table].of_images:
            yield (
                column,
                _input_fields(
                    inputs, dict.fromkeys(images), "TRANSFORMATION" if table == "embedding" else "AGGREGATION"
                ),
            )
    if 0 < len(used) * len(inputs) <= MOST_COLUMNS:
        for column in TABLES[table].of_columns:
            yield column, _input_fields(inputs, used, "AGGREGATION")


def _input_fields(inputs: list[dict[str, Any]], columns: Iterable[str], how: str) -> dict[str, Any]:
    transformations = [{"type": "DIRECT", "subtype": how, "masking": False}]
    fields = [
        {
            "namespace": dataset["namespace"],
            "name": dataset["name"],
            "field": column,
            "transformations": transformations,
        }
        for dataset in inputs
        for column in columns
    ]
    return {"inputFields": fields}
