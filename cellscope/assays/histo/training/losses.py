"""The losses of the three branches, and their alternatives (the paper's Table 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def asymmetric_loss(logits: torch.Tensor, nucleus: torch.Tensor, positive: float, negative: float) -> torch.Tensor:
    """Give the asymmetric loss (equation 6), averaged over known pixels; probabilities are held within [0.05, 0.95].

    Parameters
    ----------
    logits : (N, 2, H, W) float
    nucleus : (N, H, W) int64
        0, 1, or -1 where unknown.
    positive, negative : float
        Focusing parameters.
    """
    p = logits.softmax(1)[:, 1].clamp(0.05, 0.95)
    loss = torch.where(nucleus == 1, -((1 - p) ** positive) * p.log(), -(p**negative) * (1 - p).log())
    return _mean(loss, nucleus >= 0)


def dice_loss(probabilities: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Give the soft Dice loss, averaged over classes.

    Parameters
    ----------
    probabilities : (N, K, H, W) float
    target : (N, H, W) int64
        In 0..K-1 where `known`.
    known : (N, H, W) bool
    """
    one = F.one_hot(target.clamp(min=0), probabilities.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    mask = known[:, None].to(probabilities.dtype)
    both, total = (probabilities * one * mask).sum((0, 2, 3)), ((probabilities + one) * mask).sum((0, 2, 3))
    return 1 - ((2 * both + 1) / (total + 1)).mean()


def focal_loss(logits: torch.Tensor, target: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0) -> torch.Tensor:
    """Give the focal loss (equation 10) of types; `target` is -1 where unknown."""
    entropy = F.cross_entropy(logits, target.clamp(min=0), reduction="none")
    return _mean(alpha * (1 - (-entropy).exp()) ** gamma * entropy, target >= 0)


def distance_loss(
    predicted: torch.Tensor, true: torch.Tensor, nucleus: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the mean squared error and that of the gradients inside nuclei (equations 8 and 9).

    Parameters
    ----------
    predicted, true : (N, 2, H, W) float
        Horizontal, vertical.
    nucleus : (N, H, W) int64

    Returns
    -------
    error, gradient_error : () float
    """
    error = _mean((predicted - true).square().mean(1), nucleus >= 0)
    focus = (nucleus == 1).to(predicted.dtype)
    difference = (_gradients(predicted) - _gradients(true)).square().sum(1)
    return error, (difference * focus).sum() / (focus.sum() + 1e-8)


def _gradients(maps: torch.Tensor) -> torch.Tensor:
    """Differentiate the horizontal map along columns and the vertical one along rows with 5 x 5 Sobel kernels."""
    reach = torch.arange(-2, 3, device=maps.device, dtype=maps.dtype)
    down, across = torch.meshgrid(reach, reach, indexing="ij")
    kernel = across / (across.square() + down.square() + 1e-15)
    kernels = torch.stack([kernel, kernel.T])[:, None]
    return F.conv2d(maps, kernels, padding=2, groups=2)


def _mean(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    weight = known.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1)


def branch_losses(
    outputs: torch.Tensor,
    batch: dict[str, torch.Tensor],
    *,
    np_loss: str,
    tp_loss: str,
    gamma_positive: float,
    gamma_negative: float,
    focal_gamma: float,
) -> dict[str, torch.Tensor]:
    """Give the losses of the three branches.

    Parameters
    ----------
    outputs : (N, 4 + K + 1, H, W) float
    batch : dict
        As `data.Windows` gives it.
    np_loss, tp_loss : str
        ``bce+dice``, ``asym+dice``, ``asym``; ``bce+dice``, ``focal+dice``, ``focal``.
    gamma_positive, gamma_negative, focal_gamma : float

    Returns
    -------
    dict
        ``np``, ``hv_mse``, ``hv_msge``, ``tp``.
    """
    nucleus, types = batch["nucleus"], batch["type"]
    known = nucleus >= 0
    if np_loss.startswith("asym"):
        segmentation = asymmetric_loss(outputs[:, :2], nucleus, gamma_positive, gamma_negative)
    else:
        segmentation = _mean(F.cross_entropy(outputs[:, :2], nucleus.clamp(min=0), reduction="none"), known)
    if np_loss.endswith("dice"):
        segmentation = segmentation + dice_loss(outputs[:, :2].softmax(1), nucleus, known)
    error, gradient_error = distance_loss(outputs[:, 2:4], batch["distance"], nucleus)
    logits, typed = outputs[:, 4:], types >= 0
    if tp_loss.startswith("focal"):
        kind = focal_loss(logits, types, gamma=focal_gamma)
    else:
        kind = _mean(F.cross_entropy(logits, types.clamp(min=0), reduction="none"), typed)
    if tp_loss.endswith("dice"):
        kind = kind + dice_loss(logits.softmax(1), types, typed) * typed.any()
    return {"np": segmentation, "hv_mse": error, "hv_msge": gradient_error, "tp": kind}
