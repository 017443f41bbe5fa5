"""Write the published schemas; a test fails when they are stale."""

from __future__ import annotations

import json
from pathlib import Path

from featflow.config import Config
from featflow.tables import SCHEMAS, describe

FOLDER = Path(__file__).parent


def published() -> dict[str, str]:
    """Return the text of every published file, by name."""
    described = {name: describe(name) for name in SCHEMAS} | {"config": Config.model_json_schema()}
    return {f"{name}.json": json.dumps(value, indent=2) + "\n" for name, value in described.items()}


if __name__ == "__main__":
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
