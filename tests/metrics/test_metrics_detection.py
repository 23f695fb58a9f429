import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.metrics import detection as d
from cellscope.metrics.coco import CocoScore, Instances, coco_ap


def test_box_iou_by_hand():
    a = [[0, 0, 4, 4], [10, 10, 12, 12]]
    b = [[2, 2, 6, 6], [0, 0, 4, 4], [4, 0, 8, 4], [11, 11, 11, 15]]
    assert d.box_iou(a, b) == pytest.approx(np.array([[4 / 28, 1, 0, 0], [0, 0, 0, 0]]))
    assert d.box_iou(np.zeros((0, 4)), b).shape == (0, 4)
    assert d.box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]])[0, 0] == 0


def test_mask_iou_counts_pixels_and_keeps_overlaps():
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 1:4, 1:5] = True  # 12 pixels
    masks[1, 2:5, 3:7] = True  # 12 pixels, 4 shared
    masks[2, 0, 0] = True
    codes = d.encode_masks(masks)
    expected = np.array([[1, 4 / 20, 0], [4 / 20, 1, 0], [0, 0, 1]])
    assert d.mask_iou(codes, codes) == pytest.approx(expected)
    assert d.mask_iou(codes, []).shape == (3, 0)
    assert d.mask_iou([], codes).shape == (0, 3)
    as_text = [{**code, "counts": code["counts"].decode()} for code in codes]
    assert d.mask_iou(as_text, codes) == pytest.approx(expected)
    with pytest.raises(ValueError, match="N, H, W"):
        d.encode_masks(masks[0])


def test_match_takes_the_best_first_and_needs_more_than_the_floor():
    # Row by row, row 0 would take column 0 (0.6) and leave row 1 with nothing; best first, row 1 takes it (0.9).
    assert d.match(np.array([[0.6, 0.55], [0.9, 0.0]])) == [(1, 0), (0, 1)]
    assert d.match(np.array([[0.5]])) == []
    assert d.match(np.array([[0.5]]), floor=0.4) == [(0, 0)]
    assert d.match(np.array([[0.8, 0.8], [0.8, 0.8]])) == [(0, 0), (1, 1)]
    assert d.match(np.zeros((0, 3))) == []
    assert d.match(np.zeros((2, 0))) == []


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 10**6))
def test_match_is_one_to_one_greedy_and_blind_to_order(rows, columns, seed):
    random = np.random.default_rng(seed)
    iou = random.random((rows, columns))
    pairs = d.match(iou, 0.3)
    # An independent statement of the rule: take the largest entry, strike its row and column, go on.
    left, expected = iou.copy(), []
    while left.size and left.max() > 0.3:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        expected.append((int(row), int(column)))
        left[row], left[:, column] = 0, 0
    assert pairs == expected
    r, c = random.permutation(rows), random.permutation(columns)
    assert {(int(r[i]), int(c[j])) for i, j in d.match(iou[np.ix_(r, c)], 0.3)} == set(pairs)


def test_table_and_rates_by_hand():
    ious = [
        np.eye(3),  # all three found
        np.array([[0.9, 0.0], [0.0, 0.5]]),  # one of two: 0.5 is not above the floor; one extra
        np.zeros((3, 1)),  # three missed, one made up
        np.zeros((0, 2)),  # nothing there, two made up
        np.zeros((0, 0)),  # nothing there, nothing said
    ]
    table = d.detection_table(ious)
    assert table.to_numpy().tolist() == [[3, 3, 3, 0, 0], [2, 2, 1, 1, 1], [3, 1, 0, 3, 1], [0, 2, 0, 0, 2], [0] * 5]
    rates = d.detection_rates(table["n_truth"], table["n_predicted"], table["n_found"])
    assert rates == {
        "recall": 4 / 8,
        "precision": 4 / 8,
        "f1": 8 / 16,
        "count_error": (0 + 0 + 2 + 2 + 0) / 5,
        "exact_count": 3 / 5,
        "whole_correct": 2 / 5,
        "missing_at_most_one": 4 / 5,
    }


