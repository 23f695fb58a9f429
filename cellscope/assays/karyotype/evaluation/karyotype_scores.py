"""From metaphase to karyogram, counted as the paper counts (section II-C, Table III, Fig. 5 a and b).

Background is a class: a chromosome that was not found, or found and not named, is called background; an object that is
no chromosome is background named something.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.engine.eval.metric import Metric, measure
from cellscope.metrics.detection import box_iou, match

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cellscope.assays.karyotype.evaluation.scores import Prediction

NORMAL = 46
BACKGROUND = len(CLASSES)
NAMES = (*CLASSES, "background")
#: Table III's columns: cases with at least so many chromosomes right.
STEPS = (42, 37, 33)


def karyotype_counts(
    truths: Sequence[Metaphase], predictions: Sequence[Prediction]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count what became of every chromosome.

    Parameters
    ----------
    truths, predictions
        One per metaphase, in the same order; annotated chromosomes of unknown class are left out, and so is what was
        found of them.

    Returns
    -------
    confusion : (N, 25, 25) int64
        Per metaphase; rows are the truth, columns the call, background last.
    segmented : (N,) int64
        Objects that were segmented, named or not.
    expected : (N, 24) int64
        What a normal cell of the annotated sex holds: 46 in all.
    """
    confusion = np.zeros((len(truths), len(NAMES), len(NAMES)), np.int64)
    segmented, expected = np.zeros(len(truths), np.int64), np.full((len(truths), len(CLASSES)), 2, np.int64)
    for number, (truth, prediction) in enumerate(zip(truths, predictions, strict=True)):
        boxes = [one.reported_box(truth.image.shape) for one in prediction.detections]
        pairs = match(box_iou(truth.boxes, np.array(boxes, float).reshape(-1, 4)))
        found = dict(pairs)
        calls = [CLASSES.index(name) if name in CLASSES else BACKGROUND for name in prediction.classes]
        unknown = {column for row, column in pairs if truth.classes[row] is None}
        for row, name in enumerate(truth.classes):
            if name is not None:
                confusion[number, CLASSES.index(name), calls[found[row]] if row in found else BACKGROUND] += 1
        for column in set(range(len(calls))) - set(found.values()):
            confusion[number, BACKGROUND, calls[column]] += 1
        segmented[number] = len(calls) - len(unknown)
        male = "Y" in truth.classes
        expected[number, CLASSES.index("X")], expected[number, CLASSES.index("Y")] = (1, 1) if male else (2, 0)
    return confusion, segmented, expected


def _over_46(confusion: np.ndarray, index: np.ndarray) -> float | None:
    return float(np.trace(confusion[index][:, :BACKGROUND, :BACKGROUND].sum(0)) / (NORMAL * len(index)))


def _over_true(confusion: np.ndarray, index: np.ndarray) -> float | None:
    table = confusion[index].sum(0)[:BACKGROUND]
    return float(np.trace(table[:, :BACKGROUND]) / table.sum()) if table.sum() else None


def _over_segmented(confusion: np.ndarray, segmented: np.ndarray, index: np.ndarray) -> float | None:
    right = np.trace(confusion[index][:, :BACKGROUND, :BACKGROUND].sum(0))
    return float(right / segmented[index].sum()) if segmented[index].sum() else None


def _mean_share(
    confusion: np.ndarray, expected: np.ndarray, side: int, normal: bool, index: np.ndarray
) -> float | None:
    """Average right ones over the classes: per true one (`side` 1: recall) or per one called so (0: precision)."""
    table = confusion[index].sum(0)
    whole = table.sum(side)[:BACKGROUND]
    if normal and side:
        whole = expected[index].sum(0)
    elif normal:  # a chromosome that nobody was called is a wrong call
        whole = np.maximum(whole, expected[index].sum(0))
    there = whole > 0
    return float(np.mean(np.diag(table)[:BACKGROUND][there] / whole[there])) if there.any() else None


def karyotyping_metrics(
    confusion: np.ndarray,
    segmented: np.ndarray,
    expected: np.ndarray,
    groups: Sequence[str],
    *,
    prefix: str,
    seed: int,
) -> list[Metric]:
    """Give the paper's measures of fully automatic karyotyping, with intervals over groups.

    Parameters
    ----------
    confusion, segmented, expected
        From `karyotype_counts`.
    groups : sequence of N str
    prefix : str
        Begins the names.
    seed : int
    """
    share = partial(_mean_share, confusion, expected)
    figures = (
        ("fully_karyotyping_accuracy_46", partial(_over_46, confusion), "right over 46 per metaphase (FKA as printed)"),
        ("fully_karyotyping_accuracy", partial(_over_true, confusion), "right over annotated chromosomes"),
        (
            "fully_karyotyping_recall_46",
            partial(share, 1, True),
            "mean over classes: right over what a normal cell of that sex holds",
        ),
        ("fully_karyotyping_recall", partial(share, 1, False), "mean over classes: right over annotated"),
        (
            "fully_karyotyping_precision_46",
            partial(share, 0, True),
            "mean over classes: right over called so, or over what a normal cell holds where fewer were",
        ),
        ("fully_karyotyping_precision", partial(share, 0, False), "mean over classes: right over called so"),
        (
            "only_classifying_accuracy",
            partial(_over_segmented, confusion, segmented),
            "right over segmented objects (OCA)",
        ),
    )
    return [
        measure(prefix + name, groups, statistic, convention=f"chromosomes found (box IoU above 0.5) and named {text}",
                seed=seed)
        for name, statistic, text in figures
    ]  # fmt: skip


def case_histogram(confusion: np.ndarray) -> dict[str, int]:
    """Count cases by how many chromosomes are right (Table III): ``>=42``, ``37-41``, ``33-36``, ``<33``."""
    right = np.array([np.trace(table[:BACKGROUND, :BACKGROUND]) for table in confusion], int)
    counts = {f">={STEPS[0]}": int((right >= STEPS[0]).sum())}
    for above, step in pairwise(STEPS):
        counts[f"{step}-{above - 1}"] = int(((right >= step) & (right < above)).sum())
    counts[f"<{STEPS[-1]}"] = int((right < STEPS[-1]).sum())
    return counts


def histogram_metric(confusion: np.ndarray, *, prefix: str) -> Metric:
    """Give Table III's histogram: its value is the share of cases in the best column."""
    counts = case_histogram(confusion)
    total = len(confusion)
    return Metric(
        f"{prefix}cases_by_number_right",
        counts[f">={STEPS[0]}"] / total if total else None,
        None,
        None,
        total,
        "per class: metaphases with so many chromosomes found and named right; value: share with at least 42",
        {name: float(count) for name, count in counts.items()},
    )


def histogram_figure(confusion: np.ndarray, *, title: str) -> Figure:
    """Draw how many metaphases have how many chromosomes right, with the limits of Table III."""
    from matplotlib.ticker import MaxNLocator

    from cellscope.report.plots import ACCENT, MUTED, new_figure

    right = [int(np.trace(table[:BACKGROUND, :BACKGROUND])) for table in confusion]
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    axes.hist(right, bins=np.arange(-0.5, NORMAL + 2).tolist(), color=ACCENT)
    for step in STEPS:
        axes.axvline(step - 0.5, color=MUTED, linewidth=1, linestyle="--")
    axes.set_xlim(-0.5, NORMAL + 0.5)
    axes.set_xlabel("chromosomes found and named right")
    axes.set_ylabel("metaphases")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
