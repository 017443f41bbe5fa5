"""The laws of every summary, over the explicit list: identity, associativity, any cut, round trip, untouched inputs."""

from __future__ import annotations

import copy
import hashlib
import io
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import datasketches
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from featflow.columns.binning import category_coding, number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.dataset.image_bytes import IMAGE_TYPE
from featflow.summaries import (
    SUMMARIZERS,
    ClassMomentsSummarizer,
    CodesSummarizer,
    CoMoments,
    CoMomentsSummarizer,
    EqualRowsSummarizer,
    GroupedMomentsSummarizer,
    LevelsSummarizer,
    MomentsSummarizer,
    PairCountsByGroupSummarizer,
    PairCountsSummarizer,
    PairMomentsByGroupSummarizer,
    PairRankMomentsByGroupSummarizer,
    QuantileSketchSummarizer,
    RankCoMomentsSummarizer,
    RowCountSummarizer,
    RowsSpec,
    StoredSummarizer,
    Summary,
    TargetCountsSummarizer,
    TimeCountsSummarizer,
    ValueHistogramsSummarizer,
    VectorMomentsSummarizer,
    VectorSampleSummarizer,
    digest,
)
from featflow.summaries.value_histograms import ValueHistogramsSummarizer as _Quantiles
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import DescriptorsSpec
from featflow.transforms.projection.placing import Placing
from featflow.transforms.projection.projection import Projection

ROWS = 4_000
FLOAT_TOLERANCE = 1e-9
"""Relative, against the largest value of the same array: sums of a few thousand rows in another order."""


DIGESTS = pa.binary(DIGEST_BYTES)
WIDTH = 5


def _vectors(picture) -> pa.Array:
    """Vectors of pictures: far from 0, one dimension dead, some absent or not finite."""
    random = np.random.default_rng(9)
    values = (random.normal(size=(ROWS, WIDTH)) @ random.normal(size=(WIDTH, WIDTH)) + 1e3).astype(np.float32)
    values[:, 3] = 0.1
    values[7, 1], values[9, 2] = np.nan, np.inf
    absent = pa.array(picture % 10 == 0)
    return pa.FixedSizeListArray.from_arrays(pa.array(values[picture].ravel()), WIDTH, mask=absent)


def _batch() -> pa.RecordBatch:
    random = np.random.default_rng(3)
    x = random.normal(size=ROWS) + 1e6
    picture = np.random.default_rng(8).integers(0, ROWS // 2, ROWS)  # of some there are several
    return pa.record_batch(
        {
            "x": pa.array(x, mask=random.random(ROWS) < 0.2),
            "z": np.where(random.random(ROWS) < 0.01, np.inf, random.exponential(size=ROWS)),
            "i": pa.array(random.integers(-5, 2**40, ROWS)),
            "a": pa.array(
                np.char.add("a", random.zipf(1.5, ROWS).astype(str)), mask=random.random(ROWS) < 0.1
            ).dictionary_encode(),
            "b": pa.array(random.integers(0, 3, ROWS).astype(str)).dictionary_encode(),
            "w": np.where(random.random(ROWS) < 0.1, 0.0, random.exponential(0.1, size=ROWS)),
            "v": _vectors(picture),
            "c": pa.array([hashlib.sha256(b"%d" % each).digest()[:DIGEST_BYTES] for each in picture], DIGESTS),
        }
    )


COLUMNS = (
    Column("x", "float64", Kind.NUMBER),
    Column("z", "float64", Kind.NUMBER),
    Column("i", "int64", Kind.NUMBER),
    Column("a", "string", Kind.CATEGORY),
    Column("b", "string", Kind.CATEGORY),
)
NUMBERS, CATEGORIES = COLUMNS[:3], COLUMNS[3:]
WEIGHT = Column("w", "float64", Kind.NUMBER)
IMAGE = Column("photo", "image", Kind.IMAGE)
VECTOR, CONTENT = Column("v", "vector", Kind.VECTOR), Column("c", "binary", Kind.VECTOR)
BATCH = _batch()


def _codings():
    histograms = _Quantiles(NUMBERS, 256).summarize(BATCH).histograms
    numbers = tuple(
        number_coding(column, h.cells, h.counts, h.shift, (64, 16))
        for column, h in zip(NUMBERS, histograms, strict=True)
    )
    levels = LevelsSummarizer(CATEGORIES, 10_000).summarize(BATCH).columns
    categories = tuple(
        category_coding(column, c.levels.to_pylist(), c.counts.tolist(), 16)
        for column, c in zip(CATEGORIES, levels, strict=True)
    )
    return numbers, categories


NUMBER_CODINGS, CATEGORY_CODINGS = _codings()
ALL_CODINGS = NUMBER_CODINGS + CATEGORY_CODINGS
CODES = CodesSummarizer(ALL_CODINGS, CATEGORY_CODINGS[1:], ROWS)
GROUPING = JackknifeGroups("value", CATEGORIES, 12)
WEIGHTED_CODES = CodesSummarizer(ALL_CODINGS, CATEGORY_CODINGS[1:], ROWS, WEIGHT, GROUPING)
CODE_BATCH = WEIGHTED_CODES.summarize(BATCH).to_arrow().combine_chunks().to_batches()[0]


def _images() -> pa.RecordBatch:
    """Few pictures, spread over many rows that have none: what they cost is decoding."""
    random, found = np.random.default_rng(7), [None] * ROWS
    for row in range(0, ROWS, 100):
        sink = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (9, 10, 3), dtype=np.uint8)).save(sink, "PNG")
        found[row] = {"bytes": sink.getvalue()}
    found[300], found[500], found[800] = {"bytes": b""}, {"bytes": b"no"}, {"error": "no such file"}
    return pa.record_batch({"photo": pa.array(found, IMAGE_TYPE)})