def test_rates_are_none_where_undefined():
    empty = np.zeros(0, int)
    assert set(d.detection_rates(empty, empty, empty).values()) == {None}
    assert d.detection_table([]).empty
    one = d.detection_rates(np.array([2]), np.array([0]), np.array([0]))
    assert one["precision"] is None
    assert one["recall"] == 0


def boxes(random, count):
    corner = random.integers(0, 60, (count, 2))
    return np.hstack([corner, corner + random.integers(3, 60, (count, 2))]).astype(float)


def filled(shape, instances):
    masks = np.zeros((len(instances), *shape), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, instances.astype(int), strict=True):
        mask[y0:y1, x0 : (x0 + x1 + 1) // 2] = True  # half the box, so that areas of boxes and masks differ
    return d.encode_masks(masks)


def scene(seed, images=6, classes=3):
    random = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(images):
        true = boxes(random, random.integers(1, 7))
        keep = random.random(len(true)) < 0.8
        said = np.vstack([true[keep] + random.integers(-3, 4, (keep.sum(), 4)) * [1, 1, 0, 0], boxes(random, 2)])
        said[:, :2] = np.clip(said[:, :2], 0, None)
        labels = random.integers(0, classes, len(true))
        guess = np.append(labels[keep], random.integers(0, classes, 2))
        truth.append(Instances(true, filled((128, 128), true), None, labels))
        predicted.append(Instances(said, filled((128, 128), said), random.random(len(said)), guess))
    return truth, predicted


def reference(truth, predicted, kind):
    """The way COCO's own scripts do it: dictionaries in, `loadRes`, `summarize`, twelve figures."""
    import contextlib
    import io

    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, (true, said) in enumerate(zip(truth, predicted, strict=True)):
        for box, code, label in zip(true.boxes, true.masks, true.classes, strict=True):
            xywh = [*box[:2], *(box[2:] - box[:2])]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(label), "bbox": xywh, "iscrowd": 0}
                | {"segmentation": code, "area": float(mask.area(code))}
            )
        for box, code, score, label in zip(said.boxes, said.masks, said.scores, said.classes, strict=True):
            xywh = [float(value) for value in [*box[:2], *(box[2:] - box[:2])]]
            shape = {"segmentation": dict(code)} if kind == "mask" else {"bbox": xywh}
            results.append({"image_id": image, "category_id": int(label), "score": float(score)} | shape)
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "info": {},
            "images": [{"id": image, "height": 128, "width": 128} for image in range(len(truth))],
            "categories": [{"id": label, "name": str(label)} for label in range(3)],
            "annotations": annotations,
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(results), "segm" if kind == "mask" else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("kind", ["mask", "box"])
@pytest.mark.parametrize("seed", range(4))
def test_coco_ap_is_what_coco_scripts_give(kind, seed, capfd):
    truth, predicted = scene(seed)
    stats = reference(truth, predicted, kind)
    ours = coco_ap(truth, predicted, kind=kind)
    names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", None, None, "ar"]
    for name, value in zip(names, stats, strict=False):
        if name:
            assert ours[name] == (None if value == -1 else pytest.approx(value, abs=1e-12)), name
    assert 0 < ours["ap"] < 1
    assert np.mean([value for value in ours["per_class"].values() if value is not None]) == pytest.approx(ours["ap"])
    assert capfd.readouterr().out == ""


def test_coco_ap_by_hand():
    true = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], float)
    said = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 27]], float)
    score = coco_ap([Instances(true)], [Instances(said, scores=np.array([0.9, 0.8, 0.7]))], kind="box")
    # At 0.50 to 0.70 (five thresholds; the overlap is exactly 0.7) both are found: precision 1 up to recall 1/2 (51 of
    # 101 points), then 2/3. Above, only the first is: 51 points of precision 1, then nothing.
    both, one = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert score["ap50"] == pytest.approx(both)
    assert score["ap75"] == pytest.approx(one)
    assert score["ap"] == pytest.approx((5 * both + 5 * one) / 10)
    assert score["ap_large"] is None
    assert score["ar"] == pytest.approx((5 * 1 + 5 * 0.5) / 10)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(3)))
