"""The losses, by hand and by what they must do."""

from __future__ import annotations

import math

import pytest
import torch

from cellscope.assays.histo.training.losses import asymmetric_loss, branch_losses, dice_loss, distance_loss, focal_loss


def logits_of(p: float) -> torch.Tensor:
    """Give (1, 2, 1, 1) logits with this probability of nucleus."""
    return torch.tensor([0.0, math.log(p / (1 - p))])[None, :, None, None]


@pytest.mark.parametrize(
    ("p", "nucleus", "expected"),
    [
        (0.8, 1, -((0.2) ** 1.0) * math.log(0.8)),
        (0.8, 0, -(0.8**4) * math.log(0.2)),
        (0.001, 1, -0.95 * math.log(0.05)),  # held within [0.05, 0.95]
        (0.3, -1, 0.0),
    ],
)
def test_asymmetric_loss_by_hand(p: float, nucleus: int, expected: float) -> None:
    loss = asymmetric_loss(logits_of(p), torch.tensor([[[nucleus]]]), 1.0, 4.0)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_focal_loss_by_hand() -> None:
    loss = focal_loss(logits_of(0.7), torch.tensor([[[1]]]))
    assert float(loss) == pytest.approx(-0.25 * 0.3**2 * math.log(0.7), abs=1e-6)


def test_dice_loss_of_a_perfect_answer_is_zero() -> None:
    target = torch.tensor([[[0, 1], [2, 2]]])
    one = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    known = torch.ones_like(target, dtype=torch.bool)
    assert float(dice_loss(one, target, known)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(one.roll(1, 1), target, known)) > 0.4


def test_gradients_count_inside_nuclei_only() -> None:
    true = torch.zeros(1, 2, 12, 12)
    predicted = true.clone()
    predicted[..., :3] = 1.0
    nucleus = torch.zeros(1, 12, 12, dtype=torch.long)
    nucleus[:, 8:, 8:] = 1
    error, gradient = distance_loss(predicted, true, nucleus)
    assert float(error) == pytest.approx(3 / 12)
    assert float(gradient) == 0
    nucleus[:] = 1
    assert float(distance_loss(predicted, true, nucleus)[1]) > 0


def test_unknown_pixels_and_types_do_not_count() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(2, 9, 16, 16, requires_grad=True)
    batch = {
        "nucleus": torch.ones(2, 16, 16, dtype=torch.long),
        "distance": torch.zeros(2, 2, 16, 16),
        "type": torch.full((2, 16, 16), -1),
    }
    batch["nucleus"][:, :8] = -1
    for np_loss in ("bce+dice", "asym+dice", "asym"):
        for tp_loss in ("bce+dice", "focal+dice", "focal"):
            parts = branch_losses(
                outputs, batch, np_loss=np_loss, tp_loss=tp_loss, gamma_positive=1, gamma_negative=4, focal_gamma=2
            )
            assert float(parts["tp"].detach()) == 0
            (grad,) = torch.autograd.grad(parts["np"] + parts["hv_mse"], outputs, allow_unused=True)
            assert not grad[:, :, :8].any()
            assert grad[:, :4, 8:].any()
            assert not grad[:, 4:].any()
