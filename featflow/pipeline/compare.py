"""Drift between any two finished runs, from their stored states and tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from featflow.analyses.catalogue import every_analysis
from featflow.analyses.drift.analysis import compare, left_out
from featflow.analyses.options import options_of
from featflow.analyses.run_states import RunStates
from featflow.config import parse
from featflow.storage.run import Run, open_run

__all__ = ["differences", "drift_between"]


def differences(reference: str, current: str) -> dict[str, Any]:
    """Return the drift between two runs, given by their URIs, as JSON values: ids, warnings and the table's rows.

    Thresholds are those that the current run was configured with; two runs are no streak, so every row beyond its own
    is an alert.

    Raises
    ------
    DatasetError
        There is no such run, or states that it needs have been removed.
    """
    before, now = open_run(reference), open_run(current)
    rows, warnings = drift_between(before, now)
    runs = {"reference_run": before.run_id, "current_run": now.run_id}
    return runs | {"warnings": warnings, "rows": rows.to_pylist()}


def drift_between(reference: Run, current: Run) -> tuple[pa.Table, list[str]]:
    """Return the drift between two runs, in the columns of its table, and warnings; as `differences`."""
    before, now = RunStates(reference), RunStates(current)
    analyses = parse(current.manifest["config"]).analyses
    options = (analyses.drift or options_of("drift")()).model_copy(update={"persist": 1})
    return compare(before, now, options, every_analysis(analyses)), left_out(before, now)
