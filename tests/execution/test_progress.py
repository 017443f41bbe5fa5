"""Seconds of stages add up to those of the run."""

from __future__ import annotations

import pytest

from featflow.execution.progress import Stopwatch


def test_a_stage_that_comes_again_adds_up(monkeypatch):
    times = iter([0.0, 2.0, 3.0, 7.0, 7.0])
    monkeypatch.setattr("featflow.execution.progress.time.monotonic", lambda: next(times))
    watch = Stopwatch()
    for stage in ("profile", "relations", "profile"):
        watch.lap(stage)
    seconds = watch.total()
    assert seconds == pytest.approx({"profile": 6.0, "relations": 1.0, "total": 7.0})
