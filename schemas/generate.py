"""Write the published schemas, docs/tables.md and docs/configuration.md; a test fails when they are stale."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

from featflow.analyses.catalogue import TABLES
from featflow.config import Config
from featflow.config.keys import sections
from featflow.storage.tables import TableSpec

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parent / "docs" / "tables.md"
KEYS_DOCUMENT = FOLDER.parent / "docs" / "configuration.md"
PREFACE = """# Tables

Every run writes these as Parquet to `<output>/runs/<run id>/tables/`; `<output>/LATEST` names the newest run. A
statistic that does not exist is null, never NaN or infinity. Times are UTC microseconds, information is in nats.
`featflow schema TABLE` prints the same as JSON. A table is there where its analysis was asked for and had something to
look at; the manifest lists them.

Written by `schemas/generate.py` from the `tables.py` of every analysis (`make schemas`).
"""

WORDS = {
    "integer": "whole number",
    "boolean": "`true` or `false`",
    "string": "text",
    "null": "`null`",
    "date-time": "time",
}
"""Types of JSON Schema, as the document calls them."""
KEYS_PREFACE = FOLDER / "configuration.md"
"""What stands above the keys."""


def published() -> dict[str, str]:
    """Return the text of every published schema, by name."""
    described = {name: spec.describe() for name, spec in TABLES.items()} | {"config": Config.model_json_schema()}
    return {f"{name}.json": json.dumps(value, indent=2) + "\n" for name, value in described.items()}


def documented() -> str:
    """Return the text of docs/tables.md."""
    return "\n".join([PREFACE, *(_section(spec) for spec in TABLES.values())])


def _section(spec: TableSpec) -> str:
    lines = [f"## `{spec.name}`", "", f"A row is {spec.row}.", ""]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for field in spec.describe()["fields"]:
        meaning = field["description"].replace("|", "\\|")
        lines.append(f"| `{field['name']}` | `{_plain(field['type'])}` | {field.get('unit', '')} | {meaning} |")
    return "\n".join([*lines, ""])


def documented_keys() -> str:
    """Return the text of docs/configuration.md."""
    schema = Config.model_json_schema()
    parts = [_keys_section(path, options, schema) for path, options in sections(Config) if options.model_fields]
    return "\n".join([KEYS_PREFACE.read_text(encoding="utf-8"), *parts])


def examples() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path of every key and its example."""
    for path, options in sections(Config):
        for name, field in options.model_fields.items():
            yield (*path, name), _example(field)


def _keys_section(path: tuple[str, ...], options: type[BaseModel], schema: dict[str, Any]) -> str:
    properties = schema["properties"] if options is Config else schema["$defs"][options.__name__]["properties"]
    meaning = _first_line(options)
    lines = [f"## {'.'.join(path) or 'The top level'}", "", meaning, ""]
    lines += ["| key | value | default | example | meaning |", "|---|---|---|---|---|"]
    for name, field in options.model_fields.items():
        default = "required" if field.is_required() else f"`{_default(field)}`"
        example = yaml.safe_dump(
            {name: _example(field)}, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
        )
        cells = (
            f"`{name}`",
            _value(properties[name]),
            default,
            f"`{example.strip()[1:-1]}`",
            _meaning(path, name, field),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _meaning(path: tuple[str, ...], name: str, field: FieldInfo) -> str:
    """Return what a key means; of one with keys of its own, where they are described."""
    inner = [where for where, options in sections(Config) if where[: len(path) + 1] == (*path, name)]
    links = (f"[{'.'.join(where)}](#{''.join(where)})" for where in inner if len(where) <= len(path) + 2)
    text = field.description or ""
    if not inner:
        return text
    options = dict(sections(Config))[inner[0]]
    text = text or _first_line(options)
    return f"{text} Keys: {next(links)}." if options.model_fields else text


def _first_line(options: type[BaseModel]) -> str:
    return inspect.cleandoc(options.__doc__ or "").split("\n", maxsplit=1)[0].replace("``", "`")


def _default(field: FieldInfo) -> str:
    """Return a default as it would be written; of an analysis, whether it is on."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "true" if type(None) in getattr(field.annotation, "__args__", ()) else "{}"
    if isinstance(value, ByteSize):
        return _size(value)
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def _size(value: ByteSize) -> str:
    return value.human_readable().replace(".0", "")


def _example(field: FieldInfo) -> Any:
    """Return the example of a key: its own, or another value than its default where that is plain, or its default."""
    if field.examples:
        return field.examples[0]
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    inner = [each for each in (field.annotation, *_arguments(field.annotation)) if isinstance(each, type)]
    if models := [each for each in inner if issubclass(each, BaseModel)]:
        name, first = next(iter(models[0].model_fields.items()), ("", field))
        return value is None if type(None) in inner else {name: _example(first)}
    if isinstance(value, bool):
        return not value
    if choices := [*_choices(field.annotation)]:
        return choices[:2] if isinstance(value, list) else choices[-1]
    if isinstance(value, ByteSize):
        return _size(value)
    return 0.5 if value is None and float in inner else value


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__args__", ()))


def _choices(annotation: Any) -> Iterator[Any]:
    for part in _arguments(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _choices(part)


def _value(schema: dict[str, Any]) -> str:
    """Return in words what values a JSON Schema allows."""
    options = schema.get("anyOf") or schema.get("oneOf") or []
    if options and options[0].get("pattern", "").startswith(r"^\s*(\d"):
        return "size"
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    kind = "keys" if "$ref" in schema else schema.get("format", schema.get("type", "any"))
    if kind == "array":
        kind = f"list of {_value(schema['items'])}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        kind = f"names, each with {_value(inner)}" if isinstance(inner, dict) else "keys"
    words = [_value(each) for each in options] or [f"`{each}`" for each in choices] or [WORDS.get(kind, kind)]
    if WORDS["boolean"] in words and WORDS["null"] in words:
        words.remove(WORDS["null"])  # false is null there
    return " or ".join(dict.fromkeys(words)) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "from {:,}",
        "exclusiveMinimum": "above {:,}",
        "maximum": "up to {:,}",
        "exclusiveMaximum": "below {:,}",
    }
    bounds = [text.format(schema[name]) for name, text in words.items() if name in schema]
    return f" ({' '.join(bounds)})" if bounds else ""


def _plain(kind: str) -> str:
    """Return an Arrow type without the names that Arrow gives to elements of lists."""
    return kind.replace("element: ", "").replace("item: ", "")


if __name__ == "__main__":
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    DOCUMENT.write_text(documented(), encoding="utf-8")
    KEYS_DOCUMENT.write_text(documented_keys(), encoding="utf-8")
