"""Hashes: the same for ever, the same however an array lies in memory, apart for strings that are alike."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featflow.columns import hashing
from featflow.columns.hashing import IDENTITY_BITS, buckets_of, hash64, hash_numbers, identities

PINNED = {
    "": 0xA706DD2F4D197E6F,
    "a": 0xD442DD5B42960211,
    "abc": 0x1D89842A4BA3B260,
    "user-0": 0xAF68346BEEDAA5CC,
    "12345678": 0xBBAB36742794DCA9,
    "ß, and more than one word": 0x97E7096BD7AFEE0D,
}
"""Codebooks and states on disk hold these: another value is another `STATE_VERSION`."""
MODULUS = 2**64


def mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) % MODULUS
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % MODULUS
    value = (value ^ value >> 27) * 0x94D049BB133111EB % MODULUS
    return value ^ value >> 31


def reference(text: str) -> int:
    data = text.encode()
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data) + 1, 8)]
    return mixed((sum(mixed(word + i * 0x9E3779B97F4A7C15) for i, word in enumerate(words)) + len(data)) % MODULUS)


def hashes(values: list[str]) -> list[int]:
    return hash64(pa.array(values, pa.string())).tolist()


def test_values_are_pinned():
    assert dict(zip(PINNED, hashes(list(PINNED)), strict=True)) == PINNED
    assert hash_numbers(np.array([0, 1, MODULUS - 1], np.uint64)).tolist() == [
        0xE220A8397B1DCDAF,
        0x910A2DEC89025CC1,
        0xE4D971771B652C20,
    ]


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, 5), st.integers(0, 20))
def test_any_part_of_an_array_is_hashed_as_defined(values, first, length):
    array = pa.array(values, pa.string()).slice(min(first, len(values)), length)
    assert hash64(array).tolist() == [reference(value) for value in array.to_pylist()]


@pytest.mark.parametrize("words", [1, 2, 3, 7, 64])
def test_chunks_leave_no_trace(words, monkeypatch):
    random = np.random.default_rng(0)
    values = ["é" * int(n) for n in random.integers(0, 50, 200)] + ["", "x" * 5_000, ""]
    whole = hashes(values)
    monkeypatch.setattr(hashing, "CHUNK_WORDS", words)
    assert hashes(values) == whole == [reference(value) for value in values]


def test_strings_that_are_alike_are_apart():
    one, other = pa.array(["1", "23"]), pa.array(["12", "3"])
    assert not set(hash64(one).tolist()) & set(hash64(other).tolist())
    alike = [
        "",
        "\0",
        "\0\0",
        "a",
        "a\0",
        "a" * 7,
        "a" * 8,
        "a" * 8 + "\0",
        "a" * 9,
        "ab" * 8,
        "ba" * 8,
        "é",
        "e\u0301",
    ]
    swapped = ["12345678abcdefgh", "abcdefgh12345678"]
    assert len(set(hashes(alike + swapped))) == len(alike + swapped)


def test_no_two_of_a_million_strings_share_a_hash():
    random = np.random.default_rng(1)
    numbers = random.choice(10**9, 500_000, replace=False)
    texts = np.concatenate([np.char.add("user-", numbers.astype(str)), numbers.astype(str)])
    found = hash64(pa.array(texts))
    assert len(np.unique(found)) == 1_000_000
    for part in (identities(found) & np.uint64(0xFF), found >> np.uint64(56), found & np.uint64(0xFF)):
        assert chi_square(part.astype(np.int64), 256) < 6


@pytest.mark.parametrize("text", ["{}", "user-{}", "2024-01-01T00:00:{:06d}", "{:012x}"])
def test_buckets_are_uniform(text):
    values = pa.array([text.format(i) for i in range(200_000)])
    found = hash64(values)
    buckets = buckets_of(found, 65_536)
    assert abs(chi_square(buckets, 65_536)) < 6
    np.testing.assert_array_equal(buckets, buckets_of(identities(found), 65_536, IDENTITY_BITS))


def chi_square(codes: np.ndarray, cells: int) -> float:
    """Pearson's statistic against equal shares, in its standard deviations."""
    counts = np.bincount(codes, minlength=cells)
    expected = len(codes) / cells
    return float((((counts - expected) ** 2 / expected).sum() - (cells - 1)) / np.sqrt(2 * (cells - 1)))
