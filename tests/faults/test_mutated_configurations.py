"""Configurations and overrides changed at random, and those that once failed: an error that names a place, no more.

``FEATFLOW_MUTATIONS=500 pytest tests/faults/test_mutated_configurations.py`` is the long run.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from featflow.config import load, yaml_text
from featflow.errors import FeatflowError
from featflow.pipeline.plan import plan

MUTATIONS = int(os.environ.get("FEATFLOW_MUTATIONS", "100"))
LONGEST_SECONDS = 60.0
PIECES = (
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "&a ",
        "*a",
        "!!int ",
        "!!python/object:os.system ",
        "!x ",
        "|",
        ">",
        "%",
        "@",
    ),
    *(
        "'",
        '"',
        "#",
        "\t",
        "\0",
        "\x85",
        "\ufeff",
        "\ud800",
        "\n",
        "\r",
        "  ",
        "<<: ",
        "? ",
        "---\n",
        "...",
        "~",
        "null",
    ),
    *("yes", ".nan", ".inf", "-1", "0", "9" * 400, "1e999", "0x1f", "1:30", "2026-02-30", "9999-12-31", "0001-01-01"),
    *("last 9999999 weeks", "last 99999999999 days", "featflow:position", "[" * 70, "${env:X}", "${file:/}", "s3://"),
    *("x" * 5_000, "../..", "\N{RIGHT-TO-LEFT OVERRIDE}", "delta:", "iceberg:", "pictures:", "ftp://a:b@c", "*", "?"),
)
KEYS = (
    *("dataset.source", "dataset.as_of", "dataset.window", "dataset.targets", "dataset.kinds", "dataset.images"),
    *("dataset.derive", "dataset.shard_bytes", "dataset.storage_options", "dataset.catalog", "dataset.version"),
    *("dataset.csv.delimiter", "dataset.null_values", "codebook.bins", "budget.memory", "budget.bad_rows", "output"),
    *("engine.kind", "engine.in_flight", "analyses.correlation.keep", "analyses.drift", "lineage.url", "latest", "a.b"),
)
KEPT = (
    "dataset.as_of=2026-02-30",
    "dataset.as_of=9999-12-31",
    "dataset.as_of=0001-01-01",
    "dataset.as_of=9999-12-31T23:59:59-14:00",
    "dataset.window=last 99999999999 days",
    f"dataset.window=last {'9' * 5_000} days",
    f"dataset.source={'[' * 1_500}{']' * 1_500}",
    f"{'a.' * 3_000}a=1",
    f"dataset.storage_options.{'a.' * 3_000}a=1",
    f"dataset.source={'x' * 100_000}",
    f"dataset.shard_bytes={'9' * 5_000}",
    "dataset.exclude={<<: 5}",
    "dataset.targets=[featflow:position]",
)
"""Overrides that ended in a traceback, or took minutes, once."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    rows = np.arange(40)
    columns = {
        "x": rows,
        "target": rows % 2,
        "featflow:position": rows,
        "when": pa.array(rows * 3_600, pa.timestamp("s")),
    }
    pq.write_table(pa.table(columns), folder / "a.parquet")
    dataset = {"source": str(folder / "a.parquet"), "targets": ["target"], "event_time": "when", "window": "last 1 day"}
    dataset |= {"kinds": {"x": "number"}, "derive": [{"parts": "when"}], "storage_options": {"s3": {"anon": True}}}
    values = {
        "dataset": dataset,
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
        "budget": {"memory": "1GiB"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values | {"codebook": {"bins": 8}, "lineage": False}))
    return folder


def outcome(path, overrides=()):
    """Load a configuration and plan its run; return the error that is told, if it is one."""
    started = time.monotonic()
    try:
        config = load(str(path), list(overrides))
        if all("://" not in each and each.startswith("/") for each in config.dataset.source):  # no network
            plan(config)
    except FeatflowError as error:
        return str(error)
    finally:
        assert time.monotonic() - started < LONGEST_SECONDS
    return None


@pytest.mark.parametrize("override", KEPT, ids=range(len(KEPT)))
def test_overrides_that_once_failed(place, override):
    said = outcome(place / "config.yaml", [override])
    assert said is None or len(said) > 10


def test_a_column_may_be_called_as_the_position_is(place):
    assert outcome(place / "config.yaml", ["dataset.window=null", "dataset.targets=[featflow:position]"]) is None


def test_a_file_of_many_values_is_refused_before_all_of_it_is_read(place, monkeypatch):
    monkeypatch.setattr(yaml_text, "MOST_VALUES", 1_000)
    path = place / "large.yaml"
    path.write_text("dataset: {source: [" + "a," * 2_000 + "}\n")  # which is no YAML, as its end would say
    assert "more than 1,000 values" in outcome(path)


def test_changed_configurations_end_in_no_traceback(place):
    random = np.random.default_rng(19)
    sound = (place / "config.yaml").read_text()
    refused, failed = 0, []
    for number in range(MUTATIONS):
        try:
            refused += mutated_outcome(place, sound, random, number) is not None
        except Exception as error:  # noqa: BLE001  counted, and kept as a file
            failed.append((number, repr(error)[:200]))
    assert not failed
    assert refused > MUTATIONS // 2


def mutated_outcome(place, sound, random, number):
    if number % 2:
        pieces = "".join(random.choice(PIECES, random.integers(1, 4)))
        return outcome(place / "config.yaml", [f"{random.choice(KEYS)}={pieces}"])
    text = sound
    for _ in range(random.integers(1, 4)):
        begin = int(random.integers(0, len(text) + 1))
        end = begin + int(random.integers(0, 12)) * int(random.integers(0, 2))
        text = text[:begin] + str(random.choice(PIECES)) * int(random.integers(0, 3)) + text[end:]
    path = place / f"{number}.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return outcome(path)
