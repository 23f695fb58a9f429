"""The scale at which an image goes through the network: estimated from the image, then from the nuclei found."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellscope.assays.nucleus_seg.segment.debris import usual_area
from cellscope.assays.nucleus_seg.segment.instances import split_cells
from cellscope.assays.nucleus_seg.segment.passes import CORE, LARGEST_WHOLE, MARGIN, as_input, cut_pass, plan_passes
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.assays.nucleus_seg.segment.subject import OTSU, PART, factor_of, maps_of, network_diameter, rgb_of
from cellscope.engine.assay import Subject
from cellscope.imaging.scaling import far_off, resize_to, scaled_shape
from cellscope.imaging.smear import guess_diameter, has_colour, otsu_classes
from cellscope.imaging.tiling import Grid, cut_window

#: What a white blood cell's nucleus measures, micrometres, where the pixel size is known: a first guess only.
USUAL_UM = 9.0
#: The darkest Otsu class's inscribed circles are this share of the nuclei's diameter (median over three sources).
OTSU_SHARE = 0.68
#: An estimate wrong by more than this factor is made once more, at the better scale.
TOLERANCE = 2.0
#: An own guess that differs from the pixel size by more than this factor is worth a look where no nucleus was found.
DOUBTED = 4.0
#: Windows of a large smear in which its scale is estimated.
WINDOWS = 4


def cut_estimate(subject: Subject[State]) -> list[np.ndarray]:
    """Cut what the scale is estimated from: the whole image, or the darkest windows of a large one."""
    options = subject.options
    rgb = rgb_of(subject)
    subject.state.colour = has_colour(rgb)
    if subject.cards[PART].arch == OTSU or not network_diameter(subject):
        subject.state.diameter = options.nucleus_diameter
        return []
    if options.nucleus_diameter:
        subject.state.diameter = options.nucleus_diameter
        return []
    pixel = subject.image.pixel_size_um
    subject.state.diameter = USUAL_UM / pixel if pixel else _guess(rgb)
    return _inputs(subject, rgb)


def _guess(rgb: np.ndarray) -> float:
    """Guess the diameter of the nuclei from what is dark."""
    found = guess_diameter(rgb)
    # Nothing stands out: a quarter of the image is as good a guess as any, for an image of one cell.
    return found / OTSU_SHARE if found else max(min(rgb.shape[:2]) / 4, 8.0)


def _inputs(subject: Subject[State], rgb: np.ndarray) -> list[np.ndarray]:
    assert subject.state.diameter is not None
    factor = factor_of(subject, subject.state.diameter)
    size = scaled_shape(rgb.shape, factor)
    if max(size) <= LARGEST_WHOLE:
        (way,) = plan_passes(rgb.shape, factor)
        return cut_pass(rgb, way)
    scaled = resize_to(rgb, size)
    grid = Grid(size, CORE, MARGIN)
    dark = otsu_classes(scaled) == 2
    cores = sorted(grid.cores, key=lambda at: -int(dark[at[0] : at[0] + CORE, at[1] : at[1] + CORE].sum()))
    return [as_input(cut_window(scaled, grid, core)) for core in cores[:WINDOWS]]


def estimate_scale(subject: Subject[State], outputs: list[Any]) -> None:
    """Estimate the scale from the nuclei that the network found."""
    if not outputs:
        return
    options = subject.options
    areas = []
    for output in outputs:
        maps = maps_of(output, subject)
        cells = split_cells(maps, threshold=options.probability_threshold, depth=options.split_depth)
        areas.append(np.bincount(cells[maps.nucleus > options.probability_threshold * 255])[1:])
    usual = usual_area(np.concatenate(areas))
    state = subject.state
    state.again = False
    if usual:
        before = state.diameter
        assert before is not None
        diameter = float(np.sqrt(4 * usual / np.pi) / factor_of(subject, before))
        state.again = far_off(diameter, before, TOLERANCE)
        state.diameter = diameter
    doubted = state.stated is not None
    if doubted and not usual:  # neither where the pixel size says nor where the image does
        state.diameter = state.stated
    if not doubted and subject.image.pixel_size_um and (not usual or state.again):
        _doubt(subject)


def _doubt(subject: Subject[State]) -> None:
    """Look at the image's own scale where that of the pixel size shows no nuclei, or none of the size expected."""
    state = subject.state
    stated = USUAL_UM / (subject.image.pixel_size_um or USUAL_UM)
    own = _guess(rgb_of(subject))
    if far_off(own, stated, DOUBTED):
        state.again, state.diameter, state.stated = True, own, state.diameter


def cut_estimate_again(subject: Subject[State]) -> list[np.ndarray]:
    """Cut once more where the first estimate was far off."""
    if not subject.state.again:
        return []
    subject.state.again = False
    return _inputs(subject, rgb_of(subject))
