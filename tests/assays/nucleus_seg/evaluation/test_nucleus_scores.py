"""What eval measures, and the tests of one against another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from nucleus_edges import edge_scores, network_edges, opencv_edges

from cellscope.assays.nucleus_seg.evaluation.scores import (
    COMPARED,
    compared_measures,
    f1_by_overlap,
    image_measures,
    true_cells,
    true_nuclei,
)
from cellscope.engine.eval import compare


def test_an_image_by_hand() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:12, 2:22] = 128
    mask[4:10, 4:14] = 255
    labels = np.zeros((20, 30), int)
    labels[4:10, 6:16] = 1
    measures, counts, _ = image_measures(mask, labels, np.where(mask > 0, 1, 0))
    assert (counts.true_positive, counts.false_positive, counts.false_negative) == (48, 12, 12)
    assert measures["dice"] == pytest.approx(0.8)
    assert measures["cell_dice"] == 1
    assert (measures["n_true"], measures["n_found"]) == (1, 1)
    assert measures["hd95"] == pytest.approx(2)
    mask[0, 0] = 64
    assert np.isnan(image_measures(mask, labels, labels)[0]["cell_dice"])
    assert true_cells(np.zeros((4, 4), np.uint8)) == 0


def test_single_nuclei_by_hand() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[2:18, 2:18] = 128
    mask[4:14, 4:14] = 255  # one cell, a nucleus of 10 x 10 pixels and a lobe of 2 x 10 beside it
    mask[16:18, 4:14] = 255
    mask[22:32, 22:32] = 255  # a cell that is not found
    mask[38, 38] = 255  # a speck
    truth = true_nuclei(mask)
    assert sorted(np.bincount(truth.ravel())[1:]) == [100, 120]
    labels = np.zeros((40, 40), int)
    labels[4:14, 4:14] = 1  # IoU 100 / 120 = 0.833
    labels[4:14, 30:40] = 2  # there is none
    measures, _, matched = image_measures(mask, labels, None)
    # IoU above 0.5, 0.55, ... 0.8 finds one of two, with two found; above 0.85 none.
    assert matched.tolist() == [1] * 7 + [0] * 3 + [2, 2]
    assert measures["pq"] == pytest.approx((100 / 120) / (1 + 0.5 * 2))
    assert measures["aji"] == pytest.approx(100 / (120 + 100 + 100))
    assert f1_by_overlap(np.stack([matched, matched])).tolist() == [0.5] * 7 + [0] * 3
    empty = image_measures(np.zeros((9, 9), np.uint8), np.zeros((9, 9), int), None)[2]
    assert np.isnan(f1_by_overlap(empty[None])).all()


def test_numbered_nuclei_that_touch_are_two() -> None:
    mask = np.full((40, 40), 64, np.uint8)
    mask[10:20, 5:25] = 255
    numbers = np.where(mask == 255, 1, 0)
    numbers[:, 15:] *= 2
    assert (true_cells(mask), true_cells(mask, numbers)) == (1, 2)
    one, _, _ = image_measures(mask, np.where(mask == 255, 1, 0), None, numbers)
    two, _, matched = image_measures(mask, numbers, None, numbers)
    assert one["dice"] == two["dice"] == 1
    assert (one["pq"], one["n_true"]) == (0, 2)  # either half is covered by half: an overlap of exactly 0.5
    assert (two["pq"], two["n_true"], two["n_found"]) == (1, 2, 2)
    assert matched.tolist() == [2] * 12


def table(values: list[float], folds: list[int] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"image": [f"i{n}" for n in range(len(values))], **dict.fromkeys(COMPARED, values)})
    return frame if folds is None else frame.assign(fold=folds)


def compare_tables(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    return compare.compare_tables(ours, theirs, compared_measures)


def test_comparisons_over_images_and_folds() -> None:
    ours, theirs = [0.9, 0.91, 0.95, 0.97, 0.99, 0.93], [0.8, 0.85, 0.95, 0.92, 0.9, 0.91]
    folds = [0, 0, 1, 1, 2, 2]
    tested = compare_tables(table(ours, folds), table(theirs, folds).iloc[::-1])
    dice = tested[tested["measure"] == "dice"].set_index(["unit", "test"])
    assert dice.loc[("fold", "unpaired t"), "df"] == 4  # as in the paper's Table 4
    assert dice.loc[("image", "paired t"), "difference"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert dice.loc[("image", "Wilcoxon"), "df"] == 5
    assert len(compare_tables(table(ours), table(theirs))) == 2 * len(COMPARED)
    same = compare_tables(table(ours), table(ours))
    assert same["p"].isna().all()
    with pytest.raises(ValueError, match="no image in common"):
        compare_tables(table(ours), table(theirs).assign(image=[f"other{n}" for n in range(6)]))


def test_sobel_follows_a_blurred_outline_better_than_laplace() -> None:
    import cv2

    rows, columns = np.mgrid[:120, :120]
    nucleus = (rows - 60) ** 2 + (columns - 60) ** 2 <= 900
    noise = np.random.default_rng(0).normal(0, 6, nucleus.shape)
    grey = np.clip(cv2.GaussianBlur(np.where(nucleus, 60.0, 210.0), (0, 0), 1.5) + noise, 0, 255).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, 2)
    for edges_of in (opencv_edges, network_edges):
        sobel, laplacian = (edge_scores(edges_of(rgb, name), nucleus) for name in ("sobel", "laplacian"))
        assert sobel["recall"] > 0.8
        assert all(sobel[name] > laplacian[name] for name in ("ssim", "precision", "accuracy"))
