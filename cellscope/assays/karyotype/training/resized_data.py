"""Whole metaphases resized to one shape, as the paper trains its detectors (256 x 256, flipped at random)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from cellscope.assays.karyotype.datasets.metaphase import Metaphase, erase_ignored
from cellscope.assays.karyotype.detect.inputs import resize_to, resized_shape


class DetectResized(Dataset):
    """Whole metaphases with their boxes and masks, resized; flipped left to right at random.

    Parameters
    ----------
    metaphases : list of Metaphase
        Their ``scale`` is set to this data set's, along x and y, so that what is found goes back into their pixels.
    normalisation : mapping
        As in the model card (see `cellscope.assays.karyotype.detect.inputs.network_input`); tone ``normalised``.
    flip : float
        Probability of a flip.
    seed : int or None
        With the draw's number, fixes the flip; None gives plain images with their index, for validation.
    """

    def __init__(self, metaphases: list[Metaphase], normalisation: Mapping[str, Any], flip: float, seed: int | None):
        self.metaphases, self.normalisation, self.flip, self.seed = metaphases, normalisation, flip, seed
        for metaphase in metaphases:
            height, width = metaphase.image.shape
            shape = resized_shape(normalisation, (height, width))
            metaphase.scale = np.array([shape[1] / width, shape[0] / height])

    def __len__(self) -> int:
        return len(self.metaphases)

    def __getitem__(self, key: Any) -> tuple[torch.Tensor, Any]:
        """Give the image (1, h, w) and its targets; in training the key is (index, draw)."""
        index, draw = (key, 0) if self.seed is None else key
        metaphase = self.metaphases[index]
        image = erase_ignored(metaphase)
        shape = resized_shape(self.normalisation, (image.shape[0], image.shape[1]))
        small = torch.from_numpy(resize_to(image, shape))[None]
        if self.seed is None:
            return small, index
        boxes, masks, known = _targets(metaphase, shape)
        if np.random.default_rng([self.seed, draw]).random() < self.flip:
            small, masks = small.flip(2), masks.flip(2)
            boxes[:, [0, 2]] = shape[1] - boxes[:, [2, 0]]
        return small, {"boxes": boxes, "masks": masks, "mask_ok": known}


def _targets(metaphase: Metaphase, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scale the truth of one metaphase: boxes (N, 4), masks (N, h, w) uint8, which masks are known (N,) bool."""
    scale = np.resize(np.asarray(metaphase.scale, np.float64), 4)
    boxes = torch.from_numpy((metaphase.boxes * scale).astype(np.float32))
    masks = np.zeros((len(boxes), *shape), np.uint8)
    for index, (mask, (x, y)) in enumerate(zip(metaphase.masks, metaphase.offsets, strict=True)):
        if mask is None:
            continue
        # Half pixels: OpenCV counts from the middle of the first pixel, boxes from its edge.
        matrix = np.array(
            [
                [scale[0], 0, scale[0] * (x + 0.5) - 0.5],
                [0, scale[1], scale[1] * (y + 0.5) - 0.5],
            ]
        )
        soft = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, shape[::-1], flags=cv2.INTER_LINEAR)
        masks[index] = soft > 127
    return boxes, torch.from_numpy(masks), torch.tensor(metaphase.trusted, dtype=torch.bool)
