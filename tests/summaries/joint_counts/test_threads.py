from __future__ import annotations

import threading

import pytest
import torch

from featflow.summaries.joint_counts import Spares, in_threads


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_item_is_worked_on_once_and_torch_is_left_as_it_was(threads):
    seen = []
    in_threads(lambda item: seen.append((item, torch.get_num_threads())), range(50))
    assert sorted(seen) == [(item, 1) for item in range(50)]
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *found] == [threads] * 2


def test_what_fails_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, [1, 0])
    assert torch.get_num_threads() == threads


def test_what_is_lent_comes_back_after_a_failure():
    made = []
    spares = Spares(lambda: made.append(len(made)) or made[-1])
    with pytest.raises(ZeroDivisionError), spares.lent() as item:
        assert 1 // item
    with spares.lent() as first, spares.lent() as second:
        assert [first, second] == [0, 1]


def test_no_two_threads_share_a_buffer():
    spares, shared = Spares(list), []

    def work(item):
        with spares.lent() as mine:
            mine.append(item)
            shared.append(len(mine) != 1)
            mine.clear()

    in_threads(work, range(200))
    assert not any(shared)