IMAGES = _images()


def _fits():
    """Directions and clusters of some kind: of the laws any will do."""
    random = np.random.default_rng(10)
    directions, centroid = random.normal(size=(3, WIDTH)), np.full(WIDTH, 1e3)
    none = np.empty((0, 2))
    centres = random.normal(size=(4, 3))
    return Projection(centroid, directions, 2, centres, np.arange(4)), Projection(
        centroid, directions, 3, none, np.arange(0)
    )


SPECS = {
    EqualRowsSummarizer: [EqualRowsSummarizer(((NUMBERS[0], NUMBERS[1]), (NUMBERS[0], NUMBERS[0])))],
    ClassMomentsSummarizer: [ClassMomentsSummarizer(VECTOR, WIDTH, coding) for coding in ALL_CODINGS[2:]],
    CodesSummarizer: [CODES, WEIGHTED_CODES, CodesSummarizer((), (), ROWS, WEIGHT)],
    CoMomentsSummarizer: [
        CoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS),
        CoMomentsSummarizer(NUMBER_CODINGS[:1], NUMBER_CODINGS[1:]),
        CoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS, WEIGHT),
        CoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS, None, GROUPING),
        CoMomentsSummarizer(NUMBER_CODINGS[:2], NUMBER_CODINGS[1:], WEIGHT, GROUPING),
    ],
    GroupedMomentsSummarizer: [
        GroupedMomentsSummarizer(CATEGORY_CODINGS, NUMBER_CODINGS),
        GroupedMomentsSummarizer(CATEGORY_CODINGS, NUMBER_CODINGS, WEIGHT),
    ],
    PairCountsByGroupSummarizer: [
        PairCountsByGroupSummarizer((ALL_CODINGS[:2], ALL_CODINGS[2:4]), CATEGORY_CODINGS[1], 12),
        PairCountsByGroupSummarizer((ALL_CODINGS[:2],), None, 12, WEIGHT),
    ],
    PairMomentsByGroupSummarizer: [
        PairMomentsByGroupSummarizer((NUMBER_CODINGS[:2], NUMBER_CODINGS[1:]), GROUPING),
        PairMomentsByGroupSummarizer((NUMBER_CODINGS[:2],), GROUPING, WEIGHT),
    ],
    PairRankMomentsByGroupSummarizer: [
        PairRankMomentsByGroupSummarizer((NUMBER_CODINGS[:2], NUMBER_CODINGS[1:]), GROUPING)
    ],
    LevelsSummarizer: [LevelsSummarizer(CATEGORIES, 10_000), LevelsSummarizer(CATEGORIES, 50)],
    MomentsSummarizer: [MomentsSummarizer(NUMBERS), MomentsSummarizer(NUMBERS, WEIGHT), MomentsSummarizer((), WEIGHT)],
    PairCountsSummarizer: [
        PairCountsSummarizer(ALL_CODINGS, ALL_CODINGS, CATEGORY_CODINGS[1:]),
        PairCountsSummarizer(ALL_CODINGS[:2], ALL_CODINGS[2:], ()),
        PairCountsSummarizer(ALL_CODINGS, ALL_CODINGS, CATEGORY_CODINGS[1:], WEIGHT),
        PairCountsSummarizer(ALL_CODINGS[:2], ALL_CODINGS[2:], (), WEIGHT),
    ],
    QuantileSketchSummarizer: [QuantileSketchSummarizer(NUMBERS)],
    ValueHistogramsSummarizer: [ValueHistogramsSummarizer(NUMBERS, 10_000), ValueHistogramsSummarizer(NUMBERS, 100)],
    RankCoMomentsSummarizer: [
        RankCoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS),
        RankCoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS, WEIGHT),
        RankCoMomentsSummarizer(NUMBER_CODINGS, NUMBER_CODINGS, None, GROUPING),
    ],
    RowCountSummarizer: [RowCountSummarizer(()), RowCountSummarizer(COLUMNS)],
    StoredSummarizer: [
        StoredSummarizer(Embedding(IMAGE, DescriptorsSpec(), 10**8), ROWS),
        *(StoredSummarizer(Placing("v", VECTOR, fit), ROWS) for fit in _fits()),
    ],
    TargetCountsSummarizer: [
        TargetCountsSummarizer(ALL_CODINGS, ALL_CODINGS[-2:]),
        TargetCountsSummarizer(ALL_CODINGS[:3], ALL_CODINGS[-1:], ALL_CODINGS[3:4], GROUPING),
        TargetCountsSummarizer(ALL_CODINGS[:3], ALL_CODINGS[-1:], (), GROUPING, WEIGHT),
        TargetCountsSummarizer(ALL_CODINGS[:3], ALL_CODINGS[-2:], (), replace(GROUPING, most_units=2**16)),
        TargetCountsSummarizer(ALL_CODINGS[:3], ALL_CODINGS[-1:], (), replace(GROUPING, most_units=20)),
        TargetCountsSummarizer(
            ALL_CODINGS[:2], ALL_CODINGS[-1:], (), JackknifeGroups("unit", NUMBERS[:1], 8, 0.1, most_units=2**10)
        ),
    ],
    TimeCountsSummarizer: [
        TimeCountsSummarizer(ALL_CODINGS, ALL_CODINGS[-2:], NUMBERS[0], 0.25),
        TimeCountsSummarizer(ALL_CODINGS[:3], ALL_CODINGS[-1:], NUMBERS[2], 1.0),
    ],
    VectorMomentsSummarizer: [VectorMomentsSummarizer(VECTOR, WIDTH)],
    VectorSampleSummarizer: [
        VectorSampleSummarizer(VECTOR, CONTENT, WIDTH, targets, size)
        for targets in ((), CATEGORY_CODINGS)
        for size in (1, 300, 2 * ROWS)
    ],
}

