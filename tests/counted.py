"""Rows of random codes, and their joint counts by the plainest loop there is."""

from __future__ import annotations

import numpy as np

from featflow.summaries.joint_counts import CodedColumns, CodedRows

SHAPES = [
    ((17,) * 9, None),
    ((17,) * 30, None),
    ((3,) * 25, None),
    ((2, 3, 17, 121, 256, 1, 1, 5, 17, 17, 17), None),
    ((17,) * 5, (17,) * 6),
    ((2, 256, 4), (7, 1)),
    ((5,), None),
    ((1, 1), None),
    ((3, 1), (1,)),
]
"""Levels of left and right columns."""


def coded(random, levels, rows):
    codes = [random.integers(0, level, rows, dtype=np.uint8) for level in levels]
    return CodedColumns(np.stack(codes), levels)


def rows_of(left, right=None, classes=None, rows=500, weighted=False):
    random = np.random.default_rng(7)
    target = None if classes is None else coded(random, (classes,), rows)
    weights = random.exponential(size=rows) if weighted else None
    return CodedRows(coded(random, left, rows), right and coded(random, right, rows), target, weights)


def counted_by_loop(work):
    """One pair at a time, one numpy histogram each."""
    found, right = work.zeros(), work.right or work.left
    target = work.target.codes[0].astype(np.int64) if work.target else np.zeros(work.rows, np.int64)
    for a, left_start in enumerate(work.left.starts[:-1]):
        for b, right_start in enumerate(right.starts[:-1]):
            shape = (work.classes, work.left.levels[a], right.levels[b])
            cells = np.ravel_multi_index((target, work.left.codes[a], right.codes[b]), shape)
            table = np.bincount(cells, weights=work.weights, minlength=int(np.prod(shape))).reshape(shape)
            found[:, left_start : left_start + shape[1], right_start : right_start + shape[2]] += table
    return found


def first_before_second(work, tables):
    """What a kernel promises: of one block against itself, tables of a column with those not before it."""
    if work.right is not None:
        return tables
    kept = tables.copy()
    for start, end in zip(work.left.starts[:-1], work.left.starts[1:], strict=True):
        kept[:, start:end, :start] = 0
    return kept
