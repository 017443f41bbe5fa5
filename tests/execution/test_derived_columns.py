"""Columns made of columns, of several depths, stored and inline: what is read, in which order, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.column import Column, Kind, Role, Transform
from featflow.execution import state_store
from featflow.execution.derived_columns import DerivedColumns, file_columns, stored_layers
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer

X, Y = (Column(name, "int64", Kind.NUMBER) for name in "xy")


@dataclass(frozen=True, repr=False, eq=False)
class Sum(Transform):
    """A sum of numbers, and its half."""

    kind = "sum"

    name: str
    of: tuple[Column, ...]

    @property
    def inputs(self):
        return self.of

    @property
    def outputs(self):
        kinds = ("", "int64"), (".half", "float64")
        return tuple(Column(self.name + more, type_, Kind.NUMBER, derived=self) for more, type_ in kinds)

    def apply(self, batch):
        total = sum(batch.column(column.name).to_numpy() for column in self.inputs)
        return [pa.array(total), pa.array(total / 2)]


class Kept(Sum):
    """The same, stored."""

    kind = "kept"
    stored = True


INLINE = Sum("a", (X, Y)).outputs
KEPT = Kept("b", (INLINE[0], X)).outputs
DEEP = Kept("c", (KEPT[1], Y)).outputs
TOP = Sum("d", (DEEP[0], INLINE[1], Y)).outputs


def test_what_is_read_and_made_first():
    assert file_columns([TOP[0], Y]) == (X, Y)
    assert file_columns([KEPT[0]]) == ()
    assert [[each.name for each in layer] for layer in stored_layers([TOP[0], KEPT[0]])] == [["b"], ["c"]]
    assert stored_layers([X, *INLINE]) == []
    assert TOP[0].sources == ("x", "y")


@pytest.fixture
def filled(tmp_path):
    """States of what is stored, of one shard, and its columns of files."""
    store, random = Store(str(tmp_path)), np.random.default_rng(0)
    x, y = 4 * random.integers(0, 100, (2, 50))  # halves are whole
    files = pa.record_batch({"x": x, "y": y})
    for (layer,) in stored_layers([TOP[0]]):
        read = DerivedColumns(store, "shard", layer.inputs)
        batch = read.of(files.select([column.name for column in file_columns(layer.inputs)]), 0)
        spec = StoredSummarizer(layer)
        state = spec.summarize(batch.slice(0, 20)).merge(spec.summarize(batch.slice(20)))
        store.write_arrow(state_store.path(spec, "shard"), state.to_arrow())
    return store, files, x, y


@pytest.mark.parametrize("size", [1, 7, 50])
def test_values_are_those_of_the_formula_whatever_the_batches(filled, size):
    store, files, x, y = filled
    columns = (TOP[0], Y, KEPT[1], INLINE[0])
    read, files = DerivedColumns(store, "shard", columns), files.select([each.name for each in file_columns(columns)])
    table = pa.Table.from_batches([read.of(files.slice(start, size), start) for start in range(0, 50, size)])
    assert table.column_names == ["d", "y", "b.half", "a"]
    kept = x + y + x
    assert table["b.half"].to_pylist() == (kept / 2).tolist()
    assert table["d"].to_pylist() == pytest.approx(kept / 2 + y + (x + y) / 2 + y)


def test_a_made_column_may_be_read_as_another_kind_and_have_a_role(filled):
    store, files, x, _ = filled
    target = replace(KEPT[0], role=Role.TARGET)
    words = replace(INLINE[0], type="string", kind=Kind.CATEGORY)
    batch = DerivedColumns(store, "shard", (target, words)).of(files, 0)
    assert batch["a"].to_pylist() == [str(value) for value in (x + files["y"].to_numpy()).tolist()]
    assert batch["b"].to_pylist() == (2 * x + files["y"].to_numpy()).tolist()


def test_the_name_says_all_that_decides_and_no_more():
    again = Sum("a", (X, Y))
    assert again == INLINE[0].derived
    assert hash(again) == hash(INLINE[0].derived)
    assert len({repr(each) for each in (again, Sum("a", (Y, X)), Sum("z", (X, Y)), Kept("a", (X, Y)))}) == 4
    assert repr(INLINE[0].derived) in repr(KEPT[0].derived.inputs[0])
    assert len(repr(TOP[0])) < 150
    assert repr(StoredSummarizer(KEPT[0].derived, 5)) == repr(StoredSummarizer(KEPT[0].derived, 9))
