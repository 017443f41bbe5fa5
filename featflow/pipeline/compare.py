"""Drift between any two finished runs, from their stored states and tables."""

from __future__ import annotations

from typing import Any

from featflow.analyses.catalogue import every_analysis
from featflow.analyses.drift.analysis import compare, left_out
from featflow.analyses.options import options_of
from featflow.analyses.run_states import RunStates
from featflow.config import parse
from featflow.storage.run import open_run

__all__ = ["differences"]


def differences(reference: str, current: str) -> dict[str, Any]:
    """Return the drift between two runs, given by their URIs, as JSON values: ids, warnings and the table's rows.

    Thresholds are those that the current run was configured with; two runs are no streak, so every row beyond its own
    is an alert.

    Raises
    ------
    DatasetError
        There is no such run, or states that it needs have been removed.
    """
    before, now = RunStates(open_run(reference)), RunStates(open_run(current))
    analyses = parse(now.run.manifest["config"]).analyses
    options = (analyses.drift or options_of("drift")()).model_copy(update={"persist": 1})
    rows = compare(before, now, options, every_analysis(analyses)).to_pylist()
    runs = {"reference_run": before.run.run_id, "current_run": now.run.run_id}
    return runs | {"warnings": left_out(before, now), "rows": rows}
