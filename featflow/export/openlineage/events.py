"""OpenLineage events of a run: what it read, what it wrote, and which columns went into what.

A dataset is named as OpenLineage names files: ``s3://bucket`` and a key, ``file`` and a path. A table of a run has the
same name from run to run, ``<output>/<table>``; its version is the run, and a symlink leads to its files.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from openlineage.client import facet_v2
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent, RunState
from openlineage.client.event_v2 import Run as LineageRun

from featflow.analyses.catalogue import TABLES
from featflow.config import Config, parse
from featflow.storage.run import Run
from featflow.storage.tables import QUANTILE_PROBABILITIES

__all__ = ["complete_event", "dataset_name", "fail_event", "start_event"]

PRODUCER = f"urn:featflow:{version('featflow')}"
MOST_COLUMNS = 1000
"""Columns beyond which an event says of a table only what came from keys and images: it would be of many megabytes."""


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of what lies at a URI; a pattern is named by the folder before it.

    Examples
    --------
    >>> dataset_name("s3a://lake/flights/*.parquet"), dataset_name("/data/a.parquet")
    (('s3://lake', 'flights'), ('file', '/data/a.parquet'))
    """
    protocol, mark, rest = uri.partition("://")
    if not mark or protocol in {"file", "local"}:
        return "file", _plain(os.path.abspath(rest if mark else uri)) or "/"  # noqa: PTH100  keeps a pattern
    host, _, path = rest.partition("/")
    return f"{'s3' if protocol == 's3a' else protocol}://{host}", _plain(path) or "/"


def _plain(path: str) -> str:
    first = min((path.index(mark) for mark in "*?[" if mark in path), default=None)
    return (path if first is None else path[:first].rpartition("/")[0]).rstrip("/")


def start_event(config: Config, run_id: str, at: datetime) -> RunEvent:
    """Return the event of a run's start."""
    return _event(config, run_id, RunState.START, at)


def fail_event(config: Config, run_id: str, message: str, *, stopped: bool = False) -> RunEvent:
    """Return the event of a run's failure, or that it was stopped; the message holds no credential."""
    error = facet_v2.error_message_run.ErrorMessageRunFacet(message, "Python", producer=PRODUCER)
    state = RunState.ABORT if stopped else RunState.FAIL
    return _event(config, run_id, state, datetime.now(UTC), {"errorMessage": error})


def complete_event(run: Run) -> RunEvent:
    """Return the event of a run's end, from its manifest and its profile."""
    manifest = run.manifest
    config = parse(manifest["config"])
    ended = datetime.fromisoformat(manifest["started"]) + timedelta(seconds=manifest["seconds"]["total"])
    event = _event(config, run.run_id, RunState.COMPLETE, ended)
    names = ["column", "type", "kind", "rows", "missing", "distinct", "min", "max", "quantiles"]
    profiled = run.arrow("profile").select(names).to_pylist() if "profile" in run.tables else []
    read = [row for row in profiled if row["column"] not in manifest.get("derived", {})]
    for dataset in event.inputs:
        dataset.facets = {"schema": _schema(read, config)} if read else {}
    if len(event.inputs) == 1 and read:  # numbers are of all sources together
        event.inputs[0].inputFacets = {"dataQualityMetrics": _quality(read, manifest)}
    sizes = run.store.sizes(f"runs/{run.run_id}/tables")
    event.outputs = [_output(run, config, table, (sizes, event.inputs, profiled)) for table in manifest["tables"]]
    return event


def _event(config: Config, run_id: str, state: RunState, at: datetime, facets: Any = None) -> RunEvent:
    namespace, name = dataset_name(config.output)
    told = config.lineage
    job = Job(told.namespace if told else "featflow", (told and told.job) or name.lstrip("/") or namespace)
    run = LineageRun(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}/runs/{run_id}")), facets or {})
    named = dict.fromkeys(dataset_name(source) for source in config.dataset.source)
    inputs = [InputDataset(namespace, name) for namespace, name in named]
    return RunEvent(
        eventType=state, eventTime=at.isoformat(), run=run, job=job, inputs=inputs, outputs=[], producer=PRODUCER
    )


