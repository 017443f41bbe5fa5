from __future__ import annotations

import numpy as np
import pytest

from featflow.summaries.joint_counts import CodedColumns, CodedRows

CODES = np.array([[0, 1, 2], [0, 0, 1]], np.uint8)


def test_starts_and_width():
    columns = CodedColumns(CODES, (3, 2))
    assert (columns.starts, columns.width) == ((0, 3, 5), 5)


@pytest.mark.parametrize(
    ("codes", "levels", "message"),
    [
        (CODES, (3,), "one row for each of 1 columns"),
        (CODES.astype(np.int64), (3, 2), "int64 of shape"),
        (CODES[0], (3, 2), r"of shape \(3,\)"),
        (CODES, (3, 1), "column 1 of 1 levels holds code 1"),
    ],
)
def test_wrong_codes_are_refused(codes, levels, message):
    with pytest.raises(ValueError, match=message):
        CodedColumns(codes, levels)


def test_blocks_of_unequal_rows_are_refused():
    columns = CodedColumns(CODES, (3, 2))
    with pytest.raises(ValueError, match=r"differ in rows: \[3, 2\]"):
        CodedRows(columns, CodedColumns(CODES[:, :2], (3, 2)))
    with pytest.raises(ValueError, match=r"differ in rows: \[3, 1\]"):
        CodedRows(columns, weights=np.ones(1))