ORDER_MATTERS_IN_BYTES = {
    QuantileSketchSummarizer: "KLL flips coins that cannot be seeded; its ranks are compared instead",
    CodesSummarizer: "a multiset of rows; compared after sorting them",
    StoredSummarizer: "rows in the order in which they come; compared after sorting them",
}

specs = pytest.mark.parametrize(
    "spec", [spec for group in SPECS.values() for spec in group], ids=lambda spec: f"{spec.name}-{digest(spec)[:4]}"
)


def source(spec) -> pa.RecordBatch:
    if isinstance(spec, StoredSummarizer) and IMAGE in spec.columns:
        return IMAGES
    return CODE_BATCH if isinstance(spec, PairCountsSummarizer | PairCountsByGroupSummarizer) else BATCH


def canonical(spec, state):
    """The state as plain values in which equal states are equal."""
    if isinstance(spec, RowsSpec):
        rows = zip(*(column.to_pylist() for column in state.table.columns), strict=True)
        return {"rows": state.rows, "values": sorted(map(repr, rows))}
    if isinstance(spec, MomentsSummarizer):  # any value of the column may be the origin
        values = held(state)
        return values | {"mean": values.pop("origin") + state.mean}
    if isinstance(spec, QuantileSketchSummarizer):
        sketches = [datasketches.kll_doubles_sketch.deserialize(data) for data in state.data]
        return {"rows": state.rows, "n": [sketch.n for sketch in sketches]}
    return state.full() if isinstance(state, CoMoments) else state  # what depends on one column may stand once


