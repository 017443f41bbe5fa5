"""Small runs whose reports are looked at, and one browser for all."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reports import HOSTILE, Looked, damage, hostile_table

from featflow.config import parse
from featflow.export.report.writing import write_report
from featflow.pipeline.job import run as run_job


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    """A second run after a shift: it has drift, a quarantined row group, warnings and images."""
    root = tmp_path_factory.mktemp("hostile")
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


@pytest.fixture(scope="session")
def bare_run(tmp_path_factory):
    """A run of nothing but a profile."""
    root = tmp_path_factory.mktemp("bare")
    pq.write_table(pa.table({"x": [1.0, 2.0, None], "word": ["a", "a", "b"]}), root / "a.parquet")
    analyses = {"correlation": None, "ranking": None, "interaction": None, "drift": None}
    dataset = {"source": str(root / "a.parquet")}
    return run_job(
        parse({"dataset": dataset, "output": str(root / "out"), "engine": {"kind": "serial"}, "analyses": analyses})
    )


@pytest.fixture(scope="session")
def hostile_page(hostile_run, tmp_path_factory):
    return write_report(hostile_run, str(tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium; .ci/run installs it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on the path: apt-get install chromium, as .ci/run does")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(browser):
    """Open a page and wait until it is drawn."""
    opened = []

    def at(path: str, **how) -> Looked:
        opened.append(Looked(browser, path, **how))
        return opened[-1]

    yield at
    for looked in opened:
        looked.context.close()


@pytest.fixture(scope="session")
def looked_at_hostile(browser, hostile_page):
    looked = Looked(browser, hostile_page, color_scheme="light")
    yield looked
    looked.context.close()
