"""The part of each target's ranking that the report draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.reporting.limits import PageLimits
from featflow.storage.run import Run

__all__ = ["RankedTarget", "evidence_of", "ranked_targets"]

DRAWN, BESIDE_NOISE = 30, 4
"""Features drawn one by one: the first, and those on either side of where noise begins. With 22 pixels each these are
about 900 pixels, a screen; all features are in the curve and in the listing."""
CURVE = 600
"""Points of the curve of all features: as smooth as a page shows, whatever the number of features."""


def evidence_of(run: Run) -> str:
    """Return the sentence that says which units a run's evidence counts; empty where rows are independent."""
    return str(run.manifest.get("analyses", {}).get("ranking", {}).get("evidence", ""))


@dataclass(frozen=True)
class RankedTarget:
    """The part of a target's ranking that the report draws."""

    target: str
    features: int
    """Features of the ranking, drawn or not."""
    significant: int
    """Features that are significant."""
    noise_rank: int | None
    """Rank from which on nothing is significant; None if the last feature is."""
    drawn: tuple[dict[str, Any], ...]
    """Rows of the ranking that are drawn one by one, best first."""
    curve: np.ndarray
    """Rank, information, and both ends of its interval of features all along the ranking, shape (4, points)."""

    @property
    def is_cut(self) -> bool:
        """Whether some features are not drawn one by one."""
        return self.features > len(self.drawn)


def ranked_targets(ranking: pl.DataFrame, limits: PageLimits) -> tuple[RankedTarget, ...]:
    """Return the rankings of the first targets."""
    names = ranking["target"].unique(maintain_order=True).to_list()
    return tuple(_ranked_target(name, ranking.filter(pl.col("target") == name)) for name in names[: limits.targets])


def _ranked_target(name: str, rows: pl.DataFrame) -> RankedTarget:
    rows = rows.sort("rank")
    noise = rows["noise_rank"][0]
    near_noise = (
        pl.col("rank").is_between(noise - BESIDE_NOISE, noise + BESIDE_NOISE - 1) if noise else pl.lit(value=False)
    )
    drawn = rows.filter((pl.col("rank") <= DRAWN) | near_noise)
    points = np.unique(np.geomspace(1, rows.height, CURVE).astype(int)) - 1
    columns = [rows[part].to_numpy()[points] for part in ("rank", "corrected_mi", "ci_low", "ci_high")]
    significant = int(rows["significant"].sum())
    curve = np.array(columns, dtype=np.float64)
    return RankedTarget(name, rows.height, significant, noise, tuple(drawn.to_dicts()), curve)
