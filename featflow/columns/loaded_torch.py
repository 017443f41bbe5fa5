"""Returns torch where this process has loaded it.

Loading it takes 1.2 s, as long as a small run; numpy computes the same bits more slowly. A run that will
take long loads it first (`featflow.pipeline.job`), and so does every Ray worker.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["loaded_torch", "thread_count"]


def loaded_torch() -> Any | None:
    """Return torch, None where this process has not loaded it, or is loading it at this moment."""
    torch = sys.modules.get("torch")
    return None if torch is None or getattr(torch.__spec__, "_initializing", False) else torch


def thread_count() -> int:
    """Return how many threads may work at once: torch's, where it is loaded, else the cores of this process.

    Examples
    --------
    >>> thread_count() >= 1
    True
    """
    torch = loaded_torch()
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
