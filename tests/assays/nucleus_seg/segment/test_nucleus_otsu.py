"""The baseline on flat pictures: what it finds, and that it says when it finds nothing."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from cellscope.assays.nucleus_seg.assay import OTSU_CARD, conclude, otsu_nuclei
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.assays.nucleus_seg.segment.subject import PART
from cellscope.engine.assay import Subject
from cellscope.io.image import Image


def flat(count: int) -> np.ndarray:
    """Draw dark discs on one colour of paper: two grey values in all."""
    image = np.full((120, 160, 3), (243, 228, 220), np.uint8)
    for number in range(count):
        cv2.circle(image, (30 + 45 * number, 60), 14, (92, 50, 140), -1)
    return image


def test_three_discs_of_two_colours_are_three_nuclei() -> None:
    found = otsu_nuclei(flat(3))
    assert found.labels.max() == 3
    np.testing.assert_array_equal(found.labels > 0, flat(3)[..., 1] == 50)


@pytest.mark.parametrize("count", [0, 2])
def test_nothing_found_is_said_and_nothing_else_complains(count: int) -> None:
    subject = Subject("a.png", Image(flat(count), name="a.png"), "image", PredictOptions(), {PART: OTSU_CARD}, State())
    subject.state.colour, subject.state.diameter = True, None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas warns of the mean of nothing
        result = conclude(subject)
    assert len(result.objects) == count
    assert any("found no nucleus" in text for text in result.warnings) == (count == 0)
