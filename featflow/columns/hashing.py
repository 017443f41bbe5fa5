"""Hashes strings and numbers to 64 bits, the same on every machine and in every release.

A string is read as 64-bit little-endian words, the last one padded with zeros. Word i seeds a SplitMix64
generator (Steele, Lea & Flood 2014, fig. 17) whose output i is taken: a bijection of the word, another one
at every position. The outputs are added, so all strings of a batch are hashed at once, and the sum is mixed
with the length. Two strings share a hash by chance of 2^-64; there is no secret, so this is no defence
against somebody who looks for such strings. Cost: 20 to 50 ns a word.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

__all__ = [
    "DIGEST_BYTES",
    "IDENTITY_BITS",
    "array_digest",
    "buckets_of",
    "content_digest",
    "hash64",
    "hash_numbers",
    "identities",
]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Odd number nearest to 2^64 / golden ratio: SplitMix64's step, so that 0 is not hashed to 0."""

CHUNK_WORDS = 2**16
"""Words hashed at once: 4 MiB of temporaries, which a core's cache holds, whatever the lengths of the strings."""

MASKS = np.array([2 ** (8 * length) - 1 for length in range(8)], np.uint64)
"""Mask of the first 0 to 7 bytes of a word."""

IDENTITY_BITS = 44
"""Leading bits of a hash that name a frequent value: two of a million values share them by chance of 3 %."""


def hash_numbers(keys: np.ndarray) -> np.ndarray:
    """Return the hash of every key, uint64, in the shape of ``keys``, uint64: a bijection, SplitMix64's output.

    Examples
    --------
    >>> [hex(value) for value in hash_numbers(np.arange(2, dtype=np.uint64)).tolist()]
    ['0xe220a8397b1dcdaf', '0x910a2dec89025cc1']
    """
    mixed = keys + GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed)


def hash64(values: pa.StringArray) -> np.ndarray:
    """Return the hash of every string's UTF-8 bytes, shape (values,), uint64; there must be no nulls.

    Examples
    --------
    >>> [hex(value) for value in hash64(pa.array(["a", "b", "a"])).tolist()]
    ['0xd442dd5b42960211', '0x40dea5025532f137', '0xd442dd5b42960211']
    """
    if not len(values):
        return np.empty(0, np.uint64)
    _, offset_buffer, text_buffer = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1].astype(np.int64)
    text = np.frombuffer(text_buffer, np.uint8) if text_buffer else np.empty(0, np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    words = lengths // 8 + 1
    ends = np.cumsum(words)
    origins = ends - words
    sums = np.zeros(len(values), np.uint64)
    for first in range(0, int(ends[-1]), CHUNK_WORDS):
        last = min(first + CHUNK_WORDS, int(ends[-1]))
        touched = slice(np.searchsorted(ends, first, "right"), np.searchsorted(ends, last - 1, "right") + 1)
        begins = np.maximum(origins[touched], first)  # a string may reach over chunks
        inside = np.minimum(ends[touched], last) - begins
        position = np.arange(first, last) - np.repeat(origins[touched], inside)
        word = _words(text, np.repeat(starts[touched], inside) + 8 * position)
        final = ends[touched] <= last
        word[ends[touched][final] - 1 - first] &= MASKS[lengths[touched][final] % 8]
        mixed = hash_numbers(word + position.view(np.uint64) * GOLDEN)
        sums[touched] += np.add.reduceat(mixed, begins - first)
    return hash_numbers(sums + lengths.view(np.uint64))


def _words(text: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the words that begin at ascending bytes, uint64; zeros follow the text."""
    low, high = int(starts[0]), int(starts[-1]) + 8
    padded = np.zeros(high - low, np.uint8)
    part = text[low:high]
    padded[: len(part)] = part
    at_every_byte = np.ndarray((high - low - 7,), "<u8", padded.data, strides=(1,))
    return np.asarray(at_every_byte[starts - low].astype(np.uint64, copy=False))


def identities(hashes: np.ndarray) -> np.ndarray:
    """Return the leading `IDENTITY_BITS` of every hash, uint64."""
    return np.asarray(hashes >> np.uint64(64 - IDENTITY_BITS))


def buckets_of(hashes: np.ndarray, buckets: int, bits: int = 64) -> np.ndarray:
    """Return the bucket of every hash, int64: its leading bits, so that an identity tells its bucket, too.

    Parameters
    ----------
    buckets
        A power of two, 2 or more.
    bits
        Bits of each hash: 64 of a whole one, `IDENTITY_BITS` of an identity.

    Examples
    --------
    >>> hashes = hash64(pa.array(["a", "b"]))
    >>> buckets_of(hashes, 16).tolist() == buckets_of(identities(hashes), 16, IDENTITY_BITS).tolist()
    True
    """
    return (hashes >> np.uint64(bits + 1 - buckets.bit_length())).astype(np.int64)


def array_digest(*arrays: np.ndarray) -> str:
    """Return a name of some arrays: SHA-256 of their types, shapes and values.

    Examples
    --------
    >>> array_digest(np.zeros(2)) == array_digest(np.zeros(2)), array_digest(np.zeros(2)) == array_digest(np.zeros(1))
    (True, False)
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]


DIGEST_BYTES = 16
"""Bytes of `content_digest`: two of a billion images share them by chance of 1e-21."""


def content_digest(data: bytes) -> bytes:
    """Return the first half of an encoded image's SHA-256, for which processors have instructions."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
