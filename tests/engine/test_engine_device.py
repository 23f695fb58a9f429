"""Devices and number formats."""

from __future__ import annotations

import os

import pytest
import torch

from cellscope.engine.device import autocast, available_cpus, has_fast_bfloat16, pick_device, pick_precision
from cellscope.errors import UsageError


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "want"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_prefers_cuda_then_mps(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, want: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto").type == want


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_missing_device_is_an_error_and_nothing_else_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"{name} is not there"):
        pick_device(name)


def test_a_cuda_number_too_high(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match=r"cuda:2 is not there: 2 CUDA"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "tpu", "xpu", "meta", ""])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown device|unsupported device"):
        pick_device(name)


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("32", cpu) is None
    assert pick_precision("bf16", cpu) is torch.bfloat16
    assert pick_precision("16", torch.device("cuda")) is torch.float16
    assert pick_precision("auto", cpu) is (torch.bfloat16 if has_fast_bfloat16(cpu) else None)
    with pytest.raises(UsageError, match="needs a GPU"):
        pick_precision("16", cpu)
    with pytest.raises(UsageError, match="unknown precision '8'"):
        pick_precision("8", cpu)


def test_autocast_changes_the_type_or_nothing() -> None:
    a = torch.ones(2, 2)
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert (a @ a).dtype is torch.bfloat16
    with autocast(torch.device("cpu"), None):
        assert (a @ a).dtype is torch.float32


def test_cpus_are_those_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 5, 7}, raising=False)
    assert available_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cpus() == (os.cpu_count() or 1)