def held(state):
    """The fields of a state, sums of floats as arrays."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: np.array(value) if isinstance(value, float) else value for name, value in values.items()}


def flatten(value, path=""):
    if is_dataclass(value):
        value = held(value)
    if isinstance(value, dict):
        return [item for key, inner in value.items() for item in flatten(inner, f"{path}.{key}")]
    if isinstance(value, list | tuple):
        return [item for index, inner in enumerate(value) for item in flatten(inner, f"{path}[{index}]")]
    if isinstance(value, pa.Array):
        return [(path, value.to_pylist())]
    if isinstance(value, pa.Table):
        return [(path, repr(value.to_pylist()))]
    return [(path, value)]


def assert_same(spec, left, right, tolerance=0.0):
    ours, theirs = flatten(canonical(spec, left)), flatten(canonical(spec, right))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            finite = a[np.isfinite(a)]
            scale = np.abs(finite).max() if finite.size else 1.0
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=path)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=path)
        else:
            assert a == b, path


def pieces(spec, cuts):
    batch = source(spec)
    edges = [0, *cuts, batch.num_rows]
    return [spec.summarize(batch.slice(a, b - a)) for a, b in pairwise(edges)]


def fold(spec, states):
    total = spec.empty()
    for state in states:
        total = total.merge(state)
    return total


def test_every_summarizer_is_tested():
    assert set(SPECS) == set(SUMMARIZERS)
    assert all(isinstance(spec.empty(), Summary) for group in SPECS.values() for spec in group)


@specs
def test_identity(spec):
    state = spec.summarize(source(spec))
    assert_same(spec, spec.empty().merge(state), state)
    assert_same(spec, state.merge(spec.empty()), state)
    assert spec.empty().merge(spec.empty()).rows == 0
    assert state.rows == ROWS


@specs
def test_commutative(spec):
    left, right = pieces(spec, [1_234])
    assert_same(spec, left.merge(right), right.merge(left), FLOAT_TOLERANCE)


@specs
def test_associative(spec):
    a, b, c = pieces(spec, [500, 2_500])
    assert_same(spec, a.merge(b).merge(c), a.merge(b.merge(c)), FLOAT_TOLERANCE)


@specs
@pytest.mark.parametrize("cuts", [[0], [1], [1, 2, 3], [0, 0, ROWS], [300, 301, 3_000], list(range(0, ROWS, 97))])
def test_any_cut_gives_the_whole(spec, cuts):
    assert_same(spec, fold(spec, pieces(spec, cuts)), spec.summarize(source(spec)), FLOAT_TOLERANCE)


@specs
def test_any_order_of_rows_gives_the_whole(spec):
    order = pa.array(np.random.default_rng(1).permutation(ROWS))
    whole = source(spec)
    batch = pa.RecordBatch.from_arrays([column.take(order) for column in whole.columns], whole.schema.names)
    assert_same(spec, spec.summarize(batch), spec.summarize(source(spec)), FLOAT_TOLERANCE)


@specs
@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_arrow_round_trip_is_exact(spec, rows):
    state = spec.summarize(source(spec).slice(0, rows))
    table = state.to_arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    back = type(state).from_arrow(pa.ipc.open_file(sink.getvalue()).read_all())
    assert_same(spec, back, state)
    assert_same(spec, back.merge(back), state.merge(state))
    assert table.schema.metadata[b"version"]


@specs
def test_absorbing_batches_is_merging_them(spec):
    batch, total = source(spec), spec.empty()
    for start in range(0, ROWS, 1_300):
        total = spec.update(total, batch.slice(start, 1_300))
    assert_same(spec, total, spec.summarize(batch), FLOAT_TOLERANCE)


@specs
def test_merge_leaves_its_operands_alone(spec):
    left, right = pieces(spec, [2_000])
    before = copy.deepcopy(flatten(left)), copy.deepcopy(flatten(right))
    first = left.merge(right)
    left.merge(right).merge(left)
    for state, kept in zip((left, right), before, strict=True):
        for (path, now), (_, then) in zip(flatten(state), kept, strict=True):
            np.testing.assert_array_equal(now, then, err_msg=path)
    assert_same(spec, left.merge(right), first)


@specs
def test_state_is_within_its_declared_size(spec):
    state = fold(spec, pieces(spec, [1_000, 2_000, 3_000]))
    arrays = [value for _, value in flatten(state) if isinstance(value, np.ndarray | bytes)]
    size = sum(value.nbytes if isinstance(value, np.ndarray) else len(value) for value in arrays)
    assert size <= spec.nbytes()


@specs
def test_digest_names_the_spec(spec):
    assert digest(spec) == digest(copy.deepcopy(spec))
    assert "object at 0x" not in repr(spec)
    assert len({digest(other) for group in SPECS.values() for other in group}) == sum(map(len, SPECS.values()))


def test_integers_do_not_depend_on_order_by_a_bit():
    """The specs whose states are integers alone give the same bytes, not only values within a tolerance."""
    exact = (
        EqualRowsSummarizer,
        LevelsSummarizer,
        PairCountsSummarizer,
        ValueHistogramsSummarizer,
        TargetCountsSummarizer,
        TimeCountsSummarizer,
        VectorSampleSummarizer,  # floats, but copied
    )
    for kind in exact:
        for spec in (spec for spec in SPECS[kind] if getattr(spec, "weight", None) is None):
            forwards = fold(spec, pieces(spec, [17, 900, 901]))
            backwards = fold(spec, reversed(pieces(spec, [5, 3_999])))
            assert forwards.to_arrow().equals(backwards.to_arrow(), check_metadata=True), spec.name
            assert pc.count(forwards.to_arrow().column(0)).as_py() > 0