def test_a_perfect_prediction_scores_one_and_class_numbers_do_not_matter(seed, renamed):
    truth, predicted = scene(seed, images=3)
    perfect = [Instances(one.boxes, one.masks, np.ones(len(one.boxes)), one.classes) for one in truth]
    assert coco_ap(truth, perfect, kind="mask")["ap"] == pytest.approx(1)
    assert coco_ap(truth, perfect, kind="box")["ar"] == pytest.approx(1)
    new = np.array(renamed)
    changed = [
        [Instances(one.boxes, one.masks, one.scores, new[one.classes]) for one in part] for part in (truth, predicted)
    ]
    before, after = coco_ap(truth, predicted, kind="mask"), coco_ap(*changed, kind="mask")
    assert after["ap"] == pytest.approx(before["ap"])
    assert after["per_class"] == {int(new[label]): value for label, value in before["per_class"].items()}


def test_resampling_images_is_the_same_as_evaluating_them_anew():
    truth, predicted = scene(11)
    score = CocoScore(truth, predicted, kind="mask")
    for drawn in ([0, 1, 2, 3, 4, 5], [2, 2, 5], [4], [1, 0, 0, 3, 3, 3, 5, 5]):
        anew = coco_ap([truth[i] for i in drawn], [predicted[i] for i in drawn], kind="mask")
        assert score.average_precision(np.array(drawn)) == pytest.approx(anew["ap"], abs=1e-12)
        assert score.average_precision(np.array(drawn), iou=0.5) == pytest.approx(anew["ap50"], abs=1e-12)
    assert score.average_precision() == score.summary()["ap"]
    assert score.average_precision(iou=0.75) == score.summary()["ap75"]


def test_coco_ap_at_the_edges():
    nothing = Instances(np.zeros((0, 4)), [], np.zeros(0), np.zeros(0, int))
    box = np.array([[0, 0, 9, 9.0]])
    one = Instances(box, filled((16, 16), box), np.ones(1), np.zeros(1, int))
    assert coco_ap([one], [nothing], kind="mask")["ap"] == 0
    assert coco_ap([nothing], [one], kind="mask")["ap"] is None
    assert coco_ap([], [], kind="mask")["ap"] is None
    assert coco_ap([nothing, one], [one, one], kind="box")["ap"] < 1  # the invented object costs precision
    assert CocoScore([one], [one], kind="box").average_precision(np.zeros(0, int)) is None
    crowd = Instances(np.tile(one.boxes, (120, 1)) + np.arange(120)[:, None] * 20, None, np.linspace(1, 0.5, 120))
    truth = Instances(crowd.boxes)
    assert coco_ap([truth], [crowd], kind="box")["ar"] == pytest.approx(100 / 120)
    assert coco_ap([truth], [crowd], kind="box", max_detections=200)["ar"] == pytest.approx(1)


def test_coco_ap_refuses_what_it_cannot_score():
    box = np.array([[0, 0, 9, 9.0]])
    with pytest.raises(ValueError, match="need scores"):
        coco_ap([Instances(box)], [Instances(box)], kind="box")
    with pytest.raises(ValueError, match="no masks"):
        coco_ap([Instances(box)], [Instances(box, scores=np.ones(1))], kind="mask")
    with pytest.raises(ValueError, match="1 true images and 0 predicted"):
        coco_ap([Instances(box)], [], kind="box")
    with pytest.raises(ValueError, match="2 scores for 1 boxes"):
        Instances(box, scores=np.ones(2))
    with pytest.raises(ValueError, match="kind"):
        coco_ap([], [], kind="polygon")
    with pytest.raises(ValueError, match=r"no COCO threshold is 0\.52"):
        CocoScore([Instances(box)], [Instances(box, scores=np.ones(1))], kind="box").average_precision(iou=0.52)
