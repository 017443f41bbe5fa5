"""Trying again what storage failed at: bounded, with exponential backoff and full jitter, and counted.

Two layers, so that one lost request of many does not repeat the others. Requests to S3 are tried
`REQUEST_ATTEMPTS` times by botocore's standard mode (5xx, throttling, connections, timeouts). Operations are tried
`ATTEMPTS` times here: that covers bodies cut short, which no request layer sees, and every store that is not S3.
Waits are drawn evenly between 0 and a bound that doubles (Brooker, "Exponential backoff and jitter", AWS Architecture
Blog, 2015). Retries of both layers are paid from one budget of the process, which operations that succeed refill: a
store that fails most of the time is given up soon, and not asked all the harder (Beyer et al., "Site reliability
engineering", 2016, chapter 21).
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from featflow.errors import FeatflowError

__all__ = [
    "ATTEMPTS",
    "REQUEST_ATTEMPTS",
    "add",
    "count",
    "count_request",
    "counts",
    "is_transient",
    "reset",
    "with_retries",
]

Result = TypeVar("Result")

ATTEMPTS = 4
"""Times that an operation is tried."""
REQUEST_ATTEMPTS = 3
"""Times that each request of an operation on S3 is tried."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds: bounds of the first wait and of any."""
RESERVE, REFILL = 50.0, 0.2
"""Retries that a process may make at once, and by how much of one each operation that succeeds refills them."""
PERMANENT = (
    FeatflowError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
"""Errors that the next attempt would meet again."""
LASTING_NUMBERS = {errno.EINVAL, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOSYS, errno.ENOTEMPTY, errno.EROFS}
LASTING_NAMES = {"FileExpired", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
"""Of errors whose modules only some stores need; s3fs raises the first where a file is not the one that was opened."""

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_budget = RESERVE


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may do better: all but what is known to last.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(OSError(errno.EBUSY, "SlowDown"))
    (True, True)
    >>> is_transient(FileNotFoundError()), is_transient(OSError(errno.ENOSPC, "disk full"))
    (False, False)
    """
    if isinstance(error, PERMANENT) or type(error).__name__ in LASTING_NAMES:
        return False
    return not (isinstance(error, OSError) and error.errno in LASTING_NUMBERS)


def with_retries(operation: Callable[[], Result]) -> Result:
    """Return what an operation returns, trying it again where it fails for reasons that pass; it must bear repetition.

    Raises what the last attempt raised.
    """
    attempt = 0
    while True:  # tenacity would say it in six lines less, for 16 ms of CPU at each start
        attempt += 1
        try:
            result = operation()
        except Exception as error:
            if attempt == ATTEMPTS or _budget <= 0 or not is_transient(error):
                raise
        else:
            _pay(-REFILL)
            return result
        count("storage")
        time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))))  # noqa: S311  no secret


def _pay(retries: float) -> None:
    global _budget  # noqa: PLW0603  storage is shared by all of a process
    with _lock:
        _budget = min(RESERVE, _budget - retries)


def count_request(attempts: int, **_: Any) -> None:
    """Count botocore's attempts beyond the first; called after each."""
    if attempts > 1:
        count("storage")


def count(kind: str) -> None:
    """Count a retry made here: of ``storage``, which is paid for, or of ``tasks``."""
    if kind == "storage":
        _pay(1)
    add(kind, 1)


def add(kind: str, number: int) -> None:
    """Count retries that another process reports."""
    with _lock:
        _counts[kind] += number


def counts() -> dict[str, int]:
    """Return the retries of this process and of the tasks that reported theirs to it, since `reset`."""
    with _lock:
        return {kind: _counts[kind] for kind in ("storage", "tasks")}


def reset() -> None:
    """Count from nothing, with the whole budget: a run begins."""
    with _lock:
        _counts.clear()
    _pay(-RESERVE)
