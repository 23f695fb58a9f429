"""Point sampling against slow references written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import torch

from cellscope.nn.points import (
    point_sample,
    points_in_image,
    regular_grid,
    sample_in_boxes,
    subdivide,
    uncertain_points,
)


def bilinear(image: np.ndarray, x: float, y: float, *, outside: str) -> float:
    """One value of an (H, W) map at pixel coordinates (centres at integers)."""
    height, width = image.shape
    total = 0.0
    x0, y0 = math.floor(x), math.floor(y)
    for row, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for column, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            if outside == "edge":
                total += wy * wx * image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            elif 0 <= row < height and 0 <= column < width:
                total += wy * wx * image[row, column]
    return total


def test_point_sample_is_bilinear_between_pixel_centres_and_zero_outside() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    points = rng.uniform(-0.2, 1.2, (2, 40, 2)).astype(np.float32)
    got = point_sample(torch.from_numpy(maps), torch.from_numpy(points)).numpy()
    for n in range(2):
        for p in range(40):
            x, y = points[n, p, 0] * 7 - 0.5, points[n, p, 1] * 5 - 0.5
            want = [bilinear(maps[n, c], x, y, outside="zero") for c in range(3)]
            np.testing.assert_allclose(got[n, :, p], want, atol=1e-5)


def test_point_sample_at_a_pixel_centre_gives_the_pixel() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    centre = torch.tensor([[[(2 + 0.5) / 4, (1 + 0.5) / 3]]])
    assert point_sample(image, centre).item() == image[0, 0, 1, 2].item()


def test_regular_grid_runs_row_by_row_through_cell_centres() -> None:
    grid = regular_grid(2, 3, torch.device("cpu"))
    want = [[(column + 0.5) / 3, (row + 0.5) / 3] for row in range(3) for column in range(3)]
    assert grid.shape == (2, 9, 2)
    np.testing.assert_allclose(grid[1].numpy(), want, atol=1e-6)
    image = torch.randn(2, 1, 3, 3)
    torch.testing.assert_close(point_sample(image, grid).view(2, 1, 3, 3), image)


def test_points_in_image_moves_box_corners() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    points = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]])
    got = points_in_image(boxes, points, (80, 40))
    np.testing.assert_allclose(got[0].numpy(), [[0.25, 0.25], [0.75, 0.75], [0.5, 0.375]], atol=1e-6)


def test_sample_in_boxes_keeps_images_and_boxes_apart() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, 4, 8, 8)).astype(np.float32)
    boxes = [np.array([[4, 4, 20, 28]], np.float32), np.array([[0, 0, 32, 32], [8, 2, 12, 30]], np.float32)]
    points = [rng.uniform(0, 1, (len(box), 5, 2)).astype(np.float32) for box in boxes]
    got = sample_in_boxes(
        torch.from_numpy(features),
        [torch.from_numpy(b) for b in boxes],
        [torch.from_numpy(p) for p in points],
        (32, 32),
    )
    assert got.shape == (3, 4, 5)
    row = 0
    for image, (box, point) in enumerate(zip(boxes, points, strict=True)):
        for (x0, y0, x1, y1), where in zip(box, point, strict=True):
            for p, (x, y) in enumerate(where):
                # The features are a quarter of the image: 8 cells for 32 pixels.
                column, line = (x0 + x * (x1 - x0)) / 4 - 0.5, (y0 + y * (y1 - y0)) / 4 - 0.5
                want = [bilinear(features[image, c], column, line, outside="zero") for c in range(4)]
                np.testing.assert_allclose(got[row, :, p].numpy(), want, atol=1e-5)
            row += 1


def test_uncertain_points_are_the_least_decided_of_the_oversample_and_some_random_ones() -> None:
    def logits_at(points: torch.Tensor) -> torch.Tensor:
        return 8 * (points[..., 0] - 0.3)

    torch.manual_seed(5)
    got = uncertain_points(logits_at, 3, 20).numpy()
    torch.manual_seed(5)
    drawn = torch.rand(3, 60, 2).numpy()
    assert got.shape == (3, 20, 2)
    for n in range(3):
        best = sorted(drawn[n].tolist(), key=lambda point: abs(8 * (point[0] - 0.3)))[:15]
        assert sorted(got[n, :15].tolist()) == sorted(best)
        assert got[n, 15:].min() >= 0
        assert got[n, 15:].max() <= 1
        assert not {tuple(p) for p in got[n, 15:]} & {tuple(p) for p in drawn[n]}


def test_subdivide_doubles_bilinearly_and_decides_only_the_uncertain_cells_anew() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 1, 4, 3)).astype(np.float32)
    got = subdivide(
        torch.from_numpy(logits), lambda points, _: 100 * points[..., 1] + 10 * points[..., 0] + 50, 9
    ).numpy()
    assert got.shape == (2, 1, 8, 6)
    for n in range(2):
        doubled = np.array(
            [
                [bilinear(logits[n, 0], (c + 0.5) / 2 - 0.5, (r + 0.5) / 2 - 0.5, outside="edge") for c in range(6)]
                for r in range(8)
            ]
        )
        uncertain = {divmod(int(cell), 6) for cell in np.argsort(np.abs(doubled).ravel())[:9]}
        for row in range(8):
            for column in range(6):
                fresh = 100 * (row + 0.5) / 8 + 10 * (column + 0.5) / 6 + 50
                want = fresh if (row, column) in uncertain else doubled[row, column]
                assert abs(got[n, 0, row, column] - want) < 1e-4


def test_subdivide_of_a_small_map_decides_every_cell() -> None:
    got = subdivide(torch.zeros(1, 1, 2, 2), lambda points, _: points[..., 0], 784)
    np.testing.assert_allclose(got[0, 0].numpy(), np.tile((np.arange(4) + 0.5) / 4, (4, 1)), atol=1e-6)
