from __future__ import annotations

import numpy as np
import pytest

from featflow.summaries.joint_counts import code_type, histogram, join_codes
from featflow.summaries.joint_counts.packed_codes import as_writable

pytestmark = pytest.mark.usefixtures("with_and_without_torch")


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_codes_are_digits(kind):
    random = np.random.default_rng(0)
    high, low = (random.integers(0, 9, 1_000).astype(kind) for _ in range(2))
    out = np.empty(1_000, code_type())
    assert join_codes(high, low, 9, out) is out
    np.testing.assert_array_equal(out, 9 * high.astype(int) + low)


def test_codes_are_joined_in_place():
    codes = np.array([1, 2], code_type())
    assert join_codes(codes, np.array([3, 0], np.int16), 30_000, codes).tolist() == [30_003, 60_000]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_histogram_adds_in_the_order_of_rows(weighted):
    random = np.random.default_rng(1)
    codes, weights = random.integers(0, 50, 5_000).astype(code_type()), random.exponential(size=5_000)
    truth = np.zeros(60)
    for code, weight in zip(codes, weights, strict=True):
        truth[code] += weight if weighted else 1
    weights.flags.writeable = False
    found = histogram(codes, weights if weighted else None, 60)
    assert found.dtype == (np.float64 if weighted else np.int64)
    assert found.tolist() == truth.tolist()


def test_what_may_be_written_is_not_copied():
    array = np.arange(3)
    assert as_writable(array) is array
    array.flags.writeable = False
    assert as_writable(array) is not array
