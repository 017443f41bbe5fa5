"""Independent pieces of work on as many threads as there may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from featflow.columns.loaded_torch import loaded_torch, thread_count

__all__ = ["Spares", "in_threads"]

Item = TypeVar("Item")


class Spares(Generic[Item]):
    """Buffers lent to one thread at a time, and made only when none is left.

    Fresh memory costs as much as a histogram of what is written to it.

    Examples
    --------
    >>> spares = Spares(lambda: [])
    >>> with spares.lent() as first, spares.lent() as second:
    ...     first is second
    False
    >>> with spares.lent() as again:
    ...     again is second
    True
    """

    def __init__(self, make: Callable[[], Item]) -> None:
        self._make = make
        self._idle = SimpleQueue[Item]()

    @contextmanager
    def lent(self) -> Iterator[Item]:
        """Lend one."""
        try:
            item = self._idle.get_nowait()
        except Empty:
            item = self._make()
        try:
            yield item
        finally:
            self._idle.put(item)


def in_threads(function: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Call a function for every item, on `featflow.columns.loaded_torch.thread_count` threads: numpy releases the lock.

    Within them torch runs on one thread: two teams of two threads on two cores are slower than one (0.79 ns a row of a
    histogram instead of 0.48).

    Examples
    --------
    >>> found = {}
    >>> in_threads(lambda n: found.update({n: n**2}), range(3))
    >>> sorted(found.items())
    [(0, 0), (1, 1), (2, 4)]
    """
    threads, torch = thread_count(), loaded_torch()
    if threads == 1:
        for item in items:
            function(item)
        return
    alone: dict[str, Any] = {} if torch is None else {"initializer": torch.set_num_threads, "initargs": (1,)}
    try:
        with ThreadPoolExecutor(threads, **alone) as pool:
            for _ in pool.map(function, items):
                pass
    finally:
        if torch is not None:
            torch.set_num_threads(threads)  # the initializer set it for threads to come, too
