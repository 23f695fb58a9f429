"""Every metric of `eval` with its interval: overall and by source, of pixels and of nuclei, and the baseline's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.evaluation.scores import INSTANCE_MEASURES, OVERLAPS, f1_by_overlap
from cellscope.engine.eval.metric import Metric, measure, over_folds
from cellscope.metrics.overlap import Counts, overlap_metrics, pool

CONVENTIONS = {
    "dice": "nucleus pixels, mean over images",
    "iou": "nucleus pixels, mean over images",
    "accuracy": "share of pixels called right (nucleus or not), mean over images",
    "precision": "nucleus pixels, mean over images",
    "recall": "nucleus pixels, mean over images",
    "boundary_f1": "outlines of all nuclei of an image, tolerance 2 pixels, mean over images",
    "hd95": "95 % Hausdorff distance of the outlines, pixels, mean over images that have both",
}
POOLED = "2 TP / (annotated + found), nuclei of all images together"
INSTANCES = {
    "pq": "panoptic quality of the nuclei of an image (pairs with IoU over 0.5), mean over images",
    "aji": "aggregated Jaccard index of the nuclei of an image, mean over images",
}
#: Overlaps whose F1 is a metric of its own.
SHOWN = (0.5, 0.75, 0.9)


def _mean(values: np.ndarray, index: np.ndarray) -> float | None:
    chosen = values[index]
    chosen = chosen[np.isfinite(chosen)]
    return float(chosen.mean()) if len(chosen) else None


def _pooled(name: str, counts: list[Counts], index: np.ndarray) -> float | None:
    return overlap_metrics(pool(counts[i] for i in index))[name]


def all_metrics(
    table: pd.DataFrame, ours: list[Counts], theirs: list[Counts], matched: np.ndarray, seed: int
) -> list[Metric]:
    """Give all metrics: over everything, per source, pooled, of single nuclei, the baseline's, over folds.

    Parameters
    ----------
    table : DataFrame
        Of ``per_image.csv``.
    ours, theirs : list of Counts
        Pixels of every image, the model's and the baseline's.
    matched : (images, len(OVERLAPS) + 2) int
        From `scores.matches`.
    seed : int
    """
    metrics: list[Metric] = []

    def add(name: str, index: np.ndarray, statistic: Callable[[np.ndarray], float | None], convention: str) -> None:
        groups = table["group"].to_numpy()[index]
        metrics.append(measure(name, groups, lambda at: statistic(index[at]), convention=convention, seed=seed))

    everything = np.arange(len(table))
    parts = [("", everything)] + [
        (f"{source}.", np.flatnonzero(table["source"] == source)) for source in sorted(set(table["source"]))
    ]
    if len(parts) == 2:
        parts = parts[:1]
    right = (table["n_true"] == table["n_found"]).to_numpy(float)
    for prefix, index in parts:
        for name, convention in CONVENTIONS.items():
            add(f"{prefix}{name}", index, partial(_mean, table[name].to_numpy(float)), convention)
        add(
            f"{prefix}cell_dice", index, partial(_mean, table["cell_dice"].to_numpy(float)),
            "nucleus and cytoplasm together, mean over images with cytoplasm masks",
        )  # fmt: skip
        add(f"{prefix}count_right", index, partial(_mean, right), "share of images with the annotated number of nuclei")
        _add_instances(add, prefix, index, table, matched)
        worst = float(table["dice"].to_numpy()[index].min())
        metrics.append(Metric(f"{prefix}dice_worst", worst, None, None, len(index), "lowest Dice of an image"))
        add(
            f"{prefix}otsu.dice",
            index,
            partial(_mean, table["otsu_dice"].to_numpy(float)),
            "baseline: " + CONVENTIONS["dice"],
        )
        otsu_worst = float(table["otsu_dice"].to_numpy()[index].min())
        metrics.append(Metric(f"{prefix}otsu.dice_worst", otsu_worst, None, None, len(index), "baseline: lowest Dice"))
    for name in ("dice", "iou", "accuracy", "precision", "recall"):
        add(f"pooled.{name}", everything, partial(_pooled, name, ours), "all pixels of all images pooled")
    add("otsu.pooled.dice", everything, partial(_pooled, "dice", theirs), "baseline: all pixels of all images pooled")
    return metrics + over_folds(table, ("dice", "iou", "accuracy", "precision", "recall"))


def _add_instances(
    add: Callable[..., None], prefix: str, index: np.ndarray, table: pd.DataFrame, matched: np.ndarray
) -> None:
    """Add what single nuclei come to: PQ and AJI per image, F1 above rising overlaps over all nuclei."""
    for name in INSTANCE_MEASURES:
        add(f"{prefix}instances.{name}", index, partial(_mean, table[name].to_numpy(float)), INSTANCES[name])
    for place, overlap in enumerate(OVERLAPS):
        if overlap in SHOWN:
            text = f"nuclei found with IoU over {overlap:g}, {POOLED}"
            add(f"{prefix}instances.f1_{overlap * 100:.0f}", index, partial(_f1, matched, place), text)
    text = f"mean F1 of nuclei found with IoU over {OVERLAPS[0]:g} to {OVERLAPS[-1]:g} in steps of 0.05, {POOLED}"
    add(f"{prefix}instances.f1_mean", index, partial(_f1, matched, None), text)


def _f1(matched: np.ndarray, place: int | None, index: np.ndarray) -> float | None:
    values = f1_by_overlap(matched[index])
    value = float(values.mean() if place is None else values[place])
    return value if np.isfinite(value) else None
