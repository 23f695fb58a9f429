"""The karyogram: every chromosome once, above its name, at one scale, on one page."""

from __future__ import annotations

import time
from threading import Event, Thread

import numpy as np
import pytest
from drawn.karyotype import Generated, metaphase
from drawn.named_cells import named
from scipy import ndimage

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.karyogram import drawing as karyogram
from cellscope.assays.karyotype.karyogram.drawing import MARGIN, REVIEW, WIDTH, draw_karyogram, lay_out
from cellscope.assays.karyotype.karyogram.page import Image, Page, to_vector
from cellscope.imaging.tone import to_grey


@pytest.fixture(scope="module")
def spread() -> Generated:
    return metaphase(0, crossing=2, touching=2)


def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw chromosome `label` as a 12 x 12 block of grey 30 + label instead of its picture."""
    monkeypatch.setattr(
        karyogram, "_picture", lambda chromosome, *_: np.full((12, 12), 30 + chromosome.label, np.uint8)
    )


def block_map(page: np.ndarray) -> np.ndarray:
    """Labels of the blocks on a page: text has no such pure greys."""
    pure = (page[..., 0] == page[..., 1]) & (page[..., 1] == page[..., 2]) & (page[..., 0] > 30) & (page[..., 0] < 90)
    return np.where(pure, page[..., 0].astype(int) - 30, 0)


def found_at(labels: np.ndarray) -> dict[int, tuple[slice, slice]]:
    """Where each block is, checked to be whole and alone."""
    places = {label: place for label, place in enumerate(ndimage.find_objects(labels), 1) if place is not None}
    for label, (rows, columns) in places.items():
        assert (rows.stop - rows.start, columns.stop - columns.start) == (12, 12), f"{label} is drawn twice or cut"
        assert (labels[rows, columns] == label).all()
    return places


def test_every_chromosome_is_drawn_once_above_its_name(spread: Generated, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks(monkeypatch)
    cell = named(spread)
    page = draw_karyogram(cell, to_grey(spread.pixels), title="cell")
    found = found_at(block_map(page))
    assert set(found) == set(range(1, 47))
    places: dict[str, list] = {}
    for chromosome in cell.chromosomes:
        places.setdefault(chromosome.class_, []).append(found[chromosome.label])
    assert all(len(copies) == 2 for name, copies in places.items() if name not in "XY")
    # Homologues stand side by side on one line; groups A and B share the first row, C has its own.
    middle = {name: np.mean([piece[1].start for piece in copies]) for name, copies in places.items()}
    line = {name: {piece[0].stop for piece in copies} for name, copies in places.items()}
    assert all(len(stops) == 1 for stops in line.values())
    for row in (("1", "2", "3", "4", "5"), ("6", "7", "8", "9", "10", "11", "12"), ("13", "14", "15", "16", "17", "18"),
                ("19", "20", "21", "22", "X", "Y")):  # fmt: skip
        assert len({line[name].copy().pop() for name in row}) == 1
        assert [middle[name] for name in row] == sorted(middle[name] for name in row)
    assert max(line["1"]) < max(line["6"]) < max(line["13"]) < max(line["19"])


def test_review_bars_stand_under_what_a_person_should_see(spread: Generated, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks(monkeypatch)
    cell = named(spread)
    for label in (5, 9, 40):
        cell.chromosomes[label - 1].review = True
    page = draw_karyogram(cell, to_grey(spread.pixels), title="cell")
    marked = []
    for label, (rows, columns) in found_at(block_map(page)).items():
        if (page[rows.stop : rows.stop + 20, columns] == REVIEW).all(2).sum() >= 8 * 12:
            marked.append(label)
    assert marked == [5, 9, 40]


def test_unassigned_chromosomes_lie_on_the_page(spread: Generated, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks(monkeypatch)
    cell = named(spread)
    for chromosome in cell.chromosomes[:30]:
        chromosome.class_ = UNASSIGNED
    page = draw_karyogram(cell, to_grey(spread.pixels), title="cell")
    assert set(found_at(block_map(page))) == set(range(1, 47))


@pytest.mark.parametrize("inverted", [False, True])
def test_the_real_pictures_are_dark_on_white(inverted: bool) -> None:
    spread = metaphase(3, inverted=inverted)
    page = draw_karyogram(named(spread), to_grey(spread.pixels), title="cell")
    assert page.shape[1] == WIDTH
    assert page.shape[2] == 3
    assert page.dtype == np.uint8
    assert 0.7 < (page == 255).all(2).mean() < 0.99
    ink = (page.max(2) < 150).sum()
    assert ink > 40_000


def test_a_cell_without_chromosomes_gives_a_page() -> None:
    page = draw_karyogram(Cell([], (64, 64), True), np.zeros((64, 64), np.float32), title="nothing")
    assert page.shape[1] == WIDTH
    assert (page < 100).any()


def test_the_longest_chromosome_is_the_longest_on_the_page(spread: Generated) -> None:
    cell = named(spread)
    heights = {}
    scale = karyogram._scale(cell)
    contrast = karyogram._contrast(cell, to_grey(spread.pixels))
    for chromosome in cell.chromosomes:
        heights.setdefault(chromosome.class_, []).append(karyogram._picture(chromosome, contrast, scale).shape[0])
    for name in ("1", "10", "21"):
        for height in heights[name]:
            assert height == pytest.approx((35 - int(name)) * scale, abs=2 * scale)


@pytest.mark.parametrize(("copies", "ideograms"), [(20, True), (20, False), (3, True)])
def test_a_row_of_many_wide_chromosomes_fits_the_page(copies: int, ideograms: bool) -> None:
    """All are made smaller, and stay at one scale."""
    square = Detection(np.array([10, 10, 50, 50]), np.ones((40, 40), bool), 0.9)
    names = [*["6"] * copies, "8", "8", "1"]
    chromosomes = [
        Chromosome(label, square, name, np.full(24, 1 / 24), 0.0, None) for label, name in enumerate(names, 1)
    ]
    grey = np.zeros((60, 60), np.float32)
    grey[10:50, 10:50] = 1.0
    page = lay_out(Cell(chromosomes, (60, 60), True), grey, title="many", ideograms=ideograms)
    images = [item for item in page.things if isinstance(item, Image)]
    assert len(images) == len(names)
    assert max(image.x + image.pixels.shape[1] for image in images) <= WIDTH - MARGIN
    assert len({image.pixels.shape for image in images}) == 1
    assert (images[0].pixels.shape[1] > 200) == (copies == 3)


def test_two_karyograms_drawn_at_once_leave_each_other_s_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a review: one is written while the person asks for another one as a PDF."""
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    plain, seen, printing = matplotlib.rcParams["pdf.fonttype"], [], Event()

    def slow(_canvas: FigureCanvasPdf, _buffer: object, **_more: object) -> None:
        printing.set()
        time.sleep(0.3)
        seen.append(matplotlib.rcParams["pdf.fonttype"])

    monkeypatch.setattr(FigureCanvasPdf, "print_pdf", slow)
    first = Thread(target=to_vector, args=(Page(10, 10), "pdf"))
    first.start()
    assert printing.wait(60)
    time.sleep(0.15)
    to_vector(Page(10, 10), "pdf")
    first.join()
    assert seen == [42, 42]
    assert matplotlib.rcParams["pdf.fonttype"] == plain != 42
