"""What a listing passes over, by reason: nothing below a source is left out without a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["FIRST", "PassedOver", "Reason", "listed_by_reason", "told"]

FIRST = 3
"""Names that are given of each reason; the others are counted."""


class Reason(StrEnum):
    """Why something below a source is not read."""

    HIDDEN = "hidden: the name begins with a dot or an underscore"
    OTHER_NAME = "not named like a file of the format that is read"
    OTHER_FORMAT = "data of another format than the files that are read"
    OTHER_CONTENT = "named without a suffix, and no Parquet file inside"
    OUTPUT = "below this run's output"
    OTHER_OUTPUT = "an output of featflow"
    LINK_TWICE = "a link to what is read already"
    LINK_LOOP = "a link to a folder above it"
    NOT_REGULAR = "neither a file nor a folder"
    NAME = "a name that is not UTF-8"


EXPECTED = {Reason.HIDDEN, Reason.OTHER_NAME, Reason.OUTPUT}
"""Reasons that nobody need be warned of: writers leave such files beside data on purpose."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file, folder or link that is not read."""

    uri: str
    """Full URI."""
    reason: Reason
    """Why."""


def listed_by_reason(entries: Iterable[PassedOver]) -> list[dict[str, Any]]:
    """Return how many entries each reason has and the first of them, as a manifest lists them.

    Examples
    --------
    >>> listed_by_reason([PassedOver("lake/_SUCCESS", Reason.HIDDEN)])
    [{'reason': 'hidden: the name begins with a dot or an underscore', 'count': 1, 'first': ['lake/_SUCCESS']}]
    """
    by_reason: dict[Reason, list[str]] = {}
    for entry in entries:
        by_reason.setdefault(entry.reason, []).append(entry.uri)
    return [
        {"reason": reason.value, "count": len(uris), "first": sorted(uris)[:FIRST]}
        for reason, uris in sorted(by_reason.items())
    ]


def told(entries: Iterable[PassedOver], *, expected: bool = False) -> list[str]:
    """Return a sentence for every reason.

    Parameters
    ----------
    expected
        Whether reasons count that nobody need be warned of.
    """
    entries = [entry for entry in entries if expected or entry.reason not in EXPECTED]
    return [
        f"passed over {each['count']} ({each['reason']}): {', '.join(each['first'])}"
        + (", and others" if each["count"] > len(each["first"]) else "")
        for each in listed_by_reason(entries)
    ]
