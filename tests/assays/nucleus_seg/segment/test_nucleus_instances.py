"""From probabilities to nuclei."""

from __future__ import annotations

import numpy as np
import pytest
from drawn.nucleus_seg import disc
from scipy import ndimage

from cellscope.assays.nucleus_seg.segment.debris import beside, nucleus_odds, surest
from cellscope.assays.nucleus_seg.segment.instances import Maps, expected_dice, find_nuclei, split_cells, usual_area


def maps_of(cells: list[np.ndarray], nuclei: np.ndarray, *, distance: bool = True) -> Maps:
    """Make what a perfect network says of cells and nuclei."""
    inside = np.any(cells, axis=0)
    height = sum(
        (ndimage.distance_transform_edt(cell) / ndimage.distance_transform_edt(cell).max() for cell in cells),
        np.zeros(inside.shape),
    )
    return Maps(
        np.where(nuclei, 250, 2).astype(np.uint8),
        np.where(inside & ~nuclei, 250, 2).astype(np.uint8),
        (np.clip(height, 0, 1) * 255).astype(np.uint8) if distance else None,
    )


SHAPE = (100, 160)


def test_two_cells_that_touch_are_two_and_two_lobes_are_one() -> None:
    left, right = disc(SHAPE, 50, 45, 32), disc(SHAPE, 50, 112, 32) & ~disc(SHAPE, 50, 45, 34)
    lobes = disc(SHAPE, 40, 35, 11) | disc(SHAPE, 62, 52, 11)  # two parts in the left cell
    nuclei = lobes | disc(SHAPE, 50, 112, 18)
    found = find_nuclei(maps_of([left, right], nuclei), SHAPE)
    assert found.labels.max() == 2
    assert len(np.unique(found.labels[lobes])) == 1
    np.testing.assert_array_equal(found.labels > 0, nuclei)
    assert found.cells is not None
    assert ((found.cells > 0) == (left | right)).mean() > 0.99
    assert (found.cells[found.labels > 0] == found.labels[found.labels > 0]).all()
    assert found.score.min() > 0.9


@pytest.mark.parametrize("scale", [0.3, 1, 4])
def test_touching_nuclei_without_a_distance_head_are_parted_at_the_neck(scale: float) -> None:
    shape = (round(100 * scale), round(160 * scale))
    nuclei = disc(shape, 50 * scale, 50 * scale, 28 * scale) | disc(shape, 50 * scale, 102 * scale, 28 * scale)
    found = find_nuclei(Maps(np.where(nuclei, 255, 0).astype(np.uint8), None, None), shape)
    assert found.labels.max() == 2
    assert found.cells is None


@pytest.mark.parametrize(("apart", "number"), [(18, 1), (28, 2)])
@pytest.mark.parametrize("scale", [0.4, 4])
def test_a_notch_parts_nuclei_by_its_share_of_their_size(scale: float, apart: float, number: int) -> None:
    shape = (round(100 * scale), round(160 * scale))
    left, right = ((75 + side * apart / 2) * scale for side in (-1, 1))
    nuclei = disc(shape, 50 * scale, left, 28 * scale) | disc(shape, 50 * scale, right, 28 * scale)
    found = find_nuclei(Maps(np.where(nuclei, 255, 0).astype(np.uint8), None, None), shape)
    assert found.labels.max() == number


def test_debris_slivers_and_doubtful_specks_are_dropped_and_counted() -> None:
    cell = disc(SHAPE, 50, 50, 34)
    speck, sliver, pale = disc(SHAPE, 15, 120, 5), disc(SHAPE, 50, 160, 9), disc(SHAPE, 80, 120, 11)
    nuclei = disc(SHAPE, 50, 50, 26) | speck | sliver | pale
    maps = maps_of([cell, speck, sliver, pale], nuclei)
    maps.nucleus[pale] = 160
    found = find_nuclei(maps, SHAPE)
    assert (found.labels.max(), found.dropped) == (1, 3)
    assert found.labels[50, 50] == 1
    kept = find_nuclei(maps, SHAPE, min_area=0, doubtful_area=0)
    assert kept.labels.max() == 4


