"""The mask branch of ChrRender: PointRend's coarse head and point head, sizes as published with detectron2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellscope.nn.points import point_sample, regular_grid, sample_in_boxes, subdivide, uncertain_points

COARSE_INPUT = 14
COARSE_SIDE = 7


class CoarseHead(nn.Module):
    """A 7 x 7 mask per box from a 14 x 14 grid of the finest features.

    Parameters
    ----------
    in_channels, conv_channels, hidden, n_classes : int
        PointRend's own are 256, 256, 1024 and the number of foreground classes.
    """

    def __init__(self, in_channels: int, conv_channels: int, hidden: int, n_classes: int):
        super().__init__()
        self.n_classes = n_classes
        self.reduce_spatial_dim_conv = nn.Conv2d(in_channels, conv_channels, 2, stride=2)
        self.fc1 = nn.Linear(conv_channels * COARSE_SIDE**2, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.prediction = nn.Linear(hidden, n_classes * COARSE_SIDE**2)
        nn.init.normal_(self.prediction.weight, std=0.001)
        nn.init.zeros_(self.prediction.bias)

    def forward(self, sampled: Tensor) -> Tensor:
        """(N, C, 14, 14) features -> (N, K, 7, 7) logits."""
        hidden = F.relu(self.reduce_spatial_dim_conv(sampled)).flatten(1)
        hidden = F.relu(self.fc2(F.relu(self.fc1(hidden))))
        return self.prediction(hidden).view(-1, self.n_classes, COARSE_SIDE, COARSE_SIDE)


class PointHead(nn.Module):
    """A small perceptron that decides single points from fine features and the coarse mask there."""

    def __init__(self, in_channels: int, hidden: int, n_classes: int, layers: int = 3):
        super().__init__()
        self.layers = layers
        width = in_channels + n_classes
        for index in range(1, layers + 1):
            self.add_module(f"fc{index}", nn.Conv1d(width, hidden, 1))
            width = hidden + n_classes
        self.predictor = nn.Conv1d(width, n_classes, 1)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)  # type: ignore[arg-type]

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(N, C, P) fine features, (N, K, P) coarse logits -> (N, K, P) logits; the coarse ones enter every layer."""
        x = fine
        for index in range(1, self.layers + 1):
            x = F.relu(_beside(getattr(self, f"fc{index}"), x, coarse))
        return _beside(self.predictor, x, coarse)


def _beside(layer: nn.Conv1d, x: Tensor, coarse: Tensor) -> Tensor:
    """Apply a convolution of length 1 to `x` with `coarse` beside it, without copying both into one tensor.

    As two products of matrices: oneDNN is slow where the number of channels is no multiple of eight.
    """
    assert layer.bias is not None
    weight, width = layer.weight[..., 0].expand(len(x), -1, -1), x.shape[1]
    own = torch.baddbmm(layer.bias[:, None], weight[:, :, width:], coarse)
    return torch.baddbmm(own, weight[:, :, :width], x)


class RenderHead(nn.Module):
    """Coarse mask, then points: training losses and rendered masks.

    Parameters
    ----------
    in_channels : int
        Channels of the finest pyramid level.
    conv_channels, hidden, point_hidden, n_classes : int
    train_points : int
        Points per box in training (196 upstream).
    steps : int
        Doublings after the full 28 x 28 grid: 3 give 224 x 224, 1 gives 56 x 56.
    points_per_step : int
        784 upstream.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        conv_channels: int = 256,
        hidden: int = 1024,
        point_hidden: int = 256,
        n_classes: int = 1,
        train_points: int = 196,
        steps: int = 3,
        points_per_step: int = 784,
    ):
        super().__init__()
        self.coarse_head = CoarseHead(in_channels, conv_channels, hidden, n_classes)
        self.point_head = PointHead(in_channels, point_hidden, n_classes)
        self.train_points, self.steps, self.points_per_step = train_points, steps, points_per_step

    def coarse(self, features: Tensor, boxes: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Coarse logits (sum N, K, 7, 7) of boxes on the finest level."""
        grids = [regular_grid(len(box), COARSE_INPUT, features.device) for box in boxes]
        sampled = sample_in_boxes(features, boxes, grids, image_size)
        return self.coarse_head(sampled.reshape(len(sampled), -1, COARSE_INPUT, COARSE_INPUT))

    def losses(
        self, features: Tensor, boxes: list[Tensor], labels: Tensor, masks: Tensor, image_size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Binary cross entropy of the coarse mask and of the points.

        Parameters
        ----------
        features : (B, C, H, W) float
        boxes : B tensors (N_b, 4)
        labels : (sum N_b,) int64
            Foreground class of each box, counted from 0.
        masks : (sum N_b, S, S) float
            True masks resampled over each box (S a fixed side).
        """
        coarse = self.coarse(features, boxes, image_size)
        index = torch.arange(len(labels), device=labels.device)
        own_coarse = coarse[index, labels]
        truth = masks[:, None]
        grid = regular_grid(len(labels), COARSE_SIDE, labels.device)
        coarse_loss = F.binary_cross_entropy_with_logits(own_coarse.flatten(1), point_sample(truth, grid)[:, 0])
        with torch.no_grad():
            points = uncertain_points(
                lambda where: point_sample(own_coarse[:, None], where.to(labels.device))[:, 0],
                len(labels),
                self.train_points,
            )
        split = list(points.split([len(box) for box in boxes]))
        fine = sample_in_boxes(features, boxes, split, image_size)
        logits = self.point_head(fine, point_sample(coarse, points))[index, labels]
        point_loss = F.binary_cross_entropy_with_logits(logits, point_sample(truth, points)[:, 0])
        return {"loss_mask_coarse": coarse_loss, "loss_mask_point": point_loss}

    @torch.no_grad()
    def render(self, features: Tensor, boxes: list[Tensor], labels: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Mask probabilities (sum N, S, S), S = 28 * 2 ** steps, over each box."""
        if len(labels) == 0:
            side = 28 * 2**self.steps
            return features.new_zeros(0, side, side)
        coarse = self.coarse(features, boxes, image_size)
        index = torch.arange(len(labels), device=labels.device)
        counts = [len(box) for box in boxes]

        def decide(points: Tensor, _doubled: Tensor | None = None) -> Tensor:
            fine = sample_in_boxes(features, boxes, list(points.split(counts)), image_size)
            return self.point_head(fine, point_sample(coarse, points))[index, labels]

        # At 28 x 28 every cell fits into one step's points, so subdivision starts from a full grid.
        grid = regular_grid(len(labels), 28, features.device)
        logits = decide(grid).view(-1, 1, 28, 28)
        for _ in range(self.steps):
            logits = subdivide(logits, decide, self.points_per_step)
        return logits[:, 0].float().sigmoid()
