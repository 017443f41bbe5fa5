"""A sample is the images with the smallest digests, whatever the order and the cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from vectors import CONTENT, VECTOR, batch_of, digests, label_coding, merged, same

from featflow.summaries import VectorSampleSummarizer

ROWS = 900


def data():
    """300 pictures, most of them several times."""
    names = np.random.default_rng(0).integers(0, 300, ROWS)
    return (names[:, None] + [0.0, 0.25]).astype(np.float32), names


def spec_of(size):
    return VectorSampleSummarizer(VECTOR, CONTENT, 2, size=size)


@pytest.mark.parametrize("size", [0, 1, 100, 2048])
def test_the_sample_is_of_the_smallest_digests(size):
    values, names = data()
    state = merged(spec_of(size), batch_of(values, names=names), 77)
    by_digest = dict(zip(digests(names).to_pylist(), names, strict=True))
    truth = sorted(by_digest)[:size]
    assert [row.tobytes() for row in state.keys] == truth
    rows = Counter(names.tolist())
    assert state.counts.tolist() == [rows[by_digest[digest]] for digest in truth]
    np.testing.assert_array_equal(state.vectors[:, 0], [by_digest[digest] for digest in truth])
    assert state.rows == ROWS


def test_not_a_bit_depends_on_order_or_cut():
    values, names = data()
    whole = spec_of(64).summarize(batch_of(values, names=names))
    for seed, size in ((1, 1), (2, 50), (3, 899)):
        order = np.random.default_rng(seed).permutation(ROWS)
        assert same(merged(spec_of(64), batch_of(values[order], names=names[order]), size), whole)


def test_images_without_a_finite_vector_are_left_out():
    values, names = data()
    absent = names % 3 == 0
    values[names % 3 == 1, 1] = np.inf
    state = merged(spec_of(2048), batch_of(values, names=names, absent=absent), 100)
    assert sorted(state.vectors[:, 0]) == sorted(set(names[names % 3 == 2]))


def test_digests_that_end_in_zeros_or_differ_in_their_last_byte_stay_apart():
    content = np.zeros((4, 16), np.uint8)
    content[1, 15], content[2, 0], content[3, 7] = 1, 255, 1
    batch = batch_of(np.arange(8).reshape(4, 2), names=range(4))
    column = pa.array([row.tobytes() for row in content], pa.binary(16))
    state = spec_of(9).summarize(batch.set_column(1, "c", column))
    assert state.vectors[:, 0].tolist() == [0.0, 2.0, 6.0, 4.0]


def test_a_sample_is_fair():
    """Digests say nothing of values: the mean of many samples is that of the pictures."""
    random, means = np.random.default_rng(4), []
    for start in range(200):
        values = random.normal(size=(100, 2)).astype(np.float32)
        values -= values.mean(axis=0)
        state = spec_of(25).summarize(batch_of(values, names=[f"{start}-{row}" for row in range(100)]))
        means.append(state.vectors[:, 0].mean())
    standard_error = np.sqrt((1 / 25) * (75 / 99))
    assert np.std(means) == pytest.approx(standard_error, rel=0.25)
    assert abs(np.mean(means)) < 4 * standard_error / np.sqrt(200)


def test_copies_with_other_labels_are_entries_of_their_own():
    values, names = data()
    labels = np.random.default_rng(5).choice(["a", "b", None], ROWS)
    spec = VectorSampleSummarizer(VECTOR, CONTENT, 2, (label_coding(["a", "b"]),), size=400)
    state = merged(spec, batch_of(values, names=names, labels=labels), 111)
    classes = [{"a": 1, "b": 2}.get(label, 0) for label in labels]
    rows = Counter(zip(digests(names).to_pylist(), classes, strict=True))
    truth = sorted(rows)[:400]
    assert len(rows) > 400
    assert [(row[:16].tobytes(), int(row[16])) for row in state.keys] == truth
    assert state.counts.tolist() == [rows[each] for each in truth]
    assert state.classes(0).tolist() == [label for _, label in truth]
