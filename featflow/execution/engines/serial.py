"""The reference engine: one item after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from featflow.errors import InfrastructureError, first_line
from featflow.execution.engines.base import Load, Resources

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
        resources: Resources,  # noqa: ARG002  one item at a time needs no admission
    ) -> Iterator[Result]:
        """Yield the results in order."""
        for item in items:
            yield _called(function, shared, item)

    def map_actors(
        self,
        function: Callable[[Shared, Item, int], Result],
        shared: Shared,
        items: Iterable[Item],
        resources: Resources,  # noqa: ARG002  as above
    ) -> Iterator[Result]:
        """Yield the results in order: this process stays."""
        for item in items:
            yield _called(function, shared, item, 0)

    def close(self) -> None:
        """Hold nothing, give nothing back."""


def _called(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return a function's value; want of memory is told as by other engines."""
    try:
        return function(*arguments)
    except MemoryError as error:  # of Python, NumPy or Arrow
        raise InfrastructureError(
            f"this process ran out of memory; lower budget.memory, or give it more: {first_line(error)}"
        ) from error
