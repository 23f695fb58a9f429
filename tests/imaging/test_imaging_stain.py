"""Colour deconvolution and tissue on thumbnails."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn.histo import tissue
from skimage.color import rgb2hed, rgb_from_hed

from cellscope.imaging.stain import optical_density, stains
from cellscope.imaging.tissue import glass_colour, tissue_mask


def test_a_known_amount_of_stain_is_found_again() -> None:
    amounts = np.array([[0.6, 0.0], [0.0, 0.4], [0.5, 0.3], [0.0, 0.0]])
    rgb = np.rint(255 * 10 ** -(amounts @ rgb_from_hed[:2])).astype(np.uint8)[None]
    np.testing.assert_allclose(stains(rgb)[0], amounts, atol=0.01)
    assert optical_density(np.array([255, 0, 1], np.uint8)).tolist() == pytest.approx([0, 2.40654, 2.40654])


def test_stains_are_scikit_images_in_base_ten() -> None:
    image = tissue(0)[0]
    theirs = rgb2hed(image)[..., :2]  # in units of -log10(1e-6), cut off at 0
    ours = stains(image)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.maximum(ours, 0), theirs * 6, atol=2e-5)


@pytest.mark.parametrize("glass", [(243, 241, 244), (190, 192, 196), (255, 255, 255)])
def test_tissue_but_no_glass_pen_or_border(glass: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    slide = np.full((300, 400, 3), glass, float) + rng.normal(0, 1.5, (300, 400, 3))
    piece = cv2.resize(tissue(1, 400, 120)[0], (100, 100), interpolation=cv2.INTER_AREA)
    slide[50:150, 50:150] = piece * (np.array(glass) / 243)
    slide = slide.clip(0, 255).astype(np.uint8)
    pens = {(20, 60, 160): 200, (10, 120, 60): 245, (25, 25, 28): 290, (60, 60, 70): 335}
    for colour, column in pens.items():
        cv2.line(slide, (column, 60), (column + 20, 250), colour, 9, cv2.LINE_AA)
    slide[:10] = 8
    slide[:, 390:] = (62, 64, 66)
    mask = tissue_mask(cv2.GaussianBlur(slide, (0, 0), 0.8), 4.0)
    assert mask[50:150, 50:150].all()
    assert not mask[:, 180:].any()
    assert not mask[:12].any()
    assert not mask[200:].any()


def test_an_empty_slide_and_one_full_of_tissue() -> None:
    rng = np.random.default_rng(0)
    assert not tissue_mask((240 + rng.normal(0, 3, (100, 120, 3))).clip(0, 255).astype(np.uint8)).any()
    assert not tissue_mask(np.zeros((50, 50, 3), np.uint8)).any()
    full = cv2.resize(tissue(2, 400, 150)[0], (100, 100), interpolation=cv2.INTER_AREA)
    assert glass_colour(full).tolist() == [243, 243, 243]
    assert tissue_mask(full, 2.0).all()


@pytest.mark.realdata
def test_a_real_slide(real_data: Path) -> None:
    import tifffile

    slide = tifffile.imread(f"{real_data}/histo/wsi/CMU-1-Small-Region.svs")
    mask = tissue_mask(cv2.resize(slide, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), 2.0)
    assert 0.4 < mask.mean() < 0.55  # about half of it is glass
    assert mask[400:500, 220:300].all()
    assert not mask[340:, :100].any()
