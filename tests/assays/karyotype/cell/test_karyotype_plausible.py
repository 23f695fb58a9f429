"""Which detections are whole chromosomes: features by hand, and what they say of pieces and second boxes."""

import numpy as np
import pytest

from cellscope.assays.karyotype.cell.calibration import Calibration
from cellscope.assays.karyotype.cell.plausible import FEATURES, LEARNT, THRESHOLDS, features, weigh, weights_of
from cellscope.assays.karyotype.cell.trust import THRESHOLDS as DRAFT
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.detect.pairs import THRESHOLDS as PAIRS
from cellscope.assays.karyotype.detect.pairs import pair_features
from cellscope.models.file import read_card
from cellscope.models.registry import locate

THRESHOLD = 0.4
WEIGHTS = weights_of(
    {
        "whole_score": 1.0, "whole_covered": -1.0, "whole_shared": -1.0, "whole_free": -1.0, "whole_class": 1.0,
        "whole_size": -0.2, "whole_offset": 1.0,
    }
)  # fmt: skip


def certainty(found: list[Detection], scores: np.ndarray, drawn: np.ndarray, threshold: float, weights: np.ndarray):
    return weigh(features(found, scores, drawn, threshold), weights)


@pytest.fixture(autouse=True)
def sharp_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bars to the pixel, so that surroundings can be counted by hand."""
    monkeypatch.setattr("cellscope.assays.karyotype.cell.plausible.foreground", lambda drawn: drawn > 0.5)


def bar(x: int, y: int, height: int, score: float, width: int = 8) -> Detection:
    return Detection(np.array([x, y, x + width, y + height]), np.ones((height, width), bool), score)


def image(*bars: Detection) -> np.ndarray:
    """Bars of value 1 on 0."""
    drawn = np.zeros((120, 160), np.float32)
    for one in bars:
        x0, y0, x1, y1 = one.bbox
        drawn[y0:y1, x0:x1] = 1.0
    return drawn


def measured(detections: list[Detection], drawn: np.ndarray) -> list[dict[str, float]]:
    scores = np.full((len(detections), 24), np.log(0.2 / 23))
    scores[:, 3] = np.log(0.8)
    return [dict(zip(FEATURES, row, strict=True)) for row in features(detections, scores, drawn, THRESHOLD)]


def test_features_by_hand() -> None:
    whole, alone, twice = bar(20, 20, 40, 0.9), bar(60, 20, 40, 0.4), bar(20, 30, 40, 0.6)
    first, second, third = measured([whole, alone, twice], image(whole, alone))
    assert first["score"] == pytest.approx(np.log(9) - np.log(2 / 3))
    assert second["score"] == pytest.approx(0)
    assert (first["covered"], second["covered"]) == (0, 0)  # the better one of two is covered by none
    assert third["covered"] == pytest.approx(30 / 40)
    assert third["shared"] == first["shared"] == pytest.approx(30 / 50)
    assert (first["free"], second["free"]) == (0, 0)
    assert second["class"] == pytest.approx(np.log(0.8))
    assert [one["size"] for one in (first, second, third)] == [0, 0, 0]


def test_a_piece_has_foreground_beside_it_that_no_other_has() -> None:
    whole, half = bar(20, 20, 60, 0.9), bar(60, 20, 30, 0.9)
    drawn = image(whole, bar(60, 20, 60, 1))
    first, second = measured([whole, half], drawn)
    assert first["free"] == 0
    # The median area is that of both on average: a ring of 2 pixels, of which 2 rows of 8 are chromosome.
    assert second["free"] == pytest.approx(2 * 8 / (4 * 2 * np.sqrt(8 * 30)))
    # What another one above the threshold accounts for does not count, what a doubtful one does counts.
    rest = bar(60, 50, 30, 0.9)
    assert measured([whole, half, rest], drawn)[1]["free"] == 0
    doubtful = Detection(rest.bbox, rest.mask, 0.3)
    assert measured([whole, half, doubtful], drawn)[1]["free"] > 0
    assert second["size"] == pytest.approx(np.log(8 * 30 / np.median([8 * 60, 8 * 30])) ** 2)


def test_whole_ones_are_more_certain_than_pieces_and_second_boxes() -> None:
    whole, half, twice = bar(20, 20, 60, 0.8), bar(60, 20, 30, 0.8), bar(22, 25, 55, 0.7)
    others = [bar(100 + 15 * index, 20, 60, score) for index, score in enumerate((0.8, 0.9, 0.9))]
    everything = [whole, half, twice, *others]
    scores = np.full((len(everything), 24), np.log(1 / 24))
    odds = certainty(everything, scores, image(whole, bar(60, 20, 60, 1), *others), THRESHOLD, WEIGHTS)
    assert odds[0] > odds[2] + 1
    assert odds[3] > odds[1]  # the same score, but more of it around
    assert odds[4] > odds[3]  # a better score counts
    sure = scores.copy()
    sure[1, 5] = 0.0
    assert certainty(everything, sure, image(whole, *others), THRESHOLD, WEIGHTS)[1] > odds[1]


def test_a_card_without_weights_leaves_the_detectors_score() -> None:
    found = [bar(20 + 30 * index, 20, 60, score) for index, score in enumerate((0.45, 0.8))]
    odds = certainty(found, np.zeros((2, 24)), image(*found), 0.45, weights_of({"score_threshold": 0.45}))
    assert odds == pytest.approx([0, np.log(0.8 / 0.2) - np.log(0.45 / 0.55)])
    assert weights_of(dict(zip(THRESHOLDS, range(18), strict=True))).tolist() == list(range(18))
    assert weights_of({"whole_offset": 2.0}).tolist() == [0] * 17 + [2]


def test_the_built_in_cards_hold_what_was_fitted() -> None:
    detect, classify = (read_card(locate(f"karyotype-{part}")) for part in ("detect", "classify"))
    # Fluorescence keeps the six that it had.
    assert weights_of(detect.thresholds).tolist() == WEIGHTS.tolist()
    for names in (LEARNT, PAIRS, DRAFT):
        assert set(names) <= set(detect.thresholds)
    assert Calibration.of(classify.thresholds) == Calibration(0.91, -1.6, 1.0)


def test_nothing_found_is_nothing_measured() -> None:
    assert certainty([], np.zeros((0, 24)), image(), THRESHOLD, WEIGHTS).shape == (0,)
    assert features([], np.zeros((0, 24)), image(), THRESHOLD).shape == (0, len(FEATURES))


def test_masks_at_the_border_are_measured_whole() -> None:
    corner, opposite = bar(0, 0, 40, 0.9), bar(152, 80, 40, 0.9)
    first, second = measured([corner, opposite], image(corner, opposite))
    assert (first["free"], second["free"]) == (0, 0)
    half = Detection(np.array([0, 0, 8, 20]), np.ones((20, 8), bool), 0.9)
    assert measured([half], image(corner))[0]["free"] == pytest.approx(2 * 8 / (4 * 2 * np.sqrt(160)))


def test_shape_and_tone_by_hand() -> None:
    """A bar twice as wide, one with its half on the background, a corner of two arms, one half as dark."""
    straight = [bar(10 + 16 * index, 10, 40, 0.9) for index in range(4)]
    wide = bar(80, 10, 40, 0.9, width=16)
    corner_mask = np.zeros((24, 24), bool)
    corner_mask[:, :8] = corner_mask[-8:] = True
    corner = Detection(np.array([110, 10, 134, 34]), corner_mask, 0.9)
    drawn = image(*straight, wide)
    drawn[10:34, 110:134][corner_mask] = 1.0
    drawn[10:50, 10:18] *= 0.6
    drawn[30:50, 26:34] = 0.0
    rows = measured([*straight, wide, corner], drawn)
    assert rows[0]["pale"] == pytest.approx(0.4)
    assert rows[1]["ground"] == pytest.approx(0.5)
    assert rows[4]["thick"] == pytest.approx(np.log(2), rel=0.15)
    assert rows[2]["bent"] == pytest.approx(0, abs=0.01)
    # Two arms of 24 x 8 and 16 x 8 pixels in a hull that cuts the corner off: a third is empty.
    assert rows[5]["bent"] == pytest.approx(1 - 320 / 448, abs=0.04)
    assert [row["border"] for row in rows] == [0] * 6


def test_pairs_by_hand() -> None:
    """Two that touch, two of which one lies inside the other, and one apart from all."""
    places = ((10, 10, 40, 0.9), (18, 10, 40, 0.8), (60, 10, 40, 0.9), (60, 20, 20, 0.8), (120, 60, 40, 0.9))
    found = [bar(*place) for place in places]
    scores = np.full((5, 24), np.log(1 / 24))
    pairs, rows = pair_features(found, scores)
    assert pairs.tolist() == [[0, 1], [2, 3]]
    names = [name.removeprefix("bright_field_pair_") for name in PAIRS]
    touching, inside = (dict(zip(names, row, strict=True)) for row in rows)
    assert (touching["touch"], touching["inside"], touching["iou"]) == (1, 0, 0)
    assert inside["inside"] == 1
    assert inside["inside_30"] == pytest.approx(0.7)
    assert inside["inside_70"] == pytest.approx(0.3)
    assert inside["iou"] == inside["boxes"] == pytest.approx(0.5)
    assert inside["inside_alike"] == pytest.approx(1 / 24)
    assert inside["touch_unsure"] == pytest.approx(2 * 23 / 24)
    turned = pair_features(found[::-1], scores)[1]
    assert turned[::-1] == pytest.approx(rows)
    assert pair_features(found[:1], scores[:1])[0].shape == (0, 2)
