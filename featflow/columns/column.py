"""What a column is, and what makes columns of others: the protocol of every file of `featflow.transforms`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    import pyarrow as pa  # options of transforms are read before anything that takes long to import

__all__ = ["POSITION", "Column", "Kind", "Role", "Transform", "Worker"]


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
    allow: tuple[str, ...] = field(default=(), repr=False)
    """Folders beside the dataset's own in which rows of a column of images may name files."""
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


@dataclass(frozen=True, slots=True)
class Worker:
    """Resources of a process that computes states of a spec, beside the states and a batch of its columns."""

    nbytes: int = 0
    """Memory, bytes."""
    resident: bool = False
    """Whether one process computes many shards, because loading is costly (a model)."""
    gpus: bool = False
    """Whether it uses a GPU where there is one."""


@dataclass(frozen=True, repr=False, eq=False)
class Transform(ABC):
    """Columns made of a row's other columns.

    A subclass is a frozen dataclass with ``repr=False, eq=False``, whose fields, but for those with ``repr=False``,
    decide the values. Its own ``repr`` is its kind and their digest: it stands in the ``repr`` of every column that it
    makes, and so in the names of all states of these.

    Examples
    --------
    >>> import pyarrow as pa
    >>> @dataclass(frozen=True, repr=False, eq=False)
    ... class Doubled(Transform):
    ...     kind = "doubled"
    ...     base: Column
    ...
    ...     @property
    ...     def inputs(self):
    ...         return (self.base,)
    ...
    ...     @property
    ...     def outputs(self):
    ...         return (Column(f"{self.base.name}.doubled", "int64", Kind.NUMBER, derived=self),)
    ...
    ...     def apply(self, batch):
    ...         return [pa.array(2 * batch.column(self.base.name).to_numpy())]
    >>> doubled = Doubled(Column("x", "int64", Kind.NUMBER))
    >>> doubled.apply(pa.record_batch({"x": [1, 2]}))[0].to_pylist(), doubled == Doubled(doubled.base)
    ([2, 4], True)
    """

    kind: ClassVar[str]
    """Name of what it computes, in a word or two."""
    stored: ClassVar[bool] = False
    """Whether its columns are computed once a shard and kept as states, or again with every batch that is read."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Column, ...]:
        """Columns that it reads: of files, or of other transforms."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[Column, ...]:
        """Columns that it derives, each with ``derived=self``."""

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the values of `outputs`, in their order, of a batch that holds `inputs` by their names.

        A row's values depend on the row alone: other rows of the batch must not change a bit.
        """

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of its outputs, at most."""
        return 8 * len(self.outputs)

    @property
    def worker(self) -> Worker:
        """Resources of a process that computes its stored columns."""
        return Worker()

    def second_attempt(self) -> Self:
        """Return a transform with the same columns to try after the process of a first attempt died."""
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides its values."""
        decisive = [(field.name, getattr(self, field.name)) for field in fields(self) if field.repr]
        return hashlib.sha256(repr((self.kind, decisive)).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"{self.kind}({self.digest})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transform) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


POSITION = Column("featflow:position", "uint64", Kind.NUMBER)
"""Place of a row: 16 bits of the hash of its shard's place, then 16 of its depth in the shard. The reader adds it."""
