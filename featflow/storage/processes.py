"""Whether a process still runs, told by its number, when it began, and where that number means anything.

A number is given again once its process has ended, and every boot and every namespace of processes (a container, a
pod) has numbers of its own. So a number alone says nothing: what runs under it here may be another process.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["ended", "place", "start_of"]


def place() -> str:
    """Return what names this boot of this machine and this namespace of processes, "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except (OSError, UnicodeDecodeError):
        return ""


def start_of(pid: int) -> int:
    """Return when a process of this place began, in ticks since the boot, 0 where the system does not say.

    Examples
    --------
    >>> start_of(os.getpid()) == start_of(os.getpid())
    True
    """
    try:
        # The second field is the program's name in parentheses, which may hold blanks and parentheses.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def ended(pid: int, start: int) -> bool:
    """Return whether a process of this place has ended: nothing has its number, or what has it began at another time.

    Parameters
    ----------
    start
        What `start_of` returned while it ran; 0 if unknown.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    now = start_of(pid)
    return 0 not in (start, now) and start != now
