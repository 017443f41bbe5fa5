"""The drift table of a run that changes nothing.

Against the run before it there are no rows: nothing changed, and what was an alert then is none now. Against a pinned
run the rows are those of the run before, beyond their thresholds for one run more.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["drift_again"]


def drift_again(before: pa.Table, pinned: str | None, run_id: str, persist: int) -> pa.Table:
    """Return the rows of the run before against a pinned run, as those of another run.

    Parameters
    ----------
    before
        Drift table of the run before.
    pinned
        Run that both are compared with; None for no other than the run before.
    run_id
        Of the run whose rows they become.
    persist
        Runs in a row that must be beyond for an alert.
    """
    rows = before.filter(pc.equal(before["reference_run"], pinned)) if pinned else before.slice(0, 0)
    runs = pc.if_else(pc.greater(rows["runs_beyond"], 0), pc.add(rows["runs_beyond"], 1), rows["runs_beyond"])
    changed = {
        "current_run": pa.array([run_id] * len(rows), pa.string()),
        "runs_beyond": runs,
        "alert": pc.greater_equal(runs, persist),
    }
    for name, values in changed.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), values)
    return rows