def _schema(read: list[dict[str, Any]], config: Config) -> Any:
    fields = [_field(name) for name in config.dataset.entity]
    fields += [_field(row["column"], row["type"]) for row in read]
    return facet_v2.schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)


def _field(name: str, kind: str | None = None, description: str | None = None) -> Any:
    return facet_v2.schema_dataset.SchemaDatasetFacetFields(name, kind, description, fields=None)


def _quality(read: list[dict[str, Any]], manifest: dict[str, Any]) -> Any:
    facets = facet_v2.data_quality_metrics_input_dataset
    files = {entry["uri"]: entry["size"] for entry in manifest["inputs"]}
    columns = {
        row["column"]: facets.ColumnMetrics(
            nullCount=row["missing"],
            distinctCount=row["distinct"],
            count=row["rows"] - row["missing"],
            min=row["min"],
            max=row["max"],
            quantiles=dict(zip(map(str, QUANTILE_PROBABILITIES), row["quantiles"] or [], strict=False)),
        )
        for row in read
    }
    return facets.DataQualityMetricsInputDatasetFacet(
        columns if len(columns) <= MOST_COLUMNS else {},
        rowCount=manifest["rows"]["read"],
        bytes=sum(files.values()),
        fileCount=len(files),
        producer=PRODUCER,
    )


def _output(
    run: Run, config: Config, table: str, told: tuple[dict[str, int], list[InputDataset], Any]
) -> OutputDataset:
    sizes, inputs, profiled = told
    entry, (namespace, name) = run.manifest["tables"][table], dataset_name(config.output)
    keys = _keys(config) if table == "embedding" else []
    columns = [_field(key) for key in keys]
    columns += [
        _field(each.name, str(each.type), each.metadata.get(b"description", b"").decode() or None)
        for each in TABLES[table].schema
    ]
    place = dataset_name(run.store.uri(entry["path"]))
    link = facet_v2.symlinks_dataset.Identifier(*place, type="LOCATION")
    facets: dict[str, Any] = {
        "schema": facet_v2.schema_dataset.SchemaDatasetFacet(columns, producer=PRODUCER),
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(run.run_id, producer=PRODUCER),
        "symlinks": facet_v2.symlinks_dataset.SymlinksDatasetFacet([link], producer=PRODUCER),
    }
    lineage = dict(_lineage(table, keys, inputs, profiled, run.manifest))
    if lineage:
        facets["columnLineage"] = facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet(lineage, producer=PRODUCER)
    size = sum(each for path, each in sizes.items() if path == entry["path"] or path.startswith(f"{entry['path']}/"))
    written = facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=entry["rows"], size=size, fileCount=entry["parts"], producer=PRODUCER
    )
    return OutputDataset(namespace, f"{name}/{table}", facets=facets, outputFacets={"outputStatistics": written})


def _keys(config: Config) -> list[str]:
    return [*config.dataset.entity, *filter(None, [config.dataset.event_time])]


def _lineage(
    table: str, keys: list[str], inputs: list[InputDataset], profiled: list[dict[str, Any]], manifest: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield of each output column the input columns that it is made of."""
    derived = manifest.get("derived", {})
    images = [each["column"] for each in manifest["config"]["dataset"]["images"]]
    names = [row["column"] for row in profiled]
    read = dict.fromkeys(name for name in names if name not in derived)
    read |= dict.fromkeys(source for name in names for source in derived.get(name, ()))
    for key in keys:
        yield key, _fields(inputs, [key], "IDENTITY")
    if images:
        for column in TABLES[table].of_images:
            yield (
                column,
                _fields(inputs, dict.fromkeys(images), "TRANSFORMATION" if table == "embedding" else "AGGREGATION"),
            )
    if 0 < len(read) * len(inputs) <= MOST_COLUMNS:
        for column in TABLES[table].of_columns:
            yield column, _fields(inputs, read, "AGGREGATION")


def _fields(inputs: list[InputDataset], columns: Iterable[str], how: str) -> Any:
    facets = facet_v2.column_lineage_dataset
    made = [facets.Transformation("DIRECT", how, masking=False)]
    found = [facets.InputField(each.namespace, each.name, column, made) for each in inputs for column in columns]
    return facets.Fields(found)