def test_red_cells_that_a_network_takes_for_nuclei_are_dropped_by_their_stain() -> None:
    nucleus, pale, red, speck = (disc(SHAPE, 50, x, 14) for x in (20, 60, 100, 140))
    cells = [nucleus, pale, red, speck]
    maps = maps_of(cells, np.any(cells, axis=0))
    rgb = np.full((*SHAPE, 3), 240, np.uint8)
    rgb[nucleus], rgb[pale], rgb[red], rgb[speck] = (80, 40, 130), (130, 76, 165), (200, 110, 120), (190, 90, 170)
    found = find_nuclei(maps, SHAPE, rgb=rgb)
    assert [int(found.labels[50, x]) > 0 for x in (20, 60, 100)] == [True, True, False]
    assert find_nuclei(maps, SHAPE, rgb=rgb, min_nucleus=0).labels.max() == 4
    assert find_nuclei(maps, SHAPE).labels.max() == 4  # without the image nothing is compared
    maps.nucleus[speck] = 180  # what the network doubts must look the more like a nucleus
    found = find_nuclei(maps, SHAPE, rgb=rgb)
    assert [int(found.labels[50, x]) > 0 for x in (20, 60, 100, 140)] == [True, True, False, False]
    assert found.dropped == 2


@pytest.mark.parametrize("colour", [(140, 142, 200), (200, 150, 120), (160, 160, 160)])
def test_red_cells_of_any_colour_are_told_from_nuclei_that_are_stained_unevenly(colour: tuple[int, int, int]) -> None:
    nuclei = [disc(SHAPE, 50, x, 13) for x in (20, 50, 80)]
    red = [disc(SHAPE, y, 125, 13) for y in (20, 50, 80)]
    maps = maps_of([*nuclei, *red], np.any([*nuclei, *red], axis=0))
    rgb = np.full((*SHAPE, 3), 240, np.uint8)
    for place, share in zip(nuclei, (1.0, 0.74, 0.53), strict=True):
        rgb[place] = 240 * np.exp(-share * np.array([1.1, 1.8, 0.6]))
    for place in red:
        rgb[place] = colour
    found = find_nuclei(maps, SHAPE, rgb=rgb)
    assert [int(found.labels[50, x]) > 0 for x in (20, 50, 80, 125)] == [True, True, True, False]
    assert found.labels.max() == 3
    # Without the one between, the pale one is too unlike the dark one.
    maps = maps_of([nuclei[0], nuclei[2]], nuclei[0] | nuclei[2])
    assert find_nuclei(maps, SHAPE, rgb=rgb).labels.max() == 1


def test_a_pale_nucleus_beside_a_dark_one_is_spared_unless_red_cells_lie_about() -> None:
    dark, pale, apart = (
        disc(SHAPE, 50, 40, 24),
        disc(SHAPE, 50, 84, 24) & ~disc(SHAPE, 50, 40, 24),
        disc(SHAPE, 30, 140, 12),
    )
    rgb = np.full((*SHAPE, 3), 240, np.uint8)
    for place, share in ((dark, 1.0), (pale, 0.53), (apart, 0.5)):
        rgb[place] = 240 * np.exp(-share * np.array([1.1, 1.8, 0.6]))
    both = maps_of([dark, pale], dark | pale)
    assert find_nuclei(both, SHAPE, rgb=rgb).labels.max() == 2
    three = maps_of([dark, pale, apart], dark | pale | apart)
    assert find_nuclei(three, SHAPE, rgb=rgb).labels.max() == 1
    rgb[pale] = (200, 150, 120)  # of another colour: a red cell that touches the nucleus
    assert find_nuclei(both, SHAPE, rgb=rgb).labels.max() == 1


def test_a_red_cell_in_a_white_cell_is_neither_lobe_nor_cytoplasm() -> None:
    cell, lobe, red = disc(SHAPE, 50, 60, 34), disc(SHAPE, 50, 50, 14), disc(SHAPE, 50, 80, 9)
    maps = maps_of([cell], lobe | red)
    rgb = np.full((*SHAPE, 3), 240, np.uint8)
    rgb[cell], rgb[lobe], rgb[red] = (190, 170, 210), (80, 40, 130), (200, 110, 120)
    with_red = find_nuclei(maps, SHAPE)
    found = find_nuclei(maps, SHAPE, rgb=rgb)
    assert (with_red.labels.max(), found.labels.max()) == (1, 1)
    np.testing.assert_array_equal(found.labels > 0, lobe)
    assert found.cells is not None
    assert not found.cells[red].any()
    assert found.score[0] > 0.9  # what was taken out does not count against the rest


