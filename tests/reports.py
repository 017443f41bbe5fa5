"""What tests of reports share: a table whose names are markup, runs of it, and a page as a browser sees it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from featflow.config import parse
from featflow.pipeline.job import run as run_job
from featflow.storage.run import Run

ROWS = 900
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "a \"quoted\" & 'single' <b>bold</b>",
    "two\nlines\tand more",
    "turned \u202e round",
    "$$\\int x$$",
    "{{ 7 * 7 }} {% raw %}",
    "שלום @{feature}",
    "<!-- comment \u2028 --> ]]>",
)


def picture(level: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (24, 24), (level, level, level)).save(sink, "PNG")
    return sink.getvalue()


def hostile_table() -> pa.Table:
    """Names and values that are markup; two columns that matter only together; images whose brightness tells."""
    random = np.random.default_rng(3)
    first, second = random.integers(0, 2, ROWS), random.integers(0, 2, ROWS)
    target = np.where(random.random(ROWS) < 0.9, first ^ second, 1 - (first ^ second))
    columns: dict[str, object] = {name: random.normal(size=ROWS) + 0.4 * i * target for i, name in enumerate(HOSTILE)}
    columns |= {
        "a": first.astype(bool),
        "b": second.astype(bool),
        "level": np.where(random.random(ROWS) < 0.5, "<script>alert(3)</script>", "plain"),
        "when": pa.array(1_600_000_000_000_000 + np.arange(ROWS) * 60_000_000, pa.timestamp("us")),
        "key <i>": np.char.add("k<u>", np.arange(ROWS).astype(str)),
        "photo": [picture(int(40 + 150 * y + random.integers(0, 40))) for y in target],
        "</title><script>alert(4)</script>": target.astype(str),
    }
    return pa.table(columns)


def damage(path) -> None:
    """Break the pages of a column in the second row group."""
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)


def hostile_run(root: Path) -> Run:
    """A second run after a shift: it has drift, a quarantined row group, warnings and images."""
    (root / "data").mkdir()
    table = hostile_table()
    pq.write_table(table.slice(0, 600), root / "data" / "a.parquet", row_group_size=300)
    values = {
        "dataset": {
            "source": str(root / "data"),
            "targets": ["</title><script>alert(4)</script>"],
            "entity": ["key <i>"],
            "event_time": "when",
            "images": ["photo"],
        },
        "output": str(root / "out"),
        "engine": {"kind": "serial"},
        "budget": {"bad_rows": 0.5},
    }
    run_job(parse(values))
    changed = table.slice(600).set_column(3, HOSTILE[3], pa.array(np.full(300, 9.0)))
    pq.write_table(changed, root / "data" / "b.parquet", row_group_size=150)
    damage(root / "data" / "b.parquet")
    return run_job(parse(values))


def bare_run(root: Path) -> Run:
    """A run of nothing but a profile."""
    pq.write_table(pa.table({"x": [1.0, 2.0, None], "word": ["a", "a", "b"]}), root / "a.parquet")
    analyses = {"correlation": None, "ranking": None, "interaction": None, "drift": None}
    dataset = {"source": str(root / "a.parquet")}
    return run_job(
        parse({"dataset": dataset, "output": str(root / "out"), "engine": {"kind": "serial"}, "analyses": analyses})
    )


class Looked:
    """A page that was opened, and everything it said or asked for meanwhile."""

    def __init__(self, browser, path: str, **how) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 800}, **how)
        self.page = self.context.new_page()
        self.errors, self.requests, self.dialogs = [], [], []
        self.page.on("console", lambda said: said.type in {"error", "warning"} and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.url = f"file://{path}"
        self.page.goto(self.url)
        self.drawn()

    def drawn(self) -> None:
        self.page.wait_for_selector("html[data-drawn=yes]", state="attached")
