"""Evidence of sizes, margins, the score for aneuploid cells, and the page to print."""

from __future__ import annotations

import numpy as np
import pytest
from departure import EMPTY, departure
from drawn.karyotype import karyotype
from PIL import Image as Picture

from cellscope.assays.karyotype.cell.assignment import assign_cell
from cellscope.assays.karyotype.cell.calibration import Calibration
from cellscope.assays.karyotype.cell.sizes import FEWEST, LOG_AREA, odd_sizes, size_evidence
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.karyogram.bands import bands
from cellscope.assays.karyotype.karyogram.ideogram import draw_ideogram, ideogram_length
from cellscope.assays.karyotype.karyogram.page import Box, Image, Page, Words, to_pixels, to_vector


def index(names: list[str]) -> np.ndarray:
    return np.array([CLASSES.index(name) for name in names])


def sure(names: list[str], share: float = 0.99) -> np.ndarray:
    scores = np.full((len(names), 24), np.log((1 - share) / 23))
    scores[np.arange(len(names)), index(names)] = np.log(share)
    return scores


@pytest.mark.parametrize("magnification", [0.1, 1.0, 30.0])
def test_sizes_tell_a_1_from_a_22_at_any_magnification(magnification: float) -> None:
    names = karyotype("XX")
    areas = magnification * 500 * np.exp(LOG_AREA[index(names)])
    scores = sure(names)
    blank = names.index("22")
    scores[blank] = np.log(1 / 24)
    evidence = size_evidence(scores, areas)
    assert CLASSES[int(evidence[blank].argmax())] in ("21", "22")
    assert evidence[blank, CLASSES.index("1")] < evidence[blank, CLASSES.index("22")] - 1
    assert np.abs(odd_sizes(names, areas)).max() < 0.01


def test_few_chromosomes_say_nothing_of_size() -> None:
    names = karyotype("XX")[: FEWEST - 1]
    assert not size_evidence(sure(names), np.full(len(names), 99.0)).any()
    assert not odd_sizes(names, np.full(len(names), 99.0)).any()


def test_an_odd_size_is_found_and_names_outside_the_24_are_not_judged() -> None:
    names = karyotype("XY")
    areas = 500 * np.exp(LOG_AREA[index(names)])
    areas[3] *= 2.5
    odd = odd_sizes([*names[:-1], "unassigned"], areas)
    assert odd.argmax() == 3
    assert odd[3] > 4
    assert odd[-1] == 0


def test_a_margin_is_what_barring_the_class_would_cost() -> None:
    """Worked by hand: 8 and 9 could change places for 2 x ln(3); nothing else competes."""
    names = karyotype("XX")
    scores = sure(names, 1 - 1e-9)
    pair = [names.index("8"), names.index("9")]
    columns = index(["8", "9"])
    scores[np.ix_(pair, columns)] = np.log([[0.75, 0.25], [0.25, 0.75]])
    found = assign_cell(scores, aneuploidy_cost=50.0, unassigned_cost=500.0)
    assert found.margins[pair] == pytest.approx(2 * np.log(3))
    assert found.margins.argmin() in pair
    fitted, plain = Calibration(0.91, -1.6, 1.0), Calibration()
    assert 0 < fitted.confidence(0.0) < fitted.confidence(2.0) < fitted.confidence(9.0) <= 1
    assert plain.confidence(2 * np.log(3)) == pytest.approx(0.9)  # log odds of 9 to 1
    assert [fitted.short_arm_up(logit) for logit in (-1.5, -0.5, 0.5, 1.5)] == [False, None, None, True]
    assert [plain.short_arm_up(logit) for logit in (-0.5, 0.0, 0.5)] == [False, None, True]


def test_the_score_of_an_aneuploid_cell() -> None:
    normal = karyotype("XY")
    certain = np.full(60, 6.0)
    base = departure(sure(normal), certain[:46])
    assert base.either < 0
    gained = departure(sure([*normal, "21"]), certain[:47])
    assert gained.gain > 5 > base.gain
    lost = departure(sure(normal[1:]), certain[:45])
    assert lost.loss == EMPTY
    doubtful = certain[:47].copy()
    doubtful[-1] = 0.5  # a piece that happens to look like a 21
    assert departure(sure([*normal, "21"]), doubtful).gain < 1
    assert departure(np.zeros((0, 24)), np.zeros(0)).loss == 46 * EMPTY


def test_the_bands_are_those_of_the_genome() -> None:
    assert {name for name in CLASSES if bands(name)} == set(CLASSES)
    lengths = [ideogram_length(name) for name in CLASSES]
    assert ideogram_length("1") == pytest.approx(249.0, abs=0.5)
    assert ideogram_length("21") == pytest.approx(46.7, abs=0.5)
    assert max(lengths) == lengths[0]
    for name in CLASSES:
        stains = [stain for _, stain in bands(name)]
        assert stains.count("acen") == 2
        assert abs(stains.index("acen") - (len(stains) - 1 - stains[::-1].index("acen"))) == 1


def test_a_page_is_the_same_in_dots_and_in_vectors() -> None:
    page = Page(300, 200)
    page.add(Box(20, 30, 99, 59, (200, 0, 0)), Image(150, 40, np.full((20, 30), 80, np.uint8)))
    page.add(Words(10, 100, "47,XX,+21 & <draft>", 30, (0, 0, 0)))
    draw_ideogram(page, "9", 250, 190, width=30, per_mb=1.0)
    pixels = to_pixels(page)
    assert pixels.shape == (200, 300, 3)
    assert (pixels[30:60, 20:100] == (200, 0, 0)).all()
    assert (pixels[40:60, 150:180] == 80).all()
    svg = to_vector(page, "svg")
    assert b"47,XX,+21 &amp; &lt;draft&gt;" in svg
    assert svg == to_vector(page, "svg")
    pdf = to_vector(page, "pdf")
    assert pdf.startswith(b"%PDF")
    assert pdf == to_vector(page, "pdf")
    assert Picture.fromarray(pixels).size == (300, 200)
