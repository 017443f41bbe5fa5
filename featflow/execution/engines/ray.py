"""Ray tasks and actors.

Bounded in flight; what runs at once is bounded by the declared cores and memory. A
task or actor that dies with its worker or node is tried again: its output is written
whole under a name that says what it is, so twice does no harm. One killed for memory is
tried once more, on a lighter item if there is such: Ray itself would try for ever.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar

import ray
from threadpoolctl import threadpool_limits

from featflow.errors import FeatflowError, InfrastructureError, first_line
from featflow.execution.engines.base import LESS_MEMORY, Load, Resources, peak_bytes
from featflow.execution.engines.ray_start import start
from featflow.storage import retries

__all__ = ["RayEngine"]

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

TASK_RETRIES, MEMORY_RETRIES = 3, 1
"""Retries of an item whose process or node died, and of one whose process was killed for memory. Deaths are
independent: each of 20 killed workers cost one task once more (docs/benchmarks.md). Want of memory is not: the same
item will need as much again."""
LOOK_SECONDS = 5.0
"""Time between two questions for the cluster's size: a node that joins gets work within this time."""


class RayEngine:
    """Tasks on a local Ray that it starts, or on a cluster that it joins.

    Parameters
    ----------
    module
        What the workers of a local Ray import while the driver still prepares their first tasks; None for nothing.
    """

    name = "ray"

    def __init__(self, address: str | None, in_flight: int, module: str | None = None) -> None:
        self.load = Load()
        self._started = not ray.is_initialized()
        if self._started:
            start(address)
        self._in_flight, self._looked = in_flight, -math.inf
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._memory = int(max((node.get("memory", 0) for node in nodes), default=0))
        self._cores = int(max((node.get("CPU", 1) for node in nodes), default=1))
        if module and self._started and address is None:
            prepare = ray.remote(_prepare).options(num_cpus=1, max_retries=0)
            for _ in range(self._cores):
                prepare.remote(module)

    def map(
        self,
        function: Callable[[Shared, Item], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield the results in order; tasks x threads are as many as the cluster's cores."""
        cores = int(ray.cluster_resources().get("CPU", 1))
        tasks = len(items) if isinstance(items, Sized) else cores
        threads = max(1, min(self._cores, cores // max(tasks, 1)))
        options = self._options(resources, threads)
        task = ray.remote(_call).options(**options, max_retries=0, name=function.__name__)
        reference = ray.put((function, shared))
        pending: deque[tuple[Any, Any]] = deque()

        def result() -> Any:
            sent, item = pending.popleft()
            failures = 0
            while True:
                try:
                    return _get(sent, self.load)
                except InfrastructureError as error:
                    item = _next_item(error, item, failures, resources)
                failures += 1
                sent = task.remote([reference], item, threads)

        try:
            for item in items:
                while len(pending) >= self._window():
                    yield result()
                pending.append((task.remote([reference], item, threads), item))
                self.load.under_way(len(pending))
            while pending:
                self.load.under_way(len(pending))
                yield result()
        finally:
            self.load.under_way(0)
            for leftover, _ in pending:
                ray.cancel(leftover, force=False)

    def map_actors(
        self,
        function: Callable[[Shared, Item, int], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield the results in order, from actors: as many as there are shares of a GPU, without GPUs as cores."""
        totals = ray.cluster_resources()
        cores, gpus = int(totals.get("CPU", 1)), totals.get("GPU", 0.0)
        share = min(1.0, gpus) if resources.gpus is None else resources.gpus
        tasks = len(items) if isinstance(items, Sized) else cores
        needed = max(1, min(resources.memory, self._memory))  # an actor that finds no memory would wait for ever
        fitting = sum(int(node["Resources"].get("memory", 0)) // needed for node in ray.nodes() if node["Alive"])
        actors = max(1, min(tasks, fitting, int(gpus / share) if share else cores))
        threads = max(1, min(self._cores, cores // actors))
        options = self._options(Resources(share, resources.memory), threads)
        pool = _ActorPool((function, shared), resources, options, (threads, actors), self.load)
        numbered, results = enumerate(items), dict[int, Result]()
        given = taken = 0
        try:
            while True:
                while pool.idle and given - taken < self._window() + actors:
                    next_item = next(numbered, None)
                    if next_item is None:
                        break
                    pool.start(*next_item)
                    given += 1
                if taken in results:
                    yield results.pop(taken)
                    taken += 1
                elif taken == given:
                    return
                else:
                    results |= pool.finished()
        finally:
            pool.close()

    def _window(self) -> int:
        """Return how many items may be under way. Clusters grow while tasks wait, so it is asked again and again."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            cores = int(ray.cluster_resources().get("CPU", 0))
            self._most, self._looked = max(2, self._in_flight * cores), now
        return self._most

    def _options(self, resources: Resources, threads: int) -> dict[str, Any]:
        # A task that asks for more memory than any node has would wait for ever.
        memory = min(resources.memory, self._memory) or None
        return {"num_cpus": threads, "num_gpus": resources.gpus or None, "memory": memory}

    def close(self) -> None:
        """Stop the Ray that was started here; leave a cluster as it is."""
        if self._started:
            ray.shutdown()


class _ActorPool:
    """Actors that each work on one item at a time; one that dies is replaced, and its item given again.

    Parameters
    ----------
    work
        The function, and the argument that all its calls share.
    size
        Threads of an actor, and number of actors.
    """

    def __init__(
        self, work: tuple[Any, Any], resources: Resources, options: dict[str, Any], size: tuple[int, int], load: Load
    ) -> None:
        self._make = ray.remote(_Resident).options(**options, max_restarts=0).remote
        self._work, self._resources, self._load = [ray.put(work)], resources, load
        self._threads, count = size
        self._actors = {self._make() for _ in range(count)}
        self.idle = list(self._actors)
        self._busy: dict[Any, tuple[Any, int, Any, int]] = {}

    def start(self, index: int, item: Any, attempt: int = 0) -> None:
        """Give an item to an idle actor."""
        actor = self.idle.pop()
        reference = actor.call.remote(self._work, item, attempt, self._threads)
        self._busy[reference] = (actor, index, item, attempt)
        self._load.under_way(len(self._busy))

    def finished(self) -> dict[int, Any]:
        """Wait for one item; return its result by its index, or nothing if its actor died and it was given again."""
        (reference,), _ = ray.wait(list(self._busy), num_returns=1)
        actor, index, item, attempt = self._busy.pop(reference)
        try:
            result = _get(reference, self._load)
        except InfrastructureError as error:
            item = _next_item(error, item, attempt, self._resources)
            ray.kill(actor)  # an actor that cannot be reached may still hold memory and a GPU
            self._actors.remove(actor)
            self.idle.append(self._make())
            self._actors.add(self.idle[-1])
            self.start(index, item, attempt + 1)
            return {}
        self.idle.append(actor)
        return {index: result}

    def close(self) -> None:
        """End all actors."""
        self._load.under_way(0)
        for actor in self._actors:
            ray.kill(actor)


class _Resident:
    """An actor: a process that lives as long as the pool."""

    def call(self, work: list[Any], item: Any, attempt: int, threads: int) -> Any:
        """Return the function's value."""
        return _call(work, item, threads, attempt)


def _prepare(module: str) -> None:
    import_module("torch")  # as `_call` does
    import_module(module)


def _call(work: list[Any], item: Any, threads: int, *attempt: int) -> tuple[Any, int, int]:
    """Return the function's value, how often storage was tried again, and the most memory the process has held."""
    import torch  # noqa: PLC0415  the driver imports it elsewhere, while Ray starts

    function, shared = _fetched(*work)
    torch.set_num_threads(threads)
    before = retries.counts()["storage"]
    with threadpool_limits(threads):  # numpy's, which Ray sets for a worker's first task only
        result = function(shared, item, *attempt)
    return result, retries.counts()["storage"] - before, peak_bytes()


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Any:
    """Return the function and argument that all tasks of one map share; a worker fetches and unpacks them once."""
    return ray.get(reference)


def _get(reference: Any, load: Load) -> Any:
    try:
        result, retried, peak = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FeatflowError):
            raise error.cause from None
        if isinstance(error.cause, MemoryError):
            raise InfrastructureError("a task ran out of memory; retry") from error.cause
        raise
    except ray.exceptions.RayError as error:
        raise InfrastructureError(f"Ray could not finish a task: {type(error).__name__}: {error}; retry") from error
    retries.add("storage", retried)
    load.peak_bytes = max(load.peak_bytes, peak)
    return result


def _next_item(error: InfrastructureError, item: Any, failures: int, resources: Resources) -> Any:
    """Return the item to try after a failure; raise if no process was lost, or no retry is left."""
    cause = error.__cause__
    if isinstance(cause, ray.exceptions.OutOfMemoryError | MemoryError):
        if failures >= MEMORY_RETRIES:
            raise InfrastructureError(
                f"a task was killed for memory, and again with a lighter batch; {LESS_MEMORY}: {first_line(cause)}"
            ) from cause
        item = resources.lighter(item) if resources.lighter else item
    elif not isinstance(cause, ray.exceptions.RayError) or failures >= TASK_RETRIES:
        raise error
    retries.count("tasks")
    return item
