"""The baseline without weights."""

from __future__ import annotations

import numpy as np
import pytest

from cellscope.assays.histo.nuclei.baseline import otsu_nuclei, otsu_threshold

HAEMATOXYLIN, EOSIN = (95, 65, 150), (235, 170, 200)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Draw two touching nuclei, one apart, a speck and a red cell."""
    rows, columns = np.mgrid[:90, :140]
    image = np.full((90, 140, 3), EOSIN, np.uint8)
    truth = np.zeros((90, 140), int)
    for number, (y, x, r) in enumerate(((30, 30, 12), (30, 52, 12), (65, 110, 9)), 1):
        truth[((rows - y) ** 2 + (columns - x) ** 2 <= r * r) & (truth == 0)] = number
    image[truth > 0] = HAEMATOXYLIN
    image[80:82, 10:12] = HAEMATOXYLIN
    image[(rows - 20) ** 2 + (columns - 110) ** 2 <= 100] = (220, 60, 70)
    return image, truth


def test_the_baseline_finds_drawn_nuclei() -> None:
    image, truth = drawn()
    nuclei = otsu_nuclei(image)
    assert nuclei.labels.max() == 3
    assert nuclei.labels.dtype == np.int32
    assert nuclei.probabilities.tolist() == [[1.0]] * 3
    assert nuclei.score.tolist() == [1.0] * 3
    for number in (1, 2, 3):
        found = nuclei.labels == np.bincount(nuclei.labels[truth == number]).argmax()
        assert ((truth == number) & found).sum() > 0.85 * ((truth == number) | found).sum()


def test_windows_can_share_a_threshold() -> None:
    image, _ = drawn()
    assert np.array_equal(otsu_nuclei(image, threshold=otsu_threshold(image)).labels, otsu_nuclei(image).labels)
    assert otsu_nuclei(image, threshold=10.0).labels.max() == 0


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_one_colour_does_not_fail(value: int) -> None:
    nuclei = otsu_nuclei(np.full((32, 32, 3), value, np.uint8))
    assert len(nuclei.score) == nuclei.labels.max()
