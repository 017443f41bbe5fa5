"""The interface of an engine, which maps a function over items; and jobs of a cluster."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

__all__ = ["Engine", "Job", "Load", "Resources", "Submission", "peak_bytes"]

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that one call needs."""

    gpus: float | None = 0.0
    """Share of a GPU; None takes a whole one where there is any."""
    memory: int = 0
    """Bytes; 0 reserves none."""
    lighter: Callable[[Any], Any] | None = None
    """Returns the item to try, once, after a process was killed for memory; None tries the same item."""


@dataclass
class Load:
    """Items that an engine has under way, now and at most."""

    in_flight: int = 0
    """Items submitted whose results have not been taken."""
    most_in_flight: int = 0
    """Most items under way so far."""
    peak_bytes: int = 0
    """Most memory that any one process of its tasks has held; 0 where they run in the driver."""

    def under_way(self, items: int) -> None:
        """Note how many items are under way."""
        self.in_flight = items
        self.most_in_flight = max(self.most_in_flight, items)


LESS_MEMORY = "lower budget.memory or dataset.shard_bytes, or give it more memory"


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Engine(Protocol):
    """Maps functions over items."""

    name: str
    load: Load

    def map(
        self,
        function: Callable[[Shared, Item], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield ``function(shared, item)`` for every item, in the order of the items.

        The number of items under way is bounded, so results that are not taken do not pile up.

        Parameters
        ----------
        shared
            Argument of all calls; sent once, not once an item.

        Raises
        ------
        FeatflowError
            Whatever the function raised of that kind.
        InfrastructureError
            The engine failed.
        """
        ...

    def map_actors(
        self,
        function: Callable[[Shared, Item, int], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield ``function(shared, item, attempt)`` for every item as `map` does, in lasting processes.

        For functions that load something costly, such as a model. An item whose process died goes to a new one, with
        ``attempt`` one higher; the first is 0.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds."""
        ...


@dataclass(frozen=True)
class Submission:
    """A job to be run. It can be read in the cluster's dashboard, so it holds no credentials."""

    name: str
    """Name of its first attempt."""
    entrypoint: str
    """Command of its driver."""
    files: dict[str, str]
    """Texts of the files in its working directory, by name."""
    metadata: dict[str, str]
    """Shown in the dashboard."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster reports it."""

    name: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None = None
    """Of the driver; None where it did not end by itself."""
    message: str = ""
    """The cluster's message."""

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.status not in {"PENDING", "RUNNING"}
