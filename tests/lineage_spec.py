"""What OpenLineage 2-0-2 and its facets demand of an event, as JSON Schema: the client ships classes, not schemas."""

from __future__ import annotations

from typing import Any

TEXT, WHOLE, NUMBER, URI = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string", "format": "uri"},
)


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these properties, some of them required; what else it holds is free."""
    return {"type": "object", "properties": properties, "required": required.split()}


def facet(required: str = "", **properties: Any) -> dict[str, Any]:
    """A facet: every one says who made it and which schema it follows."""
    return fields(f"_producer _schemaURL {required}", _producer=URI, _schemaURL=URI, **properties)


def several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def by_name(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


COLUMN_METRICS = fields(
    nullCount=WHOLE, distinctCount=WHOLE, sum=NUMBER, count=NUMBER, min=NUMBER, max=NUMBER, quantiles=by_name(NUMBER)
)
INPUT_FIELD = fields(
    "namespace name field",
    namespace=TEXT,
    name=TEXT,
    field=TEXT,
    transformations=several(
        fields("type", type=TEXT, subtype=TEXT, description=TEXT, masking={"type": "boolean"}),
    ),
)
DATASET_FACETS = {
    "schema": facet(fields=several(fields("name", name=TEXT, type=TEXT, description=TEXT))),
    "version": facet("datasetVersion", datasetVersion=TEXT),
    "symlinks": facet(
        identifiers=several(fields("namespace name type", namespace=TEXT, name=TEXT, type=TEXT)),
    ),
    "columnLineage": facet(
        "fields", fields=by_name(fields("inputFields", inputFields=several(INPUT_FIELD))), dataset=several(INPUT_FIELD)
    ),
}
INPUT_FACETS = {
    "dataQualityMetrics": facet(
        "columnMetrics", rowCount=WHOLE, bytes=WHOLE, fileCount=WHOLE, columnMetrics=by_name(COLUMN_METRICS)
    )
}
OUTPUT_FACETS = {"outputStatistics": facet(rowCount=WHOLE, size=WHOLE, fileCount=WHOLE)}
RUN_FACETS = {
    "errorMessage": facet("message programmingLanguage", message=TEXT, programmingLanguage=TEXT, stackTrace=TEXT)
}


def known(facets: dict[str, Any]) -> dict[str, Any]:
    """Facets by name, and none that is not written out here: it could not be checked."""
    return {"type": "object", "properties": facets, "additionalProperties": False}


RUN_EVENT = fields(
    "eventTime producer schemaURL run job",
    eventType={"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
    eventTime={"type": "string", "format": "date-time"},
    producer=URI,
    schemaURL={"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
    run=fields("runId", runId={"type": "string", "format": "uuid"}, facets=known(RUN_FACETS)),
    job=fields("namespace name", namespace=TEXT, name=TEXT, facets=known({})),
    inputs=several(
        fields(
            "namespace name", namespace=TEXT, name=TEXT, facets=known(DATASET_FACETS), inputFacets=known(INPUT_FACETS)
        )
    ),
    outputs=several(
        fields(
            "namespace name", namespace=TEXT, name=TEXT, facets=known(DATASET_FACETS), outputFacets=known(OUTPUT_FACETS)
        )
    ),
)
