"""The Arrow schema of the ranking by window."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["RANKING_WINDOW"]

TIME = "in event_time's own unit, of times microseconds since 1970 UTC."

_FIELDS = (
    ("target", pa.string(), "", "Target column."),
    ("window", pa.int64(), "", "1 for the earliest window of the target."),
    ("start", pa.float64(), "", f"First time of the window, {TIME}"),
    ("end", pa.float64(), "", f"First time beyond the window, {TIME}"),
    ("n", pa.int64(), "", "Rows of the window in which the target is present."),
    ("rank", pa.int64(), "", "1 for the highest corrected_mi of the target in this window."),
    ("feature", pa.string(), "", "Feature column."),
    ("mi", pa.float64(), "nats", "Plug-in mutual information with the target in this window, of pair codes."),
    ("expected_mi", pa.float64(), "nats", "Exact mean of mi over permutations of the target within the window."),
    ("corrected_mi", pa.float64(), "nats", "mi - expected_mi."),
    (
        "forward_information",
        pa.float64(),
        "nats",
        (
            "Mean gain in log-likelihood of the target in this window by what the windows before say of it given the "
            "feature, over what they say of it alone; null in the first."
        ),
    ),
)

RANKING_WINDOW = pa.schema(
    [
        pa.field(name, kind, metadata={"description": said} | ({"unit": unit} if unit else {}))
        for name, kind, unit, said in _FIELDS
    ]
)
"""A row is a target, a window of event time and a feature."""
