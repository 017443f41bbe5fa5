"""Trying again: what passes and what lasts, bounded, counted, spread; and a budget for stores that mostly fail."""

from __future__ import annotations

import errno

import pytest
import s3fs
from faulty_proxy import faulty_proxy

from featflow.dataset.listing import list_data_files
from featflow.errors import DatasetError, InfrastructureError
from featflow.storage import retries
from featflow.storage.store import Store


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    retries.reset()
    yield
    retries.reset()


class Failing:
    """An operation that fails so many times, then returns how often it was called."""

    def __init__(self, times, error):
        self.times, self.error, self.calls = times, error, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), OSError(errno.EBUSY, "SlowDown")])
def test_what_passes_is_tried_again_and_counted(error):
    assert retries.with_retries(Failing(retries.ATTEMPTS - 1, error)) == retries.ATTEMPTS
    assert retries.counts() == {"storage": retries.ATTEMPTS - 1, "tasks": 0}
    operation = Failing(retries.ATTEMPTS, error)
    with pytest.raises(type(error)):
        retries.with_retries(operation)
    assert operation.calls == retries.ATTEMPTS


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), OSError(errno.ENOSPC, "full"), ValueError()])
def test_what_lasts_is_not_tried_again(error):
    operation = Failing(1, error)
    with pytest.raises(type(error)):
        retries.with_retries(operation)
    assert operation.calls == 1
    assert retries.counts()["storage"] == 0


def test_waits_are_spread_below_a_bound_that_doubles(monkeypatch):
    waits = []
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.5)
    monkeypatch.setattr(retries.time, "sleep", waits.append)
    for _ in range(200):
        retries.reset()
        retries.with_retries(Failing(3, TimeoutError()))
    for attempt in range(3):
        drawn, bound = waits[attempt::3], 0.5 * 2**attempt
        assert max(drawn) <= bound
        assert sum(drawn) / len(drawn) == pytest.approx(bound / 2, abs=5 * bound / (12 * 200) ** 0.5)


def test_a_budget_ends_retries_where_most_operations_fail():
    """Of operations of which three in four attempts fail, those in the beginning are saved and later ones given up."""
    saved = 0
    for _ in range(200):
        try:
            retries.with_retries(Failing(3, TimeoutError()))
            saved += 1
        except TimeoutError:
            break
    assert saved == pytest.approx(retries.RESERVE / (3 - retries.REFILL), abs=1)
    for _ in range(int(retries.RESERVE / retries.REFILL) + 1):
        retries.with_retries(Failing(0, TimeoutError()))
    assert retries.with_retries(Failing(3, TimeoutError())) == 4


def test_each_operation_of_a_store_survives_faults_or_says_so(moto_options):
    """Half of the requests fail; in the whole budget, an operation gives the right answer or an InfrastructureError."""
    root, done, lost, retried = "lake/half", 0, [], 0
    direct = s3fs.S3FileSystem(**moto_options)
    direct.pipe({f"{root}/data/part-{i}.parquet": bytes(1000) for i in range(3)})
    with faulty_proxy(moto_options, 0.5) as (proxy, options):
        store = Store(f"s3://{root}", options)
        for number in range(3):
            retries.reset()
            data = bytes([number]) * 10_000
            try:
                store.write(f"a/{number}", data)
                assert store.read(f"a/{number}") == data
                assert f"{number}" in store.names("a")
                assert store.sizes("data") == {f"data/part-{i}.parquet": 1000 for i in range(3)}
                assert len(list_data_files([f"s3://{root}/data/*.parquet"], options).files) == 3
                assert len(list_data_files([f"s3://{root}/da*/part-?.parquet"], options).files) == 3
                with pytest.raises(FileNotFoundError):
                    store.read("absent")
                done += 1
            except InfrastructureError as error:
                lost.append(str(error))
            retried += retries.counts()["storage"]
    assert done
    assert all("half" in message for message in lost)
    assert 0 < retried <= proxy.faults.total()


def test_a_listing_that_fails_is_no_empty_listing(moto_options):
    s3fs.S3FileSystem(**moto_options).pipe("lake/listed/day=1/a.parquet", b"1")
    with faulty_proxy(moto_options | {"config_kwargs": {"retries": {"total_max_attempts": 1}}}, 1.0) as (_, options):
        for source in ("s3://lake/listed", "s3://lake/listed/*/a.parquet", "s3://lake/listed/day=1/a.parquet"):
            with pytest.raises(InfrastructureError):
                list_data_files([source], options)
    with pytest.raises(DatasetError):
        list_data_files(["s3://lake/listed/*/b.parquet"], moto_options)
