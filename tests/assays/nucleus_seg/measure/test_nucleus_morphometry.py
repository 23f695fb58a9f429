"""Measurements of nuclei whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.nucleus_seg import disc

from cellscope.assays.nucleus_seg.measure.morphometry import count_lobes, measure_nuclei, roughness, texture

SHAPE = (120, 200)


def test_discs_and_the_nucleus_to_cell_ratio() -> None:
    labels = np.zeros(SHAPE, int)
    labels[disc(SHAPE, 60, 50, 20)] = 1
    labels[disc(SHAPE, 60, 150, 30)] = 2
    cells = np.where(disc(SHAPE, 60, 50, 40), 1, labels)
    rgb = np.full((*SHAPE, 3), 200, np.uint8)
    rgb[labels > 0] = (90, 25, 140)
    table = measure_nuclei(labels, cells, rgb, 0.1).set_index("label")
    assert table.loc[1, "nucleus_cell_ratio"] == pytest.approx(0.25, rel=0.03)
    assert table.loc[2, "nucleus_cell_ratio"] == 1
    assert table["circularity"].min() > 0.88
    assert table["solidity"].min() > 0.95
    assert table.loc[1, "area_um2"] == pytest.approx(np.pi * 4, rel=0.02)
    assert table.loc[1, "cell_area_um2"] == pytest.approx(np.pi * 16, rel=0.02)
    assert table["intensity_mean_green"].tolist() == [25, 25]
    assert table["density_mean"].tolist() == pytest.approx([-np.log10(25 / 255)] * 2)
    assert table["n_lobes"].tolist() == [1, 1]
    assert not table["cut_by_border"].any()
    empty = measure_nuclei(np.zeros(SHAPE, int), None, rgb, None)
    assert len(empty) == 0
    assert list(empty.columns) == list(measure_nuclei(labels, None, rgb, None).columns)
    assert measure_nuclei(labels, None, rgb, None)["nucleus_cell_ratio"].isna().all()


def test_the_border_is_seen() -> None:
    labels = disc(SHAPE, 5, 50, 20).astype(int)
    assert measure_nuclei(labels, None, np.zeros((*SHAPE, 3), np.uint8), None)["cut_by_border"].all()


@pytest.mark.parametrize("radius", [9, 16, 30])
def test_lobes(radius: int) -> None:
    shape = (6 * radius, 9 * radius)
    y = 3 * radius
    one = disc(shape, y, 2 * radius, radius)
    two = one | disc(shape, y, 3.7 * radius, radius)
    three = two | disc(shape, y, 5.4 * radius, radius)
    apart = three | disc(shape, y, 7.6 * radius, radius)
    assert count_lobes(one) == (1, 1)
    assert count_lobes(two) == (2, 1)
    assert count_lobes(three) == (3, 1)
    assert count_lobes(apart) == (4, 2)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    ellipse = ((rows - y) / radius) ** 2 + ((columns - 4 * radius) / (2.5 * radius)) ** 2 <= 1
    assert count_lobes(ellipse)[0] == 1


def test_roughness_is_about_the_outline_not_the_shape() -> None:
    rows, columns = np.mgrid[:200, :200]
    angle = np.arctan2(rows - 100, columns - 100)
    radius = np.hypot(rows - 100, columns - 100)
    smooth, lobed = radius <= 60, radius <= 60 + 15 * np.cos(3 * angle)
    rough = radius <= 60 + 4 * np.cos(24 * angle)
    assert roughness(smooth) < 0.012
    assert roughness(lobed) < 0.02
    assert roughness(rough) > 0.035
    assert roughness(np.ones((1, 1), bool)) == 0


def test_texture_by_hand() -> None:
    mask = np.ones((16, 16), bool)
    flat = texture(np.full((16, 16), 100, np.uint8), mask)
    assert (flat["texture_contrast"], flat["texture_energy"], flat["texture_entropy"]) == (0, 1, 0)
    board = np.indices((16, 16)).sum(0) % 2 * 255
    checked = texture(board.astype(np.uint8), mask)
    # along rows and columns every neighbour differs by 15 levels, along diagonals none does
    assert checked["texture_contrast"] == pytest.approx((225 + 0 + 225 + 0) / 4)
    half = mask.copy()
    half[:, 8:] = False
    outside = board.astype(np.uint8).copy()
    outside[:, 8:] = 77
    assert texture(outside, half) == texture(board.astype(np.uint8), half)
    assert np.isnan(texture(np.zeros((3, 3), np.uint8), np.eye(1, 9).reshape(3, 3) > 0)["texture_contrast"])
