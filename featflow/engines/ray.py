"""Ray tasks. The only importer of ray.

Bounded in flight by ``ray.wait``; what runs at once is bounded by the declared
cores and memory. A task that dies with its worker or node is tried again: its
output is written whole under a name that says what it is, so twice does no harm.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from featflow.engines.base import Resources
from featflow.errors import FeatflowError, InfrastructureError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray

__all__ = ["RayEngine"]

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL_STORE_BYTES = 256 * 2**20
"""Object store of a local Ray: tasks exchange names and small tables, states go through storage."""
TASK_RETRIES = 3
CONNECT_SECONDS = 10


class RayEngine:
    """Tasks on a local Ray that it starts, or on a cluster that it joins.

    Parameters
    ----------
    module
        What the workers of a local Ray import while the driver still prepares their first tasks; None for nothing.
    """

    name = "ray"

    def __init__(self, address: str | None, in_flight: int, module: str | None = None) -> None:
        self._started = not ray.is_initialized()
        if self._started:
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            if address is None:
                options |= {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
            try:
                _check_reachable(address)
                ray.init(address=address or "local", **options)
            except (OSError, RuntimeError, ValueError) as error:
                raise InfrastructureError(f"engine.address: no Ray at {address or 'this machine'}: {error}") from error
        self._window = max(1, in_flight * int(ray.cluster_resources().get("CPU", 1)))
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
        """Yield the results in order; tasks x threads are the cores there are."""
        cores = int(ray.cluster_resources().get("CPU", 1))
        tasks = len(items) if isinstance(items, Sized) else cores
        threads = max(1, min(self._cores, cores // max(tasks, 1)))
        task = ray.remote(_call).options(
            num_cpus=threads,
            num_gpus=resources.gpus or None,
            memory=min(resources.memory, self._memory) or None,  # more than any node has would wait for ever
            max_retries=TASK_RETRIES,
            name=function.__name__,
        )
        reference = ray.put((function, shared))
        pending: deque[Any] = deque()
        try:
            for item in items:
                if len(pending) >= self._window:
                    yield _get(pending.popleft())
                pending.append(task.remote([reference], item, threads))
            while pending:
                yield _get(pending.popleft())
        finally:
            for leftover in pending:
                ray.cancel(leftover, force=False)

    def close(self) -> None:
        """Stop the Ray that was started here; leave a cluster as it is."""
        if self._started:
            ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port: Ray itself would try for minutes, then end the process."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _prepare(module: str) -> None:
    import_module(module)


def _call(work: list[Any], item: Any, threads: int) -> Any:
    import torch  # noqa: PLC0415  which a driver imports elsewhere, while Ray starts

    function, shared = _fetched(*work)
    torch.set_num_threads(threads)
    with threadpool_limits(threads):  # numpy's, which Ray sets for a worker's first task only
        return function(shared, item)


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Any:
    """Return what all tasks of one map share: a worker that runs many of them unpacks it once."""
    return ray.get(reference)


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FeatflowError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise InfrastructureError(f"Ray could not finish a task: {type(error).__name__}: {error}; retry") from error
