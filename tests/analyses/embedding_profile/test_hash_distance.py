"""Hashes that differ in few bits are found, all of them and no others."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from featflow.analyses.embedding_profile.hash_distance import DISTANCE, MASKS, SLOT_BITS, LikenessTables, slots

RANDOM = np.random.default_rng(5)


def pairs_found(hashes, others, held=None):
    held = np.ones((len(MASKS), len(hashes)), bool) if held is None else held
    found = LikenessTables(hashes, held).close(others)
    return {pair for left, right in found for pair in zip(left.tolist(), right.tolist(), strict=True)}


def test_any_change_of_at_most_three_bits_leaves_two_blocks_as_they_were():
    changes = [sum(1 << bit for bit in bits) for count in range(4) for bits in combinations(range(0, 64, 3), count)]
    changes = np.array(changes, np.uint64)
    assert np.stack([changes & mask == 0 for mask in MASKS]).any(axis=0).all()
    assert np.bitwise_or.reduce(MASKS) == 2**64 - 1


def test_every_pair_within_three_bits_and_no_other(monkeypatch):
    bases = RANDOM.integers(0, 2**64, 30, np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << RANDOM.integers(0, 64, (900, 5)).astype(np.uint64), axis=1)
    flips &= np.where(RANDOM.random(900) < 0.5, RANDOM.integers(0, 2**64, 900, np.uint64), np.uint64(2**64 - 1))
    everything = np.unique(np.concatenate([bases, bases[RANDOM.integers(0, 30, 900)] ^ flips]))
    hashes, others = everything[::2], RANDOM.permutation(everything)
    distance = np.bitwise_count(hashes[:, None] ^ others)
    expected = set(
        zip(*(places.tolist() for places in np.nonzero((distance > 0) & (distance <= DISTANCE))), strict=True)
    )
    assert len(expected) > 300
    assert pairs_found(hashes, others) == expected
    monkeypatch.setattr("featflow.analyses.embedding_profile.hash_distance.PAIRS_AT_ONCE", 3)
    assert pairs_found(hashes, others) == expected


def test_what_shares_blocks_shares_a_slot():
    hashes = RANDOM.integers(0, 2**64, 500, np.uint64)
    for mask, before, after in zip(MASKS, slots(hashes), slots(hashes & MASKS[0]), strict=True):
        assert 0 <= before.min() <= before.max() < 2**SLOT_BITS
        assert (before == after).all() == (mask == MASKS[0])


def test_a_table_holds_what_it_is_given():
    hashes = np.array([1, 2**40 - 1], np.uint64)
    others = hashes ^ np.uint64(1 << 7)
    held = np.array([[True, False]] * len(MASKS))
    assert pairs_found(hashes, others, held) == {(0, 0)}
    assert pairs_found(hashes, others, ~held) == {(1, 1)}
    assert pairs_found(hashes[:0], others, held[:, :0]) == pairs_found(hashes, others[:0]) == set()
