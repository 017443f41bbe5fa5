"""A window of event time, and the row groups that lie in it.

A window chooses whole row groups, so a nightly run over the last days merges states that exist already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from featflow.dataset.footer import Footer, microseconds
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
    notes: tuple[str, ...] = ()
    """What is to be told of how its end was found."""

    def __str__(self) -> str:
        return f"{_text(self.start)} to {_text(self.end)}"


def _text(time: int) -> str:
    """Return a time in words; numpy knows the years that Python's datetime has none for."""
    seconds = np.datetime64(time // 10**6, "s")
    return f"{str(seconds).replace('T', ' ')}+00:00"


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
        return Window(end - width, end, step)
    latest, notes = _latest(footers, str(options.event_time), microseconds(datetime.now(UTC)) + DAY)
    end = (latest // step + 1) * step
    return Window(end - width, end, step, notes)


def _latest(footers: Sequence[Footer], name: str, tomorrow: int) -> tuple[int, tuple[str, ...]]:
    """Return the latest time of a column that is not in the future, and notes on files that hold later ones.

    A sentinel such as 9999-12-31, or a clock that is ahead, must not move the window past all rows. Where all times are
    in the future, they are taken as they are.
    """
    ranges = [(footer.file.uri, low, high) for footer in footers for low, high in footer.times(name)]
    known = [(uri, low, high) for uri, low, high in ranges if low is not None and high is not None and low <= high]
    if not known:
        raise SchemaError(f"dataset.window: no file says when its rows of '{name}' are; write statistics, or as_of")
    past = [time for _, low, high in known for time in (low, high) if time <= tomorrow]
    if not past:
        return max(high for _, _, high in known), ()
    later = {uri: high for uri, _, high in sorted(known, key=lambda each: each[2]) if high > tomorrow}
    return max(past), tuple(
        f"{uri}: '{name}' goes up to {_text(high)}, in the future; the window ends before, dataset.as_of moves it"
        for uri, high in list(later.items())[-1:]
    )


def _end_of(as_of: date | datetime) -> int:
    """Return the first microsecond after a day, or a moment."""
    return microseconds(as_of) + (1 if isinstance(as_of, datetime) else DAY)


def timeless(footers: Sequence[Footer], name: str) -> list[str]:
    """Return a note on row groups in which no row has a time: they lie in no window."""
    rows = sum(
        count
        for footer in footers
        for count, (low, high) in zip(footer.group_rows, footer.times(name), strict=True)
        if low is not None and high is not None and low > high
    )
    return [f"dataset.window: {rows} rows in row groups without any '{name}' lie in no window"] if rows else []


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
        if low is None or high is None:
            rows.append(0)
            continue
        inside = window.start <= low <= high < window.end
        if count and not inside and low <= high and high >= window.start and low < window.end:
            raise SchemaError(
                f"{footer.file.uri}: row group {group} holds rows on both sides of an edge of the window, {window}: "
                f"its '{name}' goes from {_text(low)} to {_text(high)}; write a file or a row group per day, and null "
                "for times that are not known"
            )
        rows.append(count if inside else 0)
    return replace(footer, group_rows=tuple(rows))
