"""What an engine is: something that maps a function over items; and what a job of a cluster is."""

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
    """What one call needs."""

    gpus: float | None = 0.0
    """Share of a GPU; None takes a whole one where there is any."""
    memory: int = 0
    """Bytes; 0 where they do not matter."""
    lighter: Callable[[Any], Any] | None = None
    """What to give, once, instead of an item whose process was killed for memory; None for the item itself."""


@dataclass
class Load:
    """What an engine has under way, and the most there has been."""

    in_flight: int = 0
    """Items given and not yet taken back."""
    most_in_flight: int = 0
    """The most there have been."""
    peak_bytes: int = 0
    """Most memory that any one process of its tasks has held; 0 where they run in the driver."""

    def under_way(self, items: int) -> None:
        """Note how many items are under way."""
        self.in_flight = items
        self.most_in_flight = max(self.most_in_flight, items)


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

        Few items are under way at a time, so results that are not taken do not pile up.

        Parameters
        ----------
        shared
            Sent once, not once an item.

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
        """Yield ``function(shared, item, attempt)`` for every item as `map` does, in processes that stay for all items.

        For functions that load something costly. An item whose process died goes to a new one, with ``attempt`` one
        higher; the first is 0.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...


@dataclass(frozen=True)
class Submission:
    """What is to run as a job. It can be read in the cluster's dashboard, so it holds no credentials."""

    name: str
    """Of its first attempt."""
    entrypoint: str
    """Command of its driver."""
    files: dict[str, str]
    """Texts of the files in its working directory, by name."""
    metadata: dict[str, str]
    """For people who look at the dashboard."""


@dataclass(frozen=True)
class Job:
    """A job as a cluster tells of it."""

    name: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None = None
    """Of the driver; None where it did not end by itself."""
    message: str = ""
    """What the cluster says of it."""

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.status not in {"PENDING", "RUNNING"}
