"""The reference engine: one item after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from featflow.errors import InfrastructureError, first_line
from featflow.execution.engines.base import LESS_MEMORY, Load, Resources
from featflow.storage import retries

__all__ = ["SerialEngine"]

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class SerialEngine:
    """Calls the function on each item in turn.

    Examples
    --------
    >>> list(SerialEngine().map(lambda base, item: base + item, 10, [1, 2], Resources()))
    [11, 12]
    """

    name = "serial"

    def __init__(self) -> None:
        self.load = Load(in_flight=1, most_in_flight=1)

    def map(
        self,
        function: Callable[[Shared, Item], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield the results in order."""
        for item in items:
            yield _tried(lambda each: function(shared, each), item, resources)

    def map_actors(
        self,
        function: Callable[[Shared, Item, int], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,
    ) -> Iterator[Result]:
        """Yield the results in order: this process stays."""
        for item in items:
            yield _tried(lambda each: function(shared, each, 0), item, resources)

    def close(self) -> None:
        """Hold nothing, give nothing back."""


def _tried(function: Callable[[Item], Result], item: Item, resources: Resources) -> Result:
    """Return the function's value, of a lighter item where memory was short."""
    try:
        return function(item)
    except MemoryError as error:
        if resources.lighter is None:
            raise InfrastructureError(f"a task ran out of memory; {LESS_MEMORY}: {first_line(error)}") from error
    retries.count("tasks")
    try:
        return function(resources.lighter(item))
    except MemoryError as error:
        raise InfrastructureError(
            f"a task ran out of memory, and again with a lighter batch; {LESS_MEMORY}: {first_line(error)}"
        ) from error
