"""Groups of rows: functions of the row, of about equal size, that keep together what belongs together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.column import POSITION, Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes, positions, time_unit, unit_groups

DAY = 86_400_000_000
USER = Column("user", "string", Kind.CATEGORY)
NUMBER = Column("n", "int64", Kind.NUMBER)


def test_equal_values_are_one_group_whatever_the_batch():
    users = np.random.default_rng(0).integers(0, 900, 20_000).astype(str)
    batch = pa.record_batch({"user": pa.array(users).dictionary_encode()})
    jackknife = JackknifeGroups("value", (USER,), 32)
    codes = group_codes(batch, jackknife)
    assert all(len(set(codes[users == user])) == 1 for user in np.unique(users)[:50])
    pieces = [group_codes(batch.slice(start, 1_000), jackknife) for start in range(0, 20_000, 1_000)]
    np.testing.assert_array_equal(np.concatenate(pieces), codes)
    by_user = [codes[users == user][0] for user in np.unique(users)]
    assert np.bincount(by_user, minlength=32).min() > 8


def test_several_keys_and_missing_values_count():
    keys = pa.array(["a", "a", None, "b"]).dictionary_encode()
    batch = pa.record_batch({"user": keys, "n": [1, 2, 1, None]})
    many = JackknifeGroups("value", (USER, NUMBER), 2**20)
    assert len(set(group_codes(batch, many).tolist())) == 4
    again = pa.record_batch({"user": pa.array(["b", None, "a", "a"]).dictionary_encode(), "n": [None, 1, 2, 1]})
    assert group_codes(again, many).tolist() == group_codes(batch, many).tolist()[::-1]


@pytest.mark.parametrize("kind", ["int64", "uint64", "float32", "float64"])
def test_numbers_group_by_value(kind):
    column = Column("n", kind, Kind.NUMBER)
    batch = pa.record_batch({"n": pa.array([5, 5, 7, None], pa.type_for_alias(kind))})
    codes = group_codes(batch, JackknifeGroups("value", (column,), 2**20))
    assert codes[0] == codes[1] != codes[2]
    assert codes[3] not in codes[:3]


def test_days_turn_over_the_groups():
    when = Column("t", "int64", Kind.TIME)
    days = np.repeat(np.arange(19_000, 19_090), 7)
    batch = pa.record_batch({"t": days * DAY + np.arange(len(days)) % 7 * 3_600_000_000})
    codes = group_codes(
        batch, JackknifeGroups("unit", (when,), unit_groups(32), time_unit(when, days[0] * DAY, days[-1] * DAY, 8))
    )
    np.testing.assert_array_equal(codes, days % 31)


@pytest.mark.parametrize(
    ("column", "span", "unit"),
    [
        (Column("t", "int64", Kind.TIME), 90 * DAY, DAY),
        (Column("t", "int64", Kind.TIME), 30 * DAY, DAY),
        (Column("t", "int64", Kind.TIME), 3 * DAY, 3_600_000_000),
        (Column("t", "int64", Kind.TIME), 12, 1),
        (Column("t", "int64", Kind.TIME), 0, 1),
        (NUMBER, 10**6, 10**5),
        (NUMBER, 12, 1),
        (Column("n", "float64", Kind.NUMBER), 1.0, 0.1),
        (NUMBER, 0, 1),
    ],
)
def test_unit_is_the_coarsest_with_enough_of_them(column, span, unit):
    assert time_unit(column, 1000.0, 1000.0 + span, 8) == unit


def test_runs_cut_every_shard_and_shards_stay_whole():
    lies = [positions(digest, start, 500, 1_000) for digest in ("00ff12", "a01b99") for start in (0, 500)]
    batch = pa.record_batch({POSITION.name: np.concatenate(lies)})
    runs = group_codes(batch, JackknifeGroups("run", (POSITION,), 32))
    shards = group_codes(batch, JackknifeGroups("shard", (POSITION,), 32))
    for part in (slice(0, 1_000), slice(1_000, 2_000)):
        sizes = np.bincount(runs[part], minlength=32)
        assert sizes.min() >= 31
        assert np.count_nonzero(np.diff(runs[part])) == 31
        assert len(set(shards[part])) == 1
