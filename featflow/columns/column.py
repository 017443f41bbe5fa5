"""What a column is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featflow.columns.transform import Transform

__all__ = ["POSITION", "Column", "Kind", "Role"]


class Kind(StrEnum):
    """How a column's values are understood."""

    CATEGORY = "category"
    NUMBER = "number"
    TIME = "time"
    TEXT = "text"
    IMAGE = "image"
    VECTOR = "vector"


class Role(StrEnum):
    """What a column is for."""

    FEATURE = "feature"
    TARGET = "target"
    EVENT_TIME = "event_time"


@dataclass(frozen=True)
class Column:
    """One column of the dataset, and all that decides how its values are read.

    ``repr`` names it in the digests of partial states: it holds what changes values and nothing else.
    """

    name: str
    """Name, dotted for a field of a struct."""
    type: str
    """Canonical type of its batches: int64, uint64, float32, float64, string, image or vector."""
    kind: Kind
    """How its values are understood."""
    null_values: tuple[str, ...] = ()
    """Strings read as missing."""
    role: Role = field(default=Role.FEATURE, repr=False)
    """What it is for."""
    source_type: str = field(default="", repr=False)
    """Arrow type in the files, for people."""
    derived: Transform | None = None
    """Transform that derives it from other columns; None where it is read from files."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the columns of files that it is derived from, or its own."""
        inputs = self.derived.inputs if self.derived else ()
        return tuple(dict.fromkeys(name for each in inputs for name in each.sources)) if self.derived else (self.name,)

    @property
    def is_numeric(self) -> bool:
        """Whether its batches hold numbers."""
        return self.kind in {Kind.NUMBER, Kind.TIME}


POSITION = Column("featflow:position", "uint64", Kind.NUMBER)
"""Place of a row: 16 bits of the hash of its shard's place, then 16 of its depth in the shard. The reader adds it."""
