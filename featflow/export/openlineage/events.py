"""OpenLineage events of a run: what it read, what it wrote, and which columns went into what.

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

import pyarrow as pa

from featflow.config import Config, parse
from featflow.dataset.formats import FRAME, PICTURES
from featflow.dataset.parquet import open_parquet
from featflow.storage.records.tables import streaming
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
"""Columns beyond which an event says of a table only what came from keys and images: it would be of many megabytes."""


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of what lies at a URI; a pattern is named by the folder before it.

    A Delta table is named by its URI, as OpenLineage asks; an Iceberg table by its catalog.

    Examples
    --------
    >>> dataset_name("delta:s3://lake/flights"), dataset_name("iceberg:prod.travel.flights")
    (('s3://lake', 'flights'), ('iceberg://prod', 'travel.flights'))
    >>> dataset_name("s3a://lake/flights/*.parquet"), dataset_name("/data/a.parquet")
    (('s3://lake', 'flights'), ('file', '/data/a.parquet'))
    """
    if uri.startswith(FRAME):
        return "frame", uri.removeprefix(FRAME)
    if uri.startswith("iceberg:"):
        catalog, _, table = uri.removeprefix("iceberg:").partition(".")
        return f"iceberg://{catalog}", table
    protocol, mark, rest = uri.removeprefix(PICTURES).removeprefix("delta:").partition("://")
    if not mark or protocol in {"file", "local"}:
        return "file", _plain(os.path.abspath(rest if mark else protocol)) or "/"  # noqa: PTH100  keeps a pattern
    host, _, path = rest.partition("/")
    return f"{'s3' if protocol == 's3a' else protocol}://{host}", _plain(path) or "/"


def _plain(path: str) -> str:
    first = min((path.index(mark) for mark in "*?[" if mark in path), default=None)
    return (path if first is None else path[:first].rpartition("/")[0]).rstrip("/")


def start_event(config: Config, run_id: str, at: datetime) -> Event:
    """Return the event of a run's start."""
    return _event(config, run_id, "START", at)


def fail_event(config: Config, run_id: str, message: str, *, stopped: bool = False) -> Event:
    """Return the event of a run's failure, or that it was stopped; the message holds no credential."""
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
    read = [row for row in profiled if row["column"] not in manifest.get("derived", {})]
    inputs = event["inputs"]
    for dataset in inputs if read else ():
        dataset["facets"] = {"schema": _schema(read, config)}
    if len(inputs) == 1 and read:  # numbers are of all sources together
        inputs[0]["inputFacets"] = {"dataQualityMetrics": _quality(read, manifest)}
    event["outputs"] = [_output(run, config, table, (inputs, profiled)) for table in manifest["tables"]]
    return event


def _event(config: Config, run_id: str, state: str, at: datetime, facets: dict[str, Any] | None = None) -> Event:
    namespace, name = dataset_name(config.output)
    told = config.lineage
    named = dict.fromkeys(dataset_name(source) for source in config.dataset.source)
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
            "namespace": told.namespace if told else "featflow",
            "name": (told and told.job) or name.lstrip("/") or namespace,
            "facets": {},
        },
        "inputs": [{"namespace": space, "name": name, "facets": {}, "inputFacets": {}} for space, name in named],
        "outputs": [],
    }


def _facet(name: str, **fields: Any) -> dict[str, Any]:
    """Return a facet with who made it and the schema that it follows."""
    schema = f"{SPEC}/facets/{FACETS[name]}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}


