"""Converts values to codes and ranks by a frozen coding."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.codebook import MISSING, CategoryCoding, Coding, NumberCoding
from featflow.columns.hashing import buckets_of, hash64, identities
from featflow.columns.sort_keys import narrow_keys
from featflow.columns.values import finite_values, values_and_presence, values_less

__all__ = ["centred_values", "encode", "ranks"]


def centred_values(array: pa.Array, coding: NumberCoding) -> tuple[np.ndarray, np.ndarray]:
    """Return values less the coding's centre (0 where absent) and a mask of the finite ones, both shape (rows,)."""
    values, finite = finite_values(array)
    return values_less(values, finite, coding.centre), finite


def encode(array: pa.Array, coding: Coding) -> np.ndarray:
    """Return the fine code of every row, shape (rows,), int32: 0 missing, infinities in the outer bins."""
    if isinstance(coding, NumberCoding):
        values, present = values_and_presence(array)
        return np.asarray(coding.key_lookup.codes(narrow_keys(values)) * present)
    if len(array.dictionary) > len(array):  # a file's dictionary may be as long as the file
        array = array.dictionary_decode().dictionary_encode()
    dictionary = array.dictionary
    code = pc.index_in(dictionary, value_set=coding.levels).fill_null(-1).to_numpy(zero_copy_only=False) + 1
    unknown = np.flatnonzero(code == 0)
    if len(unknown):
        code = code.copy()
        code[unknown] = _unknown_codes(dictionary.take(pa.array(unknown)), coding)
    lookup = np.concatenate([code, [MISSING]]).astype(np.int32)
    rows = array.indices.fill_null(len(code)).to_numpy(zero_copy_only=False)
    return np.asarray(lookup[rows])


def _unknown_codes(values: pa.Array, coding: CategoryCoding) -> np.ndarray:
    """Return the fine code of every value that is no known level, shape (values,), int64."""
    if coding.buckets == 1:
        return np.full(len(values), coding.first_bucket)
    hashes = hash64(values)
    codes = coding.first_bucket + buckets_of(hashes, coding.buckets)
    if not len(coding.heavy):
        return codes
    identity = identities(hashes)
    nearest = np.minimum(np.searchsorted(coding.heavy, identity), len(coding.heavy) - 1)
    return np.where(coding.heavy[nearest] == identity, 1 + len(coding.levels) + nearest, codes)


def ranks(array: pa.Array, coding: NumberCoding) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank of every value as a share of the codebook's values, and a mask of finite ones, shape (rows,)."""
    values, present = finite_values(array)
    return coding.key_lookup.ranks(narrow_keys(values)) * present, present
