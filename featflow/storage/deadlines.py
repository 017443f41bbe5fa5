"""Deadlines of operations on storage that is not this machine's: so long an operation may take in total.

Clients bound each read of a connection, so one that sends a byte each five seconds holds them for ever. Here every
call of a filesystem, and every read of an open file, ends after `FIXED_SECONDS` and its bytes at `LOWEST_RATE`. A
client that works with asyncio has its request cancelled and its connection closed. Another's call goes on in a thread
that nobody waits for, which ends with the process.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

__all__ = ["FIXED_SECONDS", "LOWEST_RATE", "StalledError", "bound", "within"]

Result = TypeVar("Result")

FIXED_SECONDS = 120.0
"""Time of an operation beside its bytes: twice the 60 s that S3's client waits for one read, so that one lost
connection is tried again within it."""
LOWEST_RATE = 64 * 2**10
"""Bytes a second of the slowest transfer that is no stall, half a megabit: 128 MiB may take 36 minutes."""
LISTING_SECONDS = 900.0
"""Time of a listing, whose length nobody knows before: S3 lists 1,000 names a request, one after the other, so a
million files at half a second a request take 500 s."""
OPERATIONS = (
    *("cat_file", "exists", "find", "get_file", "info", "isdir", "isfile", "ls", "open", "pipe_file", "put_file"),
    *("rm", "rm_file", "walk"),
)
LISTINGS = {"find", "ls", "rm", "walk"}


class StalledError(TimeoutError):
    """An operation was not done in its time."""


def bound(filesystem: Any) -> None:
    """Give every operation of a filesystem a deadline: once, as fsspec hands out one filesystem for equal options."""
    if "is_bound" in vars(filesystem):
        return
    for name in OPERATIONS:
        inner = getattr(filesystem, f"_{name}", None)
        if inspect.iscoroutinefunction(inner) and hasattr(filesystem, "loop"):
            call = partial(_synced, filesystem, name, inner)
        elif inspect.isasyncgenfunction(inner):
            continue  # a walk: its parts are listings, each with a deadline of its own
        elif hasattr(filesystem, name):
            call = partial(_threaded, filesystem, name, getattr(filesystem, name))
        setattr(filesystem, name, call)
    filesystem.is_bound = True


def within(nbytes: int, operation: Callable[[], Result]) -> Result:
    """Return the result of an operation that moves so many bytes; raise StalledError once its time is over."""
    return _waited(_start(operation), _seconds(nbytes))


def _synced(filesystem: Any, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return fsspec.asyn.sync(filesystem.loop, _awaited, filesystem, name, operation, *args, **kwargs)
    except fsspec.exceptions.FSTimeoutError as error:  # says nothing itself
        raise error.__cause__ or error from None


async def _awaited(filesystem: Any, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the result of a coroutine, which is cancelled when its time is over."""
    task = asyncio.ensure_future(operation(*args, **kwargs))
    nbytes = _known_bytes(name, *args, **kwargs)
    try:
        seconds = _first_seconds(name, nbytes)
        await asyncio.wait({task}, timeout=seconds)
        if nbytes is None and not task.done():  # what a file holds is asked for by the few that are late alone
            entry = await asyncio.wait_for(filesystem._info(args[0]), FIXED_SECONDS)  # noqa: SLF001  no loop within one
            late = int(entry.get("size") or 0) / LOWEST_RATE
            seconds += late
            await asyncio.wait({task}, timeout=late)
        if not task.done():
            raise _stalled(seconds)
    except TimeoutError as error:
        raise error if isinstance(error, StalledError) else _stalled(seconds + FIXED_SECONDS) from None
    finally:
        task.cancel()
    return task.result()


def _threaded(filesystem: Any, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the result of a call that nothing can cancel."""
    nbytes = _known_bytes(name, *args, **kwargs)
    future = _start(lambda: operation(*args, **kwargs))
    seconds = _first_seconds(name, nbytes)
    try:
        return _waited(future, seconds)
    except StalledError:
        if nbytes is not None:
            raise
    return _waited(future, int(filesystem.info(args[0]).get("size") or 0) / LOWEST_RATE)


def _known_bytes(name: str, *args: Any, **kwargs: Any) -> int | None:
    """Return the bytes that an operation moves; None where only storage knows."""
    if name == "cat_file":
        start, end = (kwargs.get(key, args[place] if len(args) > place else None) for key, place in _RANGE)
        return end - (start or 0) if end is not None and end >= 0 and (start or 0) >= 0 else None
    if name == "pipe_file":
        return len(args[1])
    if name == "put_file":
        return Path(args[0]).stat().st_size
    return None if name == "get_file" else 0


_RANGE = (("start", 1), ("end", 2))


def _first_seconds(name: str, nbytes: int | None) -> float:
    return LISTING_SECONDS if name in LISTINGS else _seconds(nbytes or 0)


def _seconds(nbytes: int) -> float:
    return FIXED_SECONDS + nbytes / LOWEST_RATE


def _start(operation: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(operation())
        except BaseException as error:  # noqa: BLE001  it is raised where the result is taken
            future.set_exception(error)

    threading.Thread(target=work, name="featflow-storage", daemon=True).start()
    return future


def _waited(future: Future[Result], seconds: float) -> Result:
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():  # the operation's own
            raise
        raise _stalled(seconds) from None


def _stalled(seconds: float) -> StalledError:
    return StalledError(f"not done after {seconds:,.1f} s: storage answers slower than {LOWEST_RATE // 1024} KiB/s")
