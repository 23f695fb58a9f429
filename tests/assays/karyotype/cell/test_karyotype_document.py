"""A named cell: flags, table, overlay, COCO, karyotype.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn.karyotype import CLASSES, Generated, karyotype, metaphase
from drawn.named_cells import detections, named

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.choice import Plausible
from cellscope.assays.karyotype.cell.chromosomes import Cell, name_cell
from cellscope.assays.karyotype.cell.document import as_karyotype
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.karyogram.figures import as_coco, colour_of, draw_overlay
from cellscope.assays.karyotype.karyogram.table import objects_table
from cellscope.imaging.tone import to_grey


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
        odds = np.array([np.log(one.score / (1 - one.score)) for one in found])
        return name_cell(found, evidence, None, shape=shape, plausible=Plausible(odds), **settings)

    weak = result({46: 0.4})
    assert (len(weak.chromosomes), len(weak.left_out), weak.iscn_draft) == (46, 1, "46,XY")
    assert "pieces_1" in weak.flags
    strong = result({46: 0.97})
    assert (strong.iscn_draft, strong.left_out) == ("47,XY,+21", [])
    gap = result({46: 0.4, 3: 0.2})
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
