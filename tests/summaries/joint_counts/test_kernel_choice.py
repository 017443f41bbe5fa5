from __future__ import annotations

import pytest
import torch
from counted import rows_of

from featflow.summaries.joint_counts import Kernel, choose_kernel, default_device, kernel_choice

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_core_with_vnni(monkeypatch):
    monkeypatch.setattr(kernel_choice, "_rate", lambda: kernel_choice.VNNI_RATE)


def test_many_levels_are_for_the_histogram_and_few_for_the_product():
    assert choose_kernel(rows_of((17,) * 100, rows=100_000), CPU) is Kernel.HISTOGRAM
    assert choose_kernel(rows_of((2,) * 100, rows=100_000), CPU) is Kernel.PRODUCT


def test_few_rows_are_for_the_product():
    """Tables of four columns would take longer to count out than the rows to count."""
    assert choose_kernel(rows_of((17,) * 100, rows=500), CPU) is Kernel.PRODUCT


def test_weights_are_for_the_histogram_on_any_device():
    work = rows_of((2,) * 100, rows=1_000, weighted=True)
    assert {choose_kernel(work, torch.device(device)) for device in ("cpu", "cuda")} == {Kernel.HISTOGRAM}


def test_cuda_is_for_the_product():
    assert choose_kernel(rows_of((17,) * 100, rows=1_000), torch.device("cuda")) is Kernel.PRODUCT


def test_no_rows_have_a_kernel():
    assert choose_kernel(rows_of((3, 4), (2,), rows=0), CPU) in Kernel


@pytest.mark.parametrize(("amx", "vnni", "rate"), [(1, 1, "AMX_RATE"), (0, 1, "VNNI_RATE"), (0, 0, "FLOAT_RATE")])
def test_the_rate_is_that_of_the_best_instructions(monkeypatch, amx, vnni, rate):
    monkeypatch.undo()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx), raising=False)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: bool(vnni), raising=False)
    assert kernel_choice._rate() == getattr(kernel_choice, rate)


def test_a_torch_that_does_not_say_is_taken_for_a_plain_one(monkeypatch):
    monkeypatch.undo()
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported", raising=False)
    assert kernel_choice._rate() == kernel_choice.FLOAT_RATE


def test_the_default_device_is_cuda_where_there_is_one(monkeypatch):
    for available, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert default_device().type == name
