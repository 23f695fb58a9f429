"""Grad-CAM (Selvaraju et al., ICCV 2017; Wang et al., Fig. 5): which part of a chromosome made it this class."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from torch import Tensor, nn

from cellscope.assays.karyotype.networks.chrnet import for_network

#: Rows a heat map should have at least; the deepest stage that has them is explained.
LEAST_ROWS = 7
PER_ROW = 8
GAP, TEXT = 14, 26
INK = (20, 24, 33)


def grad_cam(network: nn.Module, views: Tensor) -> Tensor:
    """Weigh a stage's maps by the gradient of the class that wins over a view and its half turn.

    Parameters
    ----------
    network : ChrNet or Baseline
        Its ``stages`` are candidates; the deepest whose maps have seven rows is taken, else the first.
    views : (B, 1, H, W) float
        As for `cellscope.assays.karyotype.networks.chrnet.classify_views`, whose average of both this explains.

    Returns
    -------
    (B, h, w) float32
        0 where nothing speaks for the class, 1 where most does; all 0 when nothing does anywhere.
    """
    outputs: dict[int, Tensor] = {}
    hooks = [
        stage.register_forward_hook(lambda _m, _i, output, number=number: outputs.__setitem__(number, output))
        for number, stage in enumerate(network.stages)  # type: ignore[arg-type]
    ]
    try:
        # Prediction runs without gradients, and tensors made so cannot have any: hence the copy.
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(views.device.type, enabled=False):
            copy = views.detach().clone().float().requires_grad_()
            both = torch.cat([copy, copy.flip((2, 3))])
            logits = network(for_network(both, int(network.in_channels)))[0]  # type: ignore[arg-type]
            best = logits.log_softmax(1).view(2, len(views), -1).mean(0).argmax(1).repeat(2)
            chosen = [maps for _, maps in sorted(outputs.items()) if maps.shape[2] >= LEAST_ROWS] or [outputs[0]]
            maps = chosen[-1]
            (gradient,) = torch.autograd.grad(logits.gather(1, best[:, None]).sum(), maps)
            warm = torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1)).detach()
            heat = warm[: len(views)] + warm[len(views) :].flip((1, 2))
    finally:
        for hook in hooks:
            hook.remove()
    return heat / heat.flatten(1).max(1).values.clamp(min=1e-12)[:, None, None]


def explain(module: nn.Module, batch: list[Tensor]) -> list[np.ndarray]:
    """Give each view's heat map (h, w); the ``forward`` of a stage."""
    return list(grad_cam(module, torch.stack(batch)).cpu().numpy())


def draw_explained(views: Sequence[np.ndarray], heat: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Draw chromosomes beside their heat maps, eight pairs in a row, in the order given.

    Parameters
    ----------
    views : sequence of (H, W) float32
        What the classifier saw: bright on dark.
    heat : sequence of (h, w) float32 in [0, 1]
    names : sequence of str
        The text below each pair.

    Returns
    -------
    (height, width, 3) uint8, sRGB
    """
    height, width = views[0].shape if len(views) else (128, 64)
    cell_w, cell_h = 2 * width + GAP, height + TEXT + GAP
    rows = max(1, -(-len(views) // PER_ROW))
    canvas = np.full((rows * cell_h + GAP, PER_ROW * cell_w + GAP, 3), 255, np.uint8)
    corners = []
    for number, (view, warmth) in enumerate(zip(views, heat, strict=True)):
        top, left = GAP + number // PER_ROW * cell_h, GAP + number % PER_ROW * cell_w
        grey = (np.clip(view / 1.2, 0, 1) * 255).astype(np.uint8)
        colours = cv2.applyColorMap((cv2.resize(warmth, (width, height)) * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
        shown = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
        mixed = cv2.addWeighted(shown, 0.55, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.45, 0)
        canvas[top : top + height, left : left + width] = shown
        canvas[top : top + height, left + width : left + 2 * width] = mixed
        corners.append((left, top + height + 4))
    picture = Picture.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(15)
    for corner, name in zip(corners, names, strict=True):
        draw.text(corner, name, fill=INK, font=font)
    return np.asarray(picture)
