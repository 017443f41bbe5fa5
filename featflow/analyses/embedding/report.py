"""The images section: image columns with examples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from featflow.analyses.embedding.examples import ImageColumn, Scores, image_columns
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["section"]


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the image columns with examples; a smaller page shows fewer examples and reads no image again."""
    columns = image_columns(run, Scores.of(run), limits)
    return _section(columns, limits) if columns else None


def _section(columns: Sequence[ImageColumn], limits: PageLimits) -> Section:
    """Return the section of columns that may have more examples than are shown."""
    shown = [column.fewer(limits.examples) for column in columns]
    return Section(
        "images",
        "Images",
        values={"images": shown},
        template="embedding/section.html",
        fewer=partial(_section, columns),
    )
