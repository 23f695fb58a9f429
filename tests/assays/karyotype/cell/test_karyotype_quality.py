"""The quality of a metaphase: what raises and lowers each measure, and that the karyotype itself does not."""

from __future__ import annotations

import cv2
import numpy as np
from drawn.karyotype import karyotype, metaphase
from drawn.named_cells import named

from cellscope.assays.karyotype.cell.chromosomes import Cell
from cellscope.assays.karyotype.cell.quality import NAMES, measure
from cellscope.imaging.tone import normalise_tone, to_grey


def quality(made, cell=None, blur=0.0):
    grey = to_grey(made.pixels)
    grey = cv2.GaussianBlur(grey, (0, 0), blur) if blur else grey
    return measure(cell or named(made), normalise_tone(grey)[0])


def test_what_lies_apart_is_spread_and_what_crosses_overlaps() -> None:
    apart, tangled = quality(metaphase(3, crossing=0, touching=0)), quality(metaphase(3, crossing=8, touching=6))
    assert apart.spread == 1.0
    assert apart.overlap == 0.0
    assert tangled.spread <= 1 - 2 * 14 / 46 + 0.05
    assert 0.0 < tangled.overlap < 0.2
    assert tangled.quality < apart.quality <= 1.0


def test_a_blurred_image_is_out_of_focus() -> None:
    made = metaphase(4, crossing=0, touching=0)
    steps = [quality(made, blur=blur) for blur in (0.0, 4.0, 8.0)]
    assert steps[0].focus > steps[1].focus > steps[2].focus
    assert steps[0].quality > steps[1].quality > steps[2].quality


def test_half_a_cell_is_incomplete_and_so_are_two_in_one_image() -> None:
    half = quality(metaphase(5, classes=karyotype("XY")[:23], crossing=0, touching=0))
    assert half.completeness == 0.5
    whole = metaphase(5, crossing=0, touching=0)
    cell = named(whole)
    cell.chromosomes *= 2
    assert quality(whole, cell).completeness == 0.5


def test_a_gain_or_a_loss_costs_a_fiftieth() -> None:
    """Who chooses the best cells must not choose the normal ones."""
    normal = quality(metaphase(6, crossing=0, touching=0)).quality
    for classes in ([*karyotype("XX"), "21"], karyotype("XX")[:-1]):
        other = quality(metaphase(6, classes=classes, crossing=0, touching=0)).quality
        assert abs(other - normal) < 0.04


def test_unsure_classes_lower_it_and_no_chromosome_has_none() -> None:
    made = metaphase(7, crossing=0, touching=0)
    cell = named(made)
    for one in cell.chromosomes:
        one.confidence = 0.5
    unsure = quality(made, cell)
    assert unsure.certainty == 0.5
    assert unsure.quality < 0.6 * quality(made).quality
    assert list(unsure.rounded()) == list(NAMES)
    assert measure(Cell([], (50, 50), False), np.zeros((50, 50), np.float32)) is None
