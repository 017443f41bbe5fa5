"""Which files and folders below an output are featflow's own, by names that nothing else gives."""

from __future__ import annotations

import re

from featflow.storage.run_ids import RUN_ID, time_of
from featflow.summaries import SUMMARIZERS

__all__ = ["RUN_PARTS", "is_own", "is_own_folder", "is_partial"]

RUN_PARTS = frozenset(
    {"_SUCCESS", "failure.json", "manifest.json", "openlineage.jsonl", "pending", "tables", "tensors"}
)
"""What a run writes into its folder, whole or half."""

_IN_RUN = (
    r"(?:_SUCCESS|failure\.json|manifest\.json|openlineage\.jsonl|report\.html"
    r"|tables/[a-z_]+\.parquet(?:/part-[0-9]{5,}\.parquet)?"
    r"|tensors/[a-z_]+/(?:index\.json|[0-9]{6,}\.arrow)"
    r"|pending/(?:[a-z_]+/)?[0-9]+\.arrow)"
)
_SUMMARIES = "|".join(sorted({spec.name for spec in SUMMARIZERS}))
_IN_STATES = (
    r"(?:(?:footers|deletes|images)\.arrow|contents\.json"
    r"|converted/(?:types\.arrow|[0-9a-f]{24}\.parquet)"
    r"|codebook/[0-9a-f]{16}\.arrow|frozen/[0-9a-f]{24}\.arrow"
    r"|quarantine/[0-9a-f]{24}/[0-9a-f]{24}\.json|not_given/[0-9a-f]{24}\.json"
    rf"|(?:{_SUMMARIES})/[0-9a-f]{{24}}/(?:merged-)?[0-9a-f]{{24}}\.arrow)"
)
_FILE = re.compile(rf"runs/({RUN_ID.pattern})/{_IN_RUN}|states/{_IN_STATES}")
_FOLDER = re.compile(
    rf"runs/({RUN_ID.pattern})(?:/.*)?|states/(?:converted|codebook|frozen|quarantine|not_given|{_SUMMARIES})(?:/.*)?"
)
_PARTIAL = re.compile(r"((?:[^/]+/)*)\.?([^/]+)\.[0-9a-f]{8}\.partial")


def is_own(path: str) -> bool:
    """Return whether a path below an output is of a file that featflow writes, or has half written.

    Examples
    --------
    >>> is_own("runs/20260102T030405Z-abc123/tables/profile.parquet"), is_own("runs/exp1/weights/best.pt")
    (True, False)
    >>> is_own("states/footers.arrow"), is_own("states/.footers.arrow.0123abcd.partial"), is_own("states/a.tfstate")
    (True, True, False)
    """
    found = _FILE.fullmatch(whole_name(path))
    return found is not None and (found[1] is None or time_of(found[1]) is not None)


def is_own_folder(path: str) -> bool:
    """Return whether a path below an output is of a run's folder or one of states, or of a folder in one."""
    found = _FOLDER.fullmatch(path)
    return found is not None and (found[1] is None or time_of(found[1]) is not None)


def is_partial(path: str) -> bool:
    """Return whether a path is of a file that was being written."""
    return _PARTIAL.fullmatch(path) is not None


def whole_name(path: str) -> str:
    """Return the path that a half-written file was to have; of any other file its own.

    Examples
    --------
    >>> whole_name("states/.footers.arrow.0123abcd.partial"), whole_name("LATEST")
    ('states/footers.arrow', 'LATEST')
    """
    found = _PARTIAL.fullmatch(path)
    return f"{found[1]}{found[2]}" if found else path
