"""A named cell: flags, table, karyogram, overlay, COCO, karyotype.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from synthetic import CLASSES, Generated, karyotype, metaphase

from cellscope.assays.karyotype import karyogram
from cellscope.assays.karyotype.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell import Cell, Chromosome, name_cell
from cellscope.assays.karyotype.detections import Detection
from cellscope.assays.karyotype.figures import as_coco, colour_of, draw_overlay
from cellscope.assays.karyotype.karyogram import MARGIN, REVIEW, WIDTH, draw_karyogram, lay_out
from cellscope.assays.karyotype.page import Image
from cellscope.assays.karyotype.record import as_karyotype
from cellscope.assays.karyotype.table import objects_table
from cellscope.imaging.tone import to_grey


def detections(cell: Generated, score: float = 0.95) -> list[Detection]:
    return [
        Detection(box.astype(int), mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])], score)
        for mask, box in zip(cell.masks, cell.boxes, strict=True)
    ]


def named(cell: Generated, *, polarity: np.ndarray | None = None, sure: float = 0.99, **changes: object) -> Cell:
    scores = np.full((len(cell.classes), 24), np.log((1 - sure) / 23))
    scores[np.arange(len(cell.classes)), [CLASSES.index(name) for name in cell.classes]] = np.log(sure)
    settings = {"assign": True, "aneuploidy_cost": 3.0, "review_below": 0.8} | changes
    shape = cell.pixels.shape
    return name_cell(detections(cell), scores, polarity, shape=shape, bright_on_dark=not cell.inverted, **settings)


@pytest.fixture(scope="module")
def spread() -> Generated:
    return metaphase(0, crossing=2, touching=2)


def test_a_normal_cell(spread: Generated) -> None:
    cell = named(spread)
    assert cell.classes == spread.classes
    assert cell.iscn_draft == "46,XY"
    assert cell.sex == "XY"
    assert cell.flags == ["overlapping_4"]
    assert sum(cell.counts.values()) == 46
    assert set(cell.counts) == {*CLASSES, UNASSIGNED}
    assert not any(chromosome.review for chromosome in cell.chromosomes)
    assert [chromosome.label for chromosome in cell.chromosomes] == list(range(1, 47))


def test_flags_and_reasons() -> None:
    names = [*karyotype("XX"), "21"]
    cell = named(metaphase(1, classes=names, crossing=0, touching=0))
    assert cell.iscn_draft == "47,XX,+21"
    assert "count_47" in cell.flags
    assert "not_two_of_21" in cell.flags
    cut = metaphase(2, classes=["1", "2"], crossing=0, touching=0)
    cut.masks[0] = np.roll(cut.masks[0], -int(cut.boxes[0][1]), 0)
    border = named(cut)
    assert border.chromosomes[0].cut_off
    assert border.chromosomes[0].review
    assert "border" in border.chromosomes[0].reasons[0]
    assert not border.chromosomes[1].cut_off
    assert "cut_off_1" in border.flags


def test_review_follows_doubt(spread: Generated) -> None:
    """Doubt that the rest of the cell settles is none; where two chromosomes could change places it stays."""
    assert not any(chromosome.review for chromosome in named(spread, sure=0.5).chromosomes)
    scores = np.full((46, 24), np.log(0.01 / 22))
    scores[np.arange(46), [CLASSES.index(name) for name in spread.classes]] = np.log(0.98)
    pair = [spread.classes.index("8"), spread.classes.index("9")]
    scores[pair] = np.log(0.01 / 22)
    scores[np.ix_(pair, [CLASSES.index("8"), CLASSES.index("9")])] = np.log([[0.5, 0.49], [0.49, 0.5]])
    settings = {"bright_on_dark": True, "assign": True, "aneuploidy_cost": 3.0}
    cell = name_cell(detections(spread), scores, None, shape=spread.pixels.shape, review_below=0.8, **settings)
    assert [chromosome.label - 1 for chromosome in cell.chromosomes if chromosome.review] == sorted(pair)
    assert all(cell.chromosomes[index].reasons == ["class unsure"] for index in pair)
    lenient = name_cell(detections(spread), scores, None, shape=spread.pixels.shape, review_below=0.0, **settings)
    assert not any(chromosome.review for chromosome in lenient.chromosomes)


def test_without_the_cell_the_classifiers_own_doubt_counts(spread: Generated) -> None:
    cell = named(spread, sure=0.5, assign=False)
    assert all(chromosome.reasons == ["class unsure"] for chromosome in cell.chromosomes)
    assert {chromosome.confidence for chromosome in cell.chromosomes} == {0.5}


def test_the_cell_leaves_out_what_it_has_no_place_for_and_fills_gaps(spread: Generated) -> None:
    """A weak third 21 goes, a strong one stays; a weak chromosome whose place is empty stays too."""
    base = detections(spread)
    extra = spread.classes.index("21")
    far = Detection(base[extra].bbox + 3, base[extra].mask, 0.5)
    names = [*spread.classes, "21"]

    def result(scores_of: dict[int, float]) -> Cell:
        found = [Detection(one.bbox, one.mask, scores_of.get(i, 0.95)) for i, one in enumerate([*base, far])]
        evidence = np.full((47, 24), np.log(0.01 / 23))
        evidence[np.arange(47), [CLASSES.index(name) for name in names]] = np.log(0.99)
        settings = {"bright_on_dark": True, "assign": True, "aneuploidy_cost": 3.0, "review_below": 0.8}
        shape = spread.pixels.shape
        return name_cell(found, evidence, None, shape=shape, score_threshold=0.45, **settings)

    weak = result({46: 0.5})
    assert (len(weak.chromosomes), len(weak.left_out), weak.iscn_draft) == (46, 1, "46,XY")
    assert "pieces_1" in weak.flags
    strong = result({46: 0.97})
    assert (strong.iscn_draft, strong.left_out) == ("47,XY,+21", [])
    gap = result({46: 0.5, 3: 0.2})
    assert (len(gap.chromosomes), gap.iscn_draft) == (46, "46,XY")
    assert "may not be a chromosome" in gap.chromosomes[3].reasons


def test_a_size_that_does_not_fit_the_class_is_marked() -> None:
    cell = metaphase(3, classes=karyotype("XX"), crossing=0, touching=0)
    found = detections(cell)
    small, large = cell.classes.index("22"), cell.classes.index("1")
    found[small] = Detection(found[large].bbox, found[large].mask, 0.95)
    scores = np.full((46, 24), -40.0)
    scores[np.arange(46), [CLASSES.index(name) for name in cell.classes]] = 0.0
    named_cell = name_cell(
        found, scores, None, shape=cell.pixels.shape, bright_on_dark=True, assign=True,
        aneuploidy_cost=3.0, review_below=0.5,
    )  # fmt: skip
    assert "larger than its class: two as one?" in named_cell.chromosomes[small].reasons
    assert any(flag.startswith("odd_size_") for flag in named_cell.flags)


def test_a_class_the_cell_overrules_is_marked(spread: Generated) -> None:
    scores = np.full((46, 24), np.log(0.01 / 22))
    scores[np.arange(46), [CLASSES.index(name) for name in spread.classes]] = np.log(0.98)
    row = spread.classes.index("12")
    scores[row] = np.log(0.01 / 22)
    scores[row, [CLASSES.index("11"), CLASSES.index("12")]] = np.log([0.55, 0.43])
    cell = name_cell(
        detections(spread),
        scores,
        None,
        shape=spread.pixels.shape,
        bright_on_dark=True,
        assign=True,
        aneuploidy_cost=3.0,
        review_below=0.1,
    )
    assert cell.chromosomes[row].class_ == "12"
    assert "looks like 11" in cell.chromosomes[row].reasons[0]
    assert cell.chromosomes[row].probabilities.sum() == pytest.approx(1)


def test_polarity_near_zero_is_not_told(spread: Generated) -> None:
    logits = np.zeros(46)
    logits[:2] = 4.0, -4.0
    found = [chromosome.short_arm_up for chromosome in named(spread, polarity=logits).chromosomes]
    assert found[:3] == [True, False, None]
    assert {chromosome.short_arm_up for chromosome in named(spread).chromosomes} == {None}


def test_objects_table(spread: Generated) -> None:
    grey = to_grey(spread.pixels)
    table = objects_table(named(spread), grey, 0.1)
    assert list(table)[:4] == ["label", "class", "score", "review"]
    assert list(table)[4:28] == [f"p_{name}" for name in CLASSES]
    np.testing.assert_allclose(table[[f"p_{name}" for name in CLASSES]].sum(axis=1), 1, atol=1e-6)
    for index in (0, 1, 20):
        mask = spread.masks[index]
        assert table["area"][index] == mask.sum()
        assert table["area_um2"][index] == pytest.approx(mask.sum() * 0.01)
        rows, columns = np.nonzero(mask)
        assert (table["centroid-0"][index], table["centroid-1"][index]) == pytest.approx((rows.mean(), columns.mean()))
        assert table["intensity_mean"][index] == pytest.approx(grey[mask].mean(), rel=1e-4)
    assert objects_table(named(spread), grey, None)["area_um2"].isna().all()
    empty = objects_table(Cell([], (10, 10), True), np.zeros((10, 10), np.float32), None)
    assert len(empty) == 0
    assert "p_Y" in empty


# ---- the karyogram


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


# ---- other pictures and files


def test_overlay_is_enlarged_and_coloured(spread: Generated) -> None:
    picture = draw_overlay(spread.pixels[..., None], named(spread))
    assert picture.shape == (256 * 4, 320 * 4, 3)
    assert picture.dtype == np.uint8
    assert len({colour_of(name) for name in CLASSES}) == 24
    for name in set(spread.classes):
        assert (picture == colour_of(name)).all(2).any(), name


def test_coco_and_json_say_the_same(spread: Generated) -> None:
    from pycocotools import mask as rle

    cell = named(spread)
    coco, record = as_coco(cell, "a.tif"), as_karyotype(cell, "a.tif")
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert [names[a["category_id"]] for a in coco["annotations"]] == spread.classes
    for annotation, mask in zip(coco["annotations"], spread.masks, strict=True):
        np.testing.assert_array_equal(rle.decode(annotation["segmentation"]).astype(bool), mask)  # overlaps kept
        assert annotation["area"] == mask.sum()
    assert record["iscn_draft"] == "46,XY"
    assert record["draft"] is True
    assert record["n_chromosomes"] == 46
    assert [one["class"] for one in record["chromosomes"]] == spread.classes
    assert record["chromosomes"][0]["probability"] == pytest.approx(0.99, abs=1e-3)
    json.dumps([coco, record], allow_nan=False)


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
