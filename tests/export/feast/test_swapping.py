"""An export that is ended anywhere, or runs beside another: the repository is the one before or the one after."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import mixed_table, write_parts

import featflow
from featflow.errors import DatasetError, LockedError
from featflow.export.feast import data
from featflow.export.feast.repository import export_feast
from featflow.export.report.writing import report
from featflow.export.tables.delta import export_delta
from featflow.pipeline import garbage
from featflow.storage import lock
from featflow.storage.store import Store


class Ended(BaseException):
    """The process ended here."""


def rows_by_id(first, last):
    numbers = range(first, last)
    table = mixed_table(len(numbers), seed=first).select(["x", "target", "when"])
    return table.append_column("id", pa.array(numbers))


@pytest.fixture
def exported(tmp_path):
    """The output of a run of 600 rows in three files, which is exported, and a run after it: one file is another."""
    source = write_parts(rows_by_id(0, 600), tmp_path / "data", 3)
    config = {
        "dataset": {"source": source, "entity": ["id"], "event_time": "when", "targets": ["target"]},
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"correlation": False, "interaction": False, "drift": False},
    }
    featflow.run(config)
    export_feast(config["output"])
    (tmp_path / "data" / "part-001.parquet").unlink()
    pq.write_table(rows_by_id(600, 700), tmp_path / "data" / "part-003.parquet")
    featflow.run(config)
    return config["output"]


BEFORE, AFTER = [*range(600)], [*range(200), *range(400, 700)]


def seen(output):
    """The ids in what the definitions name."""
    repository = Path(output) / "feast"
    (place,) = set(re.findall(r"data/[\w-]+", (repository / "definitions.py").read_text()))
    parts = list((repository / place).glob("*.parquet"))
    return sorted(row for part in parts for row in pq.read_table(part)["id"].to_pylist())


def test_an_export_may_end_at_any_write(exported, monkeypatch):
    assert seen(exported) == BEFORE
    repository, saved = Path(exported) / "feast", Path(exported).with_name("saved")
    shutil.copytree(repository, saved)
    counts, wanted, outcomes = [0], [1], []

    def ending(operation):
        def step(*arguments):
            if not any(isinstance(each, str) and each.startswith("lock/") for each in arguments):
                counts[0] += 1
                if counts[0] == wanted[0]:
                    raise Ended
            return operation(*arguments)

        return step

    monkeypatch.setattr(Store, "write", ending(Store.write))
    monkeypatch.setattr(Store, "remove", ending(Store.remove))
    monkeypatch.setattr(data, "copy", ending(data.copy))
    while True:
        counts[0] = 0
        try:
            export_feast(exported)
            break
        except Ended:
            outcomes.append(seen(exported))
            wanted[0] += 1
            shutil.rmtree(repository)
            shutil.copytree(saved, repository)
    assert seen(exported) == AFTER
    first = outcomes.index(AFTER)
    assert len(outcomes) == 10  # a part, two that stay, metrics, three texts, and three parts that go
    assert outcomes == [BEFORE] * first + [AFTER] * (len(outcomes) - first)
    (copies,) = (repository / "data").iterdir()
    assert copies.name in (repository / "definitions.py").read_text()


def test_of_two_exports_one_is_refused_and_gc_waits_for_both(exported, tmp_path):
    before = seen(exported)
    with lock.hold(Store(f"{exported}/feast")), pytest.raises(LockedError, match="/feast"):
        export_feast(exported)
    with lock.hold(Store(str(tmp_path / "copies"))), pytest.raises(LockedError, match="/copies"):
        export_feast(exported, str(tmp_path / "else"), str(tmp_path / "copies"))
    assert seen(exported) == before
    with lock.hold(Store(exported)):  # a run under way reads what it reads, and so does an export
        export_feast(exported)
    with lock.reading(Store(exported)), pytest.raises(LockedError, match="an export"):
        garbage.remove(exported, 1)


def test_a_run_that_is_gone_under_an_export_is_named(exported):
    opened = featflow.Run.open(exported)
    for path in Path(exported).glob("runs/*/tables/*"):
        path.unlink()
    with pytest.raises(DatasetError, match="not there any more"):
        export_delta(exported)
    with pytest.raises(DatasetError, match="not there any more"):
        export_feast(exported)
    with pytest.raises(DatasetError, match="not there any more"):
        report(opened)


@pytest.mark.parametrize("name", ["no", "on", "true", "null", "1e5", "y"])
def test_names_that_yaml_takes_for_something_else_are_texts(name):
    from featflow.export.feast.definitions import feature_store

    assert yaml.safe_load(feature_store(name))["project"] == name
