"""A run in a process of its own, for libraries that end the process that they are in.

Ray ends a driver whose node or cluster is gone by `_Exit(1)`, which no handler and no `finally` sees. So the command
forks before Ray is there: the child runs the job and says through a pipe what it ends with; the parent holds nothing,
passes signals on, and says it where the child could not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

from featflow.errors import InfrastructureError

__all__ = ["LostError", "is_supervisor", "say_ending", "supervise"]

PASSED_ON = (signal.SIGINT, signal.SIGTERM)
DEATH_OF_PARENT = 1
"""PR_SET_PDEATHSIG of Linux' prctl."""
is_process_ours = False
"""Whether this process is the command and nothing else: a program that calls the command may go on after it, and must
not go on twice."""
_said: int | None = None
"""Where a child says its exit code."""
_child = 0
"""Of a parent."""


class LostError(InfrastructureError):
    """The process of a run ended without a word."""

    process: int = 0
    """Its number."""


def supervise() -> None:
    """Go on in a child process; in the parent wait for it.

    Where the system has no means for it, which is all but Linux, nothing is done.

    Raises
    ------
    LostError
        In the parent, which ends here as the child did where that has said how.
    """
    global _said, _child  # noqa: PLW0603  of one process
    if sys.platform != "linux":
        return
    parent, (read, said) = os.getpid(), os.pipe()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a parent that ignores it, which a child inherits, waits for nothing
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGTSTP))
    _child = os.fork()
    if _child:
        os.close(said)
        _lead(_child)
        for number in PASSED_ON:
            signal.signal(number, _pass_on)
        signal.signal(signal.SIGTSTP, _halt)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        _, status = os.waitpid(_child, 0)
        os.set_blocking(read, False)  # a process that the child has left behind may hold the other end
        with suppress(BlockingIOError):
            _end_as(status, os.read(read, 1))
        _end_as(status, b"")
    os.close(read)
    _lead(0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it is no terminal's foreground, and writes all the same
    with suppress(OSError, AttributeError):  # killed with its parent, as it would be if it were one with it
        ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    if os.getppid() != parent:
        os._exit(1)
    _said = said


def _lead(process: int) -> None:
    """Give a child a group of its own, so a terminal tells the parent alone, which passes it on, and nothing twice."""
    with suppress(OSError):  # both do it, as neither knows who comes first
        os.setpgid(process, process)


def is_supervisor() -> bool:
    """Return whether this process waits for another, which prints what there is to say."""
    return bool(_child)


def say_ending(code: int) -> None:
    """Tell a parent that waits what this process ends with, whatever happens to it from now on; as a parent, end."""
    if _child:
        sys.stderr.flush()
        os._exit(code)
    if _said is not None:
        with suppress(OSError):
            os.write(_said, bytes([code]))


def _pass_on(number: int, _: object) -> None:
    with suppress(ProcessLookupError):
        os.kill(_child, number)


def _halt(number: int, _: object) -> None:
    """Halt with the child until both are told to go on."""
    with suppress(ProcessLookupError):
        os.killpg(_child, signal.SIGSTOP)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.signal(number, _halt)
    with suppress(ProcessLookupError):
        os.killpg(_child, signal.SIGCONT)


def _end_as(status: int, said: bytes) -> None:
    if said:
        os._exit(said[0])  # the child has printed, and flushed, what there was
    code = os.waitstatus_to_exitcode(status)
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
    error = LostError(
        f"the run's process was ended {how}, by a library or from outside: Ray does so where its node or cluster is "
        "gone, the system where memory is; run again, and it continues where it stopped"
    )
    error.process = _child
    raise error
