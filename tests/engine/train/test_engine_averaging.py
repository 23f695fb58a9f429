"""Averaged weights: what moves, what evaluates, what is kept."""

from __future__ import annotations

import pytest
import torch

from cellscope.engine.train.averaging import Averaging, move_average


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))


def test_the_student_trains_and_the_average_evaluates() -> None:
    learner = Averaging(network(), 0.9)
    assert learner.student is not learner.network
    learner.train()
    assert learner.student.training
    assert not learner.network.training
    assert not any(value.requires_grad for value in learner.network.parameters())
    assert all(value.requires_grad for value in learner.student.parameters())


def test_without_a_decay_the_two_are_one() -> None:
    learner = Averaging(network(), 0.0)
    assert learner.student is learner.network
    assert learner.train().network.training


def test_the_average_follows_quickly_at_first() -> None:
    mean, student = network(), network()
    with torch.no_grad():
        for value in student.parameters():
            value.add_(1)
        student[1].num_batches_tracked.add_(7)
    before = mean[0].bias.clone()
    move_average(mean, student, step=0, decay=0.9)  # the decay is 1 / 10 then
    torch.testing.assert_close(mean[0].bias, before + 0.9)
    assert mean[1].num_batches_tracked == 7  # whole numbers are copied
    before = mean[0].bias.clone()
    gap = student[0].bias - before
    move_average(mean, student, step=10_000, decay=0.9)
    torch.testing.assert_close(mean[0].bias, before + 0.1 * gap)


@pytest.mark.parametrize("step", [0, 1, 5, 30, 1000])
def test_the_average_moves_as_timms_does(step: int) -> None:
    from timm.utils import ModelEmaV3

    mean, student = network(), network()
    theirs = ModelEmaV3(mean, decay=0.9, use_warmup=True, warmup_gamma=9, warmup_power=1)
    with torch.no_grad():
        for value in student.parameters():
            value.normal_()
    move_average(mean, student, step=step, decay=0.9)
    theirs.update(student, step=step + 2)  # its warm-up begins a step later and counts from 1
    for name, value in theirs.module.state_dict().items():
        torch.testing.assert_close(mean.state_dict()[name], value)
