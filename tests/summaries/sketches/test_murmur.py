"""MurmurHash3 of arrays against the algorithm written out for one string."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featflow.summaries.sketches.murmur import murmur_numbers, murmur_strings

WORD = 2**64 - 1


def rotated(word, bits):
    return (word << bits | word >> (64 - bits)) & WORD


def mixed(word, before, bits, after):
    return rotated(word * before & WORD, bits) * after & WORD


def finished(word):
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word = (word ^ word >> 33) * factor & WORD
    return word ^ word >> 33


def murmur(data: bytes, seed: int) -> tuple[int, int]:
    """MurmurHash3_x64_128 as its author's reference states it."""
    one, two = 0x87C37B91114253D5, 0x4CF5AD432745937F
    first = second = seed
    whole = len(data) // 16 * 16
    for start in range(0, whole, 16):
        low, high = (int.from_bytes(data[at : at + 8], "little") for at in (start, start + 8))
        first = (rotated(first ^ mixed(low, one, 31, two), 27) + second) * 5 + 0x52DCE729 & WORD
        second = (rotated(second ^ mixed(high, two, 33, one), 31) + first) * 5 + 0x38495AB5 & WORD
    low, high = (int.from_bytes(data[whole:][part], "little") for part in (slice(0, 8), slice(8, 16)))
    first ^= mixed(low, one, 31, two) ^ len(data)
    second ^= mixed(high, two, 33, one) ^ len(data)
    first = first + second & WORD
    second = second + first & WORD
    first, second = finished(first), finished(second)
    first = first + second & WORD
    return first, second + first & WORD


def test_the_reference_is_murmur():
    """The published test value of `murmur3_x64_128` with the seed 0."""
    assert murmur(b"The quick brown fox jumps over the lazy dog", 0) == (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)


@given(st.lists(st.text(max_size=60), max_size=20), st.integers(0, 5))
def test_strings(texts, skipped):
    values = pa.array(texts, pa.string()).slice(min(skipped, len(texts)))
    first, second = murmur_strings(values)
    expected = [murmur(text.encode(), 9001) for text in values.to_pylist()]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected


@pytest.mark.parametrize("length", [*range(34), 1_000])
def test_lengths(length):
    texts = ["x" * length, "", "ab", "y" * length]
    first, second = murmur_strings(pa.array(texts))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [murmur(t.encode(), 9001) for t in texts]


@given(st.lists(st.integers(0, WORD), max_size=20))
def test_numbers(words):
    before = np.array(words, np.uint64)
    first, second = murmur_numbers(before)
    expected = [murmur(word.to_bytes(8, "little"), 9001) for word in words]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert before.tolist() == words