def _known(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None: OpenLineage knows no null."""
    return {name: value for name, value in fields.items() if value is not None}


def _schema(read: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    fields = [_known(name=name) for name in config.dataset.entity]
    fields += [_known(name=row["column"], type=row["type"]) for row in read]
    return _facet("SchemaDatasetFacet", fields=fields)


def _quality(read: list[dict[str, Any]], manifest: dict[str, Any]) -> dict[str, Any]:
    files = {entry["uri"]: entry["size"] for entry in manifest["inputs"]}
    columns = {
        row["column"]: _known(
            nullCount=row["missing"],
            distinctCount=row["distinct"],
            count=row["rows"] - row["missing"],
            min=row["min"],
            max=row["max"],
            quantiles=_known(**dict(zip(map(str, QUANTILE_PROBABILITIES), row["quantiles"] or [], strict=False))),
        )
        for row in read
    }
    return _facet(
        "DataQualityMetricsInputDatasetFacet",
        columnMetrics=columns if len(columns) <= MOST_COLUMNS else {},
        rowCount=manifest["rows"]["read"],
        bytes=sum(files.values()),
        fileCount=len(files),
    )


def _output(run: Run, config: Config, table: str, told: tuple[list[dict[str, Any]], Any]) -> dict[str, Any]:
    inputs, profiled = told
    entry, (namespace, name) = run.manifest["tables"][table], dataset_name(config.output)
    keys = _keys(config) if table == "embedding" else []
    uri = run.store.uri(run.paths(table)[0])
    with streaming(uri, run.store.options), open_parquet(uri, run.store.options) as file:
        written = file.schema_arrow
    columns = [_known(name=each.name, type=str(each.type), description=_description(each)) for each in written]
    space, place = dataset_name(run.store.uri(entry["path"]))
    facets = {
        "schema": _facet("SchemaDatasetFacet", fields=columns),
        "version": _facet("DatasetVersionDatasetFacet", datasetVersion=run.run_id),
        "symlinks": _facet(
            "SymlinksDatasetFacet", identifiers=[{"namespace": space, "name": place, "type": "LOCATION"}]
        ),
    }
    lineage = dict(_lineage(table, keys, inputs, profiled, run.manifest))
    if lineage:
        facets["columnLineage"] = _facet("ColumnLineageDatasetFacet", fields=lineage, dataset=[])
    counts = _known(rowCount=entry["rows"], size=entry.get("bytes"), fileCount=entry["parts"])
    return {
        "namespace": namespace,
        "name": f"{name}/{table}",
        "facets": facets,
        "outputFacets": {"outputStatistics": _facet("OutputStatisticsOutputDatasetFacet", **counts)},
    }


def _description(column: pa.Field) -> str | None:
    return (column.metadata or {}).get(b"description", b"").decode() or None


def _keys(config: Config) -> list[str]:
    return [*config.dataset.entity, *filter(None, [config.dataset.event_time])]


def _lineage(
    table: str,
    keys: list[str],
    inputs: list[dict[str, Any]],
    profiled: list[dict[str, Any]],
    manifest: dict[str, Any],
) -> Iterator[tuple[str, Any]]:
    """Yield of each output column the input columns that it is made of."""
    made_of = manifest["tables"][table].get("made_of", {"columns": (), "images": ()})  # which older runs do not say
    derived = manifest.get("derived", {})
    images = [each["column"] for each in manifest["config"]["dataset"].get("images", ())]
    names = [row["column"] for row in profiled]
    read = dict.fromkeys(name for name in names if name not in derived)
    read |= dict.fromkeys(source for name in names for source in derived.get(name, ()))
    for key in keys:
        yield key, _fields(inputs, [key], "IDENTITY")
    if images:
        for column in made_of["images"]:
            yield (
                column,
                _fields(inputs, dict.fromkeys(images), "TRANSFORMATION" if table == "embedding" else "AGGREGATION"),
            )
    if 0 < len(read) * len(inputs) <= MOST_COLUMNS:
        for column in made_of["columns"]:
            yield column, _fields(inputs, read, "AGGREGATION")


def _fields(inputs: list[dict[str, Any]], columns: Iterable[str], how: str) -> dict[str, Any]:
    made = [{"type": "DIRECT", "subtype": how, "masking": False}]
    found = [
        {"namespace": each["namespace"], "name": each["name"], "field": column, "transformations": made}
        for each in inputs
        for column in columns
    ]
    return {"inputFields": found}
