"""Write the published schemas and docs/tables.md; a test fails when they are stale."""

from __future__ import annotations

import json
from pathlib import Path

from featflow.config import Config
from featflow.storage.tables import SCHEMAS, describe

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parent / "docs" / "tables.md"
ROWS = {
    "profile": "a column",
    "correlation": "a pair of columns and a method",
    "ranking": "a target and a feature",
    "ranking_window": "a target, a window of event time and a feature",
    "interaction": "a target and a pair of features",
    "embedding": "an image; the entity columns and event_time come before these columns, as they are in the files",
    "embedding_profile": "a column of images and an encoder",
    "drift": "a feature, or a pair, and a metric of what changed between two runs",
    "quarantine": "something that could not be read",
}
PREFACE = """# Tables

Every run writes these as Parquet to `<output>/runs/<run id>/tables/`; `<output>/LATEST` names the newest run. A
statistic that does not exist is null, never NaN or infinity. Times are UTC microseconds, information is in nats.
`featflow schema TABLE` prints the same as JSON. A table is there where its analysis was asked for and had something to
look at; the manifest lists them.

Written by `schemas/generate.py` from `featflow/storage/tables.py` (`make schemas`).
"""


def published() -> dict[str, str]:
    """Return the text of every published schema, by name."""
    described = {name: describe(name) for name in SCHEMAS} | {"config": Config.model_json_schema()}
    return {f"{name}.json": json.dumps(value, indent=2) + "\n" for name, value in described.items()}


def documented() -> str:
    """Return the text of docs/tables.md."""
    return "\n".join([PREFACE, *(_section(name) for name in SCHEMAS)])


def _section(name: str) -> str:
    lines = [f"## `{name}`", "", f"A row is {ROWS[name]}.", ""]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for field in describe(name)["fields"]:
        meaning = field["description"].replace("|", "\\|")
        lines.append(f"| `{field['name']}` | `{_plain(field['type'])}` | {field.get('unit', '')} | {meaning} |")
    return "\n".join([*lines, ""])


def _plain(kind: str) -> str:
    """Return an Arrow type without the names that Arrow gives to elements of lists."""
    return kind.replace("element: ", "").replace("item: ", "")


if __name__ == "__main__":
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    DOCUMENT.write_text(documented(), encoding="utf-8")
