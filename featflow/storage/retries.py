"""Retries of transient storage errors: bounded, with exponential backoff and full jitter, and counted.

Two layers, so that one lost request of many does not repeat the others. Requests to S3 are tried
`REQUEST_ATTEMPTS` times by botocore's standard mode (5xx, throttling, connections, timeouts). Operations are tried
`ATTEMPTS` times here: that covers bodies cut short, which no request layer sees, and every store that is not S3.
Waits are drawn evenly between 0 and a bound that doubles (Brooker, "Exponential backoff and jitter", AWS Architecture
Blog, 2015). Retries of both layers are paid from one budget of the process, which operations that succeed refill: a
store that fails most of the time is given up soon, and not asked all the harder (Beyer et al., "Site reliability
engineering", 2016, chapter 21). What was not done within its deadline (`deadlines`) is tried again only while
`PATIENCE` lasts, so an operation on storage that trickles ends, all attempts together, after that time and one deadline
more: seven minutes, and its bytes at the lowest rate.
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
from featflow.storage.deadlines import StalledError

__all__ = [
    "ATTEMPTS",
    "REQUEST_ATTEMPTS",
    "add",
    "count",
    "count_request",
    "counts",
    "is_refused",
    "is_transient",
    "reset",
    "with_retries",
]

Result = TypeVar("Result")

ATTEMPTS = 4
"""Times that an operation is tried. With the waits below that bridges some seconds: of ten runs whose S3 server was
away for 3 to 19 s two ended (docs/benchmarks.md), and the next ones went on where they were."""
REQUEST_ATTEMPTS = 3
"""Times that each request of an operation on S3 is tried; three is the default of botocore's standard mode."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds: upper bounds of the first wait, and of any."""
RESERVE, REFILL = 50.0, 0.2
"""Budget of a process in retries, and the part of a retry by which each success refills it: on average at most one
attempt in six may fail. With 5 % of requests failing a run completed after 65 retries, with 60 % it gave up
(docs/benchmarks.md)."""
PATIENCE = 300.0
"""Seconds since its first attempt after which an operation that was not done in its time is not begun again."""
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
"""Errors that another attempt would raise again."""
PERMANENT_ERRNOS = {errno.EINVAL, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOSYS, errno.ENOTEMPTY, errno.EROFS} | {
    *(errno.ELOOP, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP),  # links in a circle, devices, sockets
}
PERMANENT_NAMES = {"FileExpired", "ParamValidationError"}
"""Names of permanent errors whose modules only some stores import; s3fs raises the first if an open file changed,
botocore the second of what no bucket or object may be called."""
REFUSED_NAMES = {
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"),  # S3
    *("DefaultCredentialsError", "ClientAuthenticationError", "CredentialUnavailableError"),  # Google, Azure
    *("AuthenticationException", "LogonFailure", "error_perm"),  # SFTP, SMB, FTP
}
"""Names of errors of credentials, of the clients of many stores."""
STATUSES_THAT_PASS = {408, 409, 425, 429}
"""Answers between 400 and 499 that another attempt may not get."""

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_budget = RESERVE


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed: True for all errors not known to be permanent.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(OSError(errno.EBUSY, "SlowDown"))
    (True, True)
    >>> is_transient(FileNotFoundError()), is_transient(OSError(errno.ENOSPC, "disk full"))
    (False, False)
    """
    if isinstance(error, PERMANENT) or type(error).__name__ in PERMANENT_NAMES or is_refused(error):
        return False
    if 400 <= _status(error) < 500 and _status(error) not in STATUSES_THAT_PASS:
        return False
    return not (isinstance(error, OSError) and error.errno in PERMANENT_ERRNOS)


def is_refused(error: BaseException) -> bool:
    """Return whether credentials are missing, wrong, or not enough: until a person changes something, it stays so.

    Examples
    --------
    >>> is_refused(PermissionError("Access Denied")), is_refused(PermissionError("The token has expired"))
    (True, False)
    """
    if "expired" in str(error).lower():  # whoever issues such tokens issues the next one, too
        return False
    forbidden = isinstance(error, PermissionError) or str(error).startswith("Forbidden: ")  # gcsfs raises OSError
    return forbidden or type(error).__name__ in REFUSED_NAMES or _status(error) in {401, 403}


def _status(error: BaseException) -> int:
    """Return the status of the answer that an error stands for, 0 if there is none."""
    for name in ("status_code", "code", "status"):
        value = getattr(error, name, None)
        if str(value).isdigit():
            return int(str(value))
    return 0


def with_retries(operation: Callable[[], Result]) -> Result:
    """Return the result of an operation, which is retried after transient errors, so it must be idempotent.

    Raises the error of the last attempt.
    """
    attempt, began = 0, time.monotonic()
    while True:  # tenacity would say it in six lines less, for 16 ms of CPU at each start
        attempt += 1
        try:
            result = operation()
        except Exception as error:
            if attempt == ATTEMPTS or _budget <= 0 or not is_transient(error):
                raise
            if isinstance(error, StalledError) and time.monotonic() - began > PATIENCE:
                raise
        else:
            _pay(-REFILL)
            return result
        count("storage")
        time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))))  # noqa: S311  no secret


def _pay(retries: float) -> None:
    """Take retries from the budget; a negative number refills it."""
    global _budget  # noqa: PLW0603  one budget for all threads of a process
    with _lock:
        _budget = min(RESERVE, _budget - retries)


def count_request(attempts: int, **_: Any) -> None:
    """Count botocore's attempts beyond the first; called after each."""
    if attempts > 1:
        count("storage")


def count(kind: str) -> None:
    """Count a retry of this process: of ``storage``, which takes one from the budget, or of ``tasks``."""
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
    """Set all counts to 0 and fill the budget, at the start of a run."""
    with _lock:
        _counts.clear()
    _pay(-RESERVE)
