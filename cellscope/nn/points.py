"""Point sampling on feature maps: the tools of PointRend (Kirillov et al., CVPR 2020).

Shape legend: N boxes, C channels, P points, H x W a map. Point coordinates are (x, y) in [0, 1], where 0 and 1 are
the outer edges of the first and last pixel, so that a pixel's centre lies at (i + 0.5) / size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def point_sample(maps: Tensor, points: Tensor) -> Tensor:
    """Sample maps bilinearly at points.

    Parameters
    ----------
    maps : (N, C, H, W) float
    points : (N, P, 2) float

    Returns
    -------
    (N, C, P) float
        Zero outside the map.
    """
    sampled = F.grid_sample(maps, 2.0 * points.unsqueeze(2).to(maps.dtype) - 1.0, mode="bilinear", align_corners=False)
    return sampled.squeeze(3)


def regular_grid(count: int, side: int, device: torch.device) -> Tensor:
    """Give the centres of a `side` x `side` grid, row by row: (count, side * side, 2)."""
    to_unit = torch.tensor([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]], device=device)
    grid = F.affine_grid(to_unit, [1, 1, side, side], align_corners=False)
    return grid.reshape(1, -1, 2).expand(count, -1, -1)


def points_in_image(boxes: Tensor, points: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Turn box-relative points into image-relative ones.

    Parameters
    ----------
    boxes : (N, 4) float
        x0, y0, x1, y1 in pixels.
    points : (N, P, 2) float, relative to each box
    image_size : (height, width) of the tensor the features were made from, padding included

    Returns
    -------
    (N, P, 2) float, relative to the image
    """
    size = boxes[:, None, 2:] - boxes[:, None, :2]
    extent = torch.tensor([image_size[1], image_size[0]], dtype=points.dtype, device=points.device)
    return (boxes[:, None, :2] + points * size) / extent


def sample_in_boxes(features: Tensor, boxes: list[Tensor], points: list[Tensor], image_size: tuple[int, int]) -> Tensor:
    """Sample one level's features at box-relative points of every image of a batch.

    Parameters
    ----------
    features : (B, C, H, W) float
    boxes : B tensors (N_b, 4)
    points : B tensors (N_b, P, 2)
    image_size : (height, width)

    Returns
    -------
    (sum N_b, C, P) float
    """
    sampled = []
    for feature, box, point in zip(features, boxes, points, strict=True):
        count, per_box = point.shape[:2]
        where = points_in_image(box, point, image_size).reshape(1, count * per_box, 2)
        values = point_sample(feature[None], where)[0]
        sampled.append(values.reshape(len(feature), count, per_box).permute(1, 0, 2))
    return torch.cat(sampled)


def uncertain_points(
    logits_at: Callable[[Tensor], Tensor], count: int, total: int, *, oversample: int = 3, important: float = 0.75
) -> Tensor:
    """Choose training points: the most uncertain of a random oversample, plus random ones (PointRend section 3.1).

    Parameters
    ----------
    logits_at : callable
        Points (N, P, 2) -> coarse logits of the true class (N, P).
    count : int
        Boxes, N.
    total : int
        Points per box.

    Returns
    -------
    (N, total, 2) float
        On the device of the logits.
    """
    first = torch.rand(count, total * oversample, 2)
    logits = logits_at(first)
    first = first.to(logits.device)
    n_important = int(important * total)
    chosen = (-logits.abs()).topk(n_important, dim=1).indices
    picked = first.gather(1, chosen[..., None].expand(-1, -1, 2))
    rest = torch.rand(count, total - n_important, 2, device=logits.device)
    return torch.cat([picked, rest], 1)


def subdivide(logits: Tensor, point_logits: Callable[[Tensor, Tensor], Tensor], points_per_step: int) -> Tensor:
    """Double a mask's resolution and decide its most uncertain cells anew (PointRend section 3.1, inference).

    Parameters
    ----------
    logits : (N, 1, H, W) float
    point_logits : callable
        Points (N, P, 2) and the doubled map -> fresh logits (N, P).
    points_per_step : int
        At most this many cells of each map are decided anew.

    Returns
    -------
    (N, 1, 2H, 2W) float
    """
    doubled = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
    n, _, height, width = doubled.shape
    flat = doubled.view(n, -1)
    count = min(points_per_step, height * width)
    cells = (-flat.abs()).topk(count, dim=1).indices
    across, down = 1.0 / width, 1.0 / height
    # Written like PointRend's own code, since another rounding chooses other points.
    points = torch.stack([across / 2 + (cells % width) * across, down / 2 + (cells // width) * down], 2)
    points = points.to(logits.dtype)
    return flat.scatter(1, cells, point_logits(points, doubled).to(flat.dtype)).view_as(doubled)
