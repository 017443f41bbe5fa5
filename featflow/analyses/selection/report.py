"""The path of each target, drawn and listed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import described, listing
from featflow.analyses.reporting.section import Section
from featflow.analyses.selection import plots
from featflow.analyses.selection.reasons import REASONS
from featflow.analyses.selection.tables import SELECTION
from featflow.storage.run import Run

__all__ = ["section"]

FIELDS = (
    ("target", "target", "text"),
    ("method", "method", "text"),
    ("step", "step", "integer"),
    ("feature", "feature", "text"),
    ("kept", "use", "flag"),
    ("reason", "why not", "text"),
    ("gain", "adds", "number"),
    ("noise_p", "noise p", "probability"),
    ("selection_probability", "of halves", "share"),
    ("relevance", "alone", "number"),
    ("conditioned_on", "given", "text"),
    ("redundant_with", "most like", "text"),
    ("complementary_with", "best with", "text"),
    ("runner_up", "instead", "text"),
    ("margin_p", "p of the margin", "probability"),
)
DRAWN = 30
"""Steps drawn: with 22 pixels each about 700 pixels, a screen."""


@dataclass(frozen=True)
class _Path:
    target: str
    method: str
    kept: list[str]
    dropped: list[tuple[str, list[str]]]
    """Reasons in words, each with its features."""
    steps: list[dict[str, Any]]


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the path of each target and method, drawn and listed."""
    rows = run.table("selection") if "selection" in run.tables else None
    if rows is None or rows.is_empty():
        return None
    names = rows.select("target", "method").unique(maintain_order=True).rows()[: limits.targets]
    paths = [_path(rows.filter(target=target, method=method)) for target, method in names]
    drawn = {f"path-{index}": partial(plots.gain_plot, path.steps) for index, path in enumerate(paths)}
    caption = f"A row is {SELECTION.row}; gains are in nats."
    listed = listing("selection", caption, rows, described(SELECTION, FIELDS), limits.rows)
    return Section("selection", "Selection", (listed,), drawn, {"paths": paths}, "selection/section.html")


def _path(rows: pl.DataFrame) -> _Path:
    reasons = rows.filter(~pl.col("kept")).group_by("reason", maintain_order=True).agg("feature").rows()
    return _Path(
        rows["target"][0],
        rows["method"][0],
        rows.filter("kept")["feature"].to_list(),
        [(REASONS.get(reason, reason), features) for reason, features in reasons],
        rows.filter(pl.col("step").is_not_null()).head(DRAWN).to_dicts(),
    )
