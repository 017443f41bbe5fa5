"""Codings of columns, and the codebook that holds them.

A column has two codings, one nested in the other. The *fine* one (levels of a category, ``codebook.bins`` quantile
bins of a number) scores it against a target; ``groups`` maps its codes to the *pair* coding. Code 0 is "missing".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind, Role
from featflow.columns.key_lookup import KeyLookup

__all__ = ["MISSING", "CategoryCoding", "Codebook", "Coding", "NumberCoding", "pair_cardinality", "target_classes"]

MISSING = 0
"""Code of a missing value in every coding."""

CODEBOOK_VERSION = "2"
"""Raised when the same codings give other codes: it enters the digest of every codebook."""

TARGET_CLASSES = 64
"""Levels of a categorical target that stay classes, which tables grow with; of more, the most frequent and "other"."""

CODEBOOK_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("type", pa.string()),
        ("kind", pa.string()),
        ("null_values", pa.list_(pa.string())),
        ("role", pa.string()),
        ("source_type", pa.string()),
        ("groups", pa.list_(pa.uint8())),
        ("edges", pa.list_(pa.uint64())),
        ("cells", pa.list_(pa.uint64())),
        ("ranks", pa.list_(pa.float64())),
        ("rank_variance", pa.float64()),
        ("centre", pa.float64()),
        ("levels", pa.list_(pa.string())),
        ("heavy", pa.list_(pa.uint64())),
        ("buckets", pa.int64()),
    ]
)


@dataclass(frozen=True, repr=False, eq=False)
class NumberCoding:
    """Bins of a number, as bounds on its sortable keys (see `featflow.columns.sort_keys.sortable_keys`)."""

    column: Column
    """The column."""
    edges: np.ndarray
    """Lowest key of the second and every later bin, shape (bins - 1,), uint64, ascending."""
    groups: np.ndarray
    """Pair code of every fine code, shape (cardinality,), uint8."""
    cells: np.ndarray
    """Lowest key of every histogram cell, shape (cells,), uint64, ascending."""
    ranks: np.ndarray
    """Mean rank of the cell's values divided by the number of values, shape (cells,), float64."""
    rank_variance: float
    """Upper bound on the mean squared error of `ranks`."""
    centre: float
    """A value in the middle of the column, subtracted before moments are taken, so that an offset costs no digits."""

    @property
    def cardinality(self) -> int:
        """Number of fine codes, "missing" included."""
        return len(self.edges) + 2

    @cached_property
    def key_lookup(self) -> KeyLookup:
        """Its codes and ranks as functions of keys."""
        return KeyLookup(self.edges, self.cells, self.ranks)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides its codes and ranks."""
        return _digest(repr(self.column), self.edges, self.groups, self.cells, self.ranks, repr(self.centre))

    def __repr__(self) -> str:
        return f"NumberCoding({self.column.name!r}, {self.digest})"

    def __getstate__(self) -> dict[str, object]:  # its tables are built faster than they are sent
        return {name: value for name, value in vars(self).items() if not isinstance(value, KeyLookup)}


@dataclass(frozen=True, repr=False, eq=False)
class CategoryCoding:
    """Known levels of a category, or its frequent values by their hashes; then hash buckets for every other value."""

    column: Column
    """The column."""
    levels: pa.StringArray
    """Level of fine code 1, 2, ...; none of a column beyond the exact limit."""
    groups: np.ndarray
    """Pair code of every fine code, shape (cardinality,), uint8."""
    buckets: int = 1
    """Number of fine codes for all other values, a power of two: 1 when all levels are known."""
    heavy: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    """Identities (see `featflow.columns.hashing`) of values with fine codes after the levels', uint64, ascending."""

    @property
    def first_bucket(self) -> int:
        """Fine code of the first bucket; the others follow it, to the last code."""
        return 1 + len(self.levels) + len(self.heavy)

    @property
    def cardinality(self) -> int:
        """Number of fine codes, "missing" and the buckets included."""
        return self.first_bucket + self.buckets

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides its codes."""
        return _digest(repr(self.column), str(self.levels.to_pylist()), self.groups, str(self.buckets), self.heavy)

    def __repr__(self) -> str:
        return f"CategoryCoding({self.column.name!r}, {self.digest})"


Coding = NumberCoding | CategoryCoding


def pair_cardinality(coding: Coding) -> int:
    """Return the number of pair codes, "missing" included."""
    return int(coding.groups.max()) + 1


def target_classes(coding: Coding) -> np.ndarray:
    """Return the class of every fine code when the column is a target, shape (cardinality,), uint8; 0 is missing.

    A category keeps its levels up to `TARGET_CLASSES`; a number, or a category of more levels, its pair coding.
    """
    if isinstance(coding, CategoryCoding) and coding.buckets == 1 and len(coding.levels) <= TARGET_CLASSES:
        return np.arange(coding.cardinality, dtype=np.uint8)
    return coding.groups


@dataclass(frozen=True, repr=False, eq=False)
class Codebook:
    """The frozen codings of all coded columns, in the dataset's column order."""

    codings: tuple[Coding, ...]
    """One coding a column."""

    @cached_property
    def digest(self) -> str:
        """Version of the codebook: SHA-256 of its codings."""
        return _digest(CODEBOOK_VERSION, *(coding.digest for coding in self.codings))

    def __repr__(self) -> str:
        return f"Codebook({self.digest})"

    def __getitem__(self, name: str) -> Coding:
        return self._by_name[name]

    def to_arrow(self) -> pa.Table:
        """Return one row a column; lossless."""
        rows = []
        for coding in self.codings:
            column = coding.column
            number, category = (coding, None) if isinstance(coding, NumberCoding) else (None, coding)
            rows.append(
                {
                    "name": column.name,
                    "type": column.type,
                    "kind": column.kind.value,
                    "null_values": list(column.null_values),
                    "role": column.role.value,
                    "source_type": column.source_type,
                    "groups": coding.groups,
                    "edges": number.edges if number else None,
                    "cells": number.cells if number else None,
                    "ranks": number.ranks if number else None,
                    "rank_variance": number.rank_variance if number else None,
                    "centre": number.centre if number else None,
                    "levels": category.levels.to_pylist() if category else None,
                    "heavy": category.heavy if category else None,
                    "buckets": category.buckets if category else None,
                }
            )
        metadata = {"version": CODEBOOK_VERSION, "digest": self.digest}
        return pa.Table.from_pylist(rows, schema=CODEBOOK_SCHEMA.with_metadata(metadata))

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Codebook:
        """Rebuild a codebook from `to_arrow`."""
        codings: list[Coding] = []
        for index in range(table.num_rows):
            row = {name: table.column(name)[index] for name in table.column_names}
            column = Column(
                name=row["name"].as_py(),
                type=row["type"].as_py(),
                kind=Kind(row["kind"].as_py()),
                null_values=tuple(row["null_values"].as_py()),
                role=Role(row["role"].as_py()),
                source_type=row["source_type"].as_py(),
            )
            groups = row["groups"].values.to_numpy()
            if column.is_numeric:
                edges, cells, ranks = (row[name].values.to_numpy() for name in ("edges", "cells", "ranks"))
                scalars = row["rank_variance"].as_py(), row["centre"].as_py()
                codings.append(NumberCoding(column, edges, groups, cells, ranks, *scalars))
            else:
                levels, heavy = pa.concat_arrays([row["levels"].values]), row["heavy"].values.to_numpy()
                codings.append(CategoryCoding(column, levels, groups, row["buckets"].as_py(), heavy))
            if len(groups) != codings[-1].cardinality or groups.max() >= codings[-1].cardinality:
                raise ValueError(f"groups of {column.name}")
        return cls(tuple(codings))

    @cached_property
    def _by_name(self) -> dict[str, Coding]:
        return {coding.column.name: coding for coding in self.codings}


def _digest(*parts: str | np.ndarray) -> str:
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes()
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:16]
