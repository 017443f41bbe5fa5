"""A window of event time, and the row groups that lie in it.

A window chooses whole row groups, so a nightly run over the last days merges states that exist already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from featflow.dataset.footers import Footer, microseconds
from featflow.dataset.options import DatasetOptions
from featflow.errors import DatasetError, SchemaError

__all__ = ["Window", "in_window", "window_of"]

DAY = 86_400_000_000
WIDTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of event time, in microseconds since 1970 UTC."""

    start: int
    """First microsecond in it."""
    end: int
    """First microsecond after it."""
    step: int = DAY
    """Microseconds that it moves by: an hour where its width is hours, else a day."""

    def __str__(self) -> str:
        low, high = (datetime.fromtimestamp(at / 1e6, UTC).isoformat(" ") for at in (self.start, self.end))
        return f"{low} to {high}"


def window_of(options: DatasetOptions, footers: Sequence[Footer]) -> Window | None:
    """Return the window that a configuration asks for; None if it takes all rows.

    Parameters
    ----------
    footers
        Footers of all files: without ``as_of`` a window ends with the last day (or hour) that they hold.

    Raises
    ------
    SchemaError
        No file has statistics of its event times.
    """
    if options.window is None:
        return None
    count, unit = re.fullmatch(r"last (\d+) (hour|day|week)s?", options.window).groups()  # type: ignore[union-attr]
    width = int(count) * WIDTHS[unit] // timedelta(microseconds=1)
    step = WIDTHS["hour" if unit == "hour" else "day"] // timedelta(microseconds=1)
    if options.as_of is not None:
        end = _end_of(options.as_of)
    else:
        name = str(options.event_time)
        latest_times = [high for footer in footers for _, high in footer.times(name) if high is not None]
        if not latest_times:
            raise SchemaError(f"dataset.window: no file says when its rows of '{name}' are; write statistics, or as_of")
        end = (max(latest_times) // step + 1) * step
    return Window(end - width, end, step)


def _end_of(as_of: date | datetime) -> int:
    """Return the first microsecond after a day, or a moment."""
    return microseconds(as_of) + (1 if isinstance(as_of, datetime) else DAY)


def in_window(footers: Sequence[Footer], window: Window, name: str) -> list[Footer]:
    """Return the files that hold rows of a window, without their other row groups.

    Parameters
    ----------
    name
        Name of the column of event times.

    Raises
    ------
    SchemaError
        A row group holds rows on both sides of an edge, or has no statistics of its times.
    DatasetError
        No row lies in the window.
    """
    restricted = [_restrict(footer, window, name) for footer in footers]
    inside = [footer for footer in restricted if sum(footer.group_rows)]
    if not inside:
        raise DatasetError(f"dataset.window: no rows from {window}; check dataset.window and dataset.as_of")
    return inside


def _restrict(footer: Footer, window: Window, name: str) -> Footer:
    """Return a footer in which row groups outside the window have no rows; raise SchemaError where one is cut."""
    rows = []
    for group, (count, (low, high)) in enumerate(zip(footer.group_rows, footer.times(name), strict=True)):
        if count and (low is None or high is None):
            raise SchemaError(
                f"{footer.file.uri}: row group {group} does not say when its rows are (no statistics of '{name}'); "
                "write them, or partition by day"
            )
        inside = low is not None and high is not None and window.start <= low and high < window.end
        outside = low is None or high is None or high < window.start or low >= window.end
        if count and not inside and not outside:
            raise SchemaError(
                f"{footer.file.uri}: row group {group} holds rows on both sides of an edge of the window, {window}; "
                "write a file or a row group per day"
            )
        rows.append(count if inside else 0)
    return replace(footer, group_rows=tuple(rows))
