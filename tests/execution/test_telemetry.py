"""Figures of a run: counted by kind of stage, passed on, recorded; lines of the log carry the run's name."""

from __future__ import annotations

import json

from featflow.execution.progress import LogProgress, stage
from featflow.execution.telemetry import Telemetry
from featflow.storage import retries


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.records = []

    def record(self, figures):
        self.records.append(json.loads(json.dumps(figures)))


def test_figures_by_kind_of_stage():
    retries.count("storage")
    retries.reset()  # as every run does
    sink = Kept()
    telemetry = Telemetry("a-run", sink=sink)
    for name in ("reading: profile", "reading: relations"):
        with stage(telemetry, name, 2):
            telemetry.advance(10, shards=1, nbytes=80)
            telemetry.advance(5, shards=1, nbytes=40)
    with stage(telemetry, "merging", 1):
        telemetry.advance(0)
    telemetry.load.under_way(7)
    telemetry.load.under_way(3)
    telemetry.lose(4)
    last = sink.records[-1]
    reading = last["stages"]["reading"]
    assert (reading["steps"], reading["shards"], reading["rows"], reading["bytes"]) == (4, 4, 30, 240)
    assert set(last["stages"]) == {"reading", "merging"}
    assert (last["in_flight"], last["most_in_flight"], last["quarantined_rows"]) == (3, 7, 4)
    assert last["peak_memory_bytes"]["driver"] > 2**20
    assert last["retries"] == {"storage": 0, "tasks": 0}


def test_every_line_of_the_log_names_its_run(capsys):
    telemetry = Telemetry("a-run", LogProgress())
    with stage(telemetry, "merging", 1):
        telemetry.advance(0)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 2
    assert {line["run"] for line in lines} == {"a-run"}
    assert all({"time", "level", "in_flight", "retries"} <= set(line) for line in lines)
