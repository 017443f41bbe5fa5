"""Batches of images: joined within limits, read one ahead, with whatever reading raises."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from featflow.dataset.dataset import Quarantined
from featflow.dataset.image_batches import image_batches
from featflow.errors import InfrastructureError


def test_batches_of_images_of_small_row_groups_are_joined(monkeypatch):
    batches = [
        pa.record_batch({"image": [bytes([row] * 10) for row in range(start, start + 3)]}) for start in (0, 3, 6)
    ]
    lost = Quarantined("a.parquet", "unreadable_row_group", "broken", 2, "image", 3)
    met = [*batches[:2], lost, batches[2]]

    def sizes(rows):
        found = list(image_batches(iter(met), rows))
        images = [image for each in found if each is not lost for image in each["image"].to_pylist()]
        assert images == [bytes([row] * 10) for row in range(9)]
        return ["lost" if each is lost else each.num_rows for each in found]

    assert sizes(100) == [6, "lost", 3]
    assert sizes(5) == [3, 3, "lost", 3]
    monkeypatch.setattr("featflow.dataset.image_batches.IMAGE_BYTES", batches[0].nbytes)
    assert sizes(100) == [3, 3, "lost", 3]


def batch(number):
    return pa.record_batch({"image": [bytes([number])]})


def test_the_next_batch_is_read_while_one_is_worked_on():
    read = [threading.Event() for _ in range(4)]

    def reading():
        for number, event in enumerate(read):
            event.set()
            yield batch(number)

    for number, _ in enumerate(image_batches(reading(), 1)):
        assert all(event.wait(10) for event in read[: number + 3])
        assert not any(event.is_set() for event in read[number + 3 :])


def test_what_reading_raises_is_raised_in_its_place():
    def reading():
        yield batch(0)
        yield batch(1)
        raise InfrastructureError("storage failed")

    found = image_batches(reading(), 1)
    assert next(found)["image"].to_pylist() == [b"\0"]
    with pytest.raises(InfrastructureError, match="storage failed"):
        list(found)


def test_reading_ends_with_who_wants_no_more():
    readers, closed = set(), []

    def reading():
        try:
            for number in range(100):
                readers.add(threading.current_thread())
                yield batch(number)
        finally:
            closed.append(True)

    found = image_batches(reading(), 1)
    next(found)
    found.close()
    (reader,) = readers
    assert not reader.is_alive()
    assert closed == [True]