def test_beside_the_surest_by_hand() -> None:
    areas = np.array([100.0, 50, 5])
    densities = np.array([[1.0, 2.0, 0.5], [0.5, 1.0, 0.25], [0.0, 3.0, 0.0]])  # the last one is a speck
    scores = np.array([0.9, 0.5, 0.99])
    assert surest(areas, densities, scores) == 0
    said = beside(0, areas, densities, scores)
    np.testing.assert_array_equal(said[0], 0)
    np.testing.assert_allclose(said[1], [np.log(0.5), np.log(0.5), 0, np.log(0.5), -np.log(9)], atol=1e-6)
    assert said[2, 2] == pytest.approx(np.arccos(2 / np.sqrt(5.25)), abs=0.02)
    # Black fill is no stain, however large, and what hardly absorbs tells nothing.
    ink = np.vstack([densities, [3.9, 3.9, 3.9]])
    assert surest(np.append(areas, 500), ink, np.append(scores, 1)) == 0
    np.testing.assert_allclose(beside(0, areas, densities * 1e-3, scores)[:, :3], 0, atol=1e-6)
    assert nucleus_odds(np.zeros(0), np.zeros((0, 3)), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(("blue", "nucleus"), [(0.25, True), (1.8, False)])
def test_colour_alone_tells(blue: float, nucleus: bool) -> None:
    """As strong as one another in green and red: what takes away blue, as no dye of the surest does, is none."""
    densities = np.array([[0.8, 1.4, 0.4], [0.5, 0.87, blue]])
    odds = nucleus_odds(np.full(2, 200.0), densities, np.full(2, 0.95))
    assert (odds[1] > 0) == nucleus


def test_the_likeliest_is_kept_however_much_is_asked() -> None:
    places = [disc(SHAPE, 50, x, 14) for x in (20, 60, 100)]
    maps = maps_of(places, np.any(places, axis=0))
    rgb = np.full((*SHAPE, 3), 240, np.uint8)
    for place, colour in zip(places, ((80, 40, 130), (130, 76, 165), (130, 76, 165)), strict=True):
        rgb[place] = colour
    found = find_nuclei(maps, SHAPE, rgb=rgb, min_nucleus=0.9999)
    np.testing.assert_array_equal(found.labels > 0, places[0])


def test_the_only_nucleus_is_kept_even_at_the_border() -> None:
    cell = disc(SHAPE, 0, 80, 20)
    found = find_nuclei(maps_of([cell], disc(SHAPE, 0, 80, 12)), SHAPE)
    assert found.labels.max() == 1


def test_nothing_is_a_result() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    found = find_nuclei(Maps(nothing, nothing, nothing), SHAPE)
    assert (found.labels.max(), len(found.score), found.dropped) == (0, 0, 0)
    # cytoplasm alone is no nucleus
    found = find_nuclei(maps_of([disc(SHAPE, 50, 50, 30)], np.zeros(SHAPE, bool)), SHAPE)
    assert found.labels.max() == 0


def test_the_result_has_the_images_size_whatever_the_maps() -> None:
    cell = disc(SHAPE, 50, 60, 34)
    maps = maps_of([cell], disc(SHAPE, 50, 60, 26))
    found = find_nuclei(maps, (300, 480))
    assert found.labels.shape == (300, 480)
    assert (found.labels > 0).sum() == pytest.approx(9 * disc(SHAPE, 50, 60, 26).sum(), rel=0.02)


def test_pinholes_are_filled_and_rings_stay_rings() -> None:
    ring = disc(SHAPE, 50, 60, 28) & ~disc(SHAPE, 50, 60, 10)
    nucleus = ring & ~disc(SHAPE, 50, 80, 1)
    found = find_nuclei(maps_of([disc(SHAPE, 50, 60, 34)], nucleus), SHAPE)
    assert found.labels[50, 80] == 1
    assert found.labels[50, 60] == 0


def test_helpers_by_hand() -> None:
    assert usual_area(np.array([0, 1, 1, 1, 100])) == 100
    assert usual_area(np.array([0, 0])) == 0
    labels = np.array([[1, 1, 0, 0]])
    owner = np.array([[1, 1, 1, 0]])
    probability = np.array([[255, 255, 51, 255]], np.uint8)
    assert expected_dice(labels, owner, probability)[1] == pytest.approx(2 * 2 / (2.2 + 2))
    cells = split_cells(
        Maps(np.zeros((5, 5), np.uint8), np.full((5, 5), 255, np.uint8), None), threshold=0.5, depth=0.15
    )
    assert cells.max() == 0
