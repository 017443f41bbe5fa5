"""Write the published schemas and docs/tables.md; a test fails when they are stale."""

from __future__ import annotations

import json
from pathlib import Path

from featflow.analyses.catalogue import TABLES
from featflow.config import Config
from featflow.storage.tables import TableSpec

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parent / "docs" / "tables.md"
PREFACE = """# Tables

Every run writes these as Parquet to `<output>/runs/<run id>/tables/`; `<output>/LATEST` names the newest run. A
statistic that does not exist is null, never NaN or infinity. Times are UTC microseconds, information is in nats.
`featflow schema TABLE` prints the same as JSON. A table is there where its analysis was asked for and had something to
look at; the manifest lists them.

Written by `schemas/generate.py` from the `tables.py` of every analysis (`make schemas`).
"""


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


def _plain(kind: str) -> str:
    """Return an Arrow type without the names that Arrow gives to elements of lists."""
    return kind.replace("element: ", "").replace("item: ", "")


if __name__ == "__main__":
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    DOCUMENT.write_text(documented(), encoding="utf-8")
