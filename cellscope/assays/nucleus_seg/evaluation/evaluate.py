"""`cellscope nucleus-seg eval`: the whole pipeline, evaluated on a split or over folds, with the Otsu baseline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE, find, otsu_nuclei
from cellscope.assays.nucleus_seg.evaluation.figures import box_figure, worst_figure
from cellscope.assays.nucleus_seg.evaluation.scores import compared_measures, image_measures
from cellscope.assays.nucleus_seg.options import EvalOptions, PredictOptions
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.engine.assay import Subject
from cellscope.engine.eval.jobs import Job, jobs_of
from cellscope.engine.eval.metric import Metric, measure, metrics_figure, over_folds
from cellscope.engine.eval.run import Evaluation
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.overlap import Counts, overlap_metrics, pool
from cellscope.options.fields import extended

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import WorkerOptions

WINDOW = 8
#: Worst images kept for the figure.
WORST = 10

CONVENTIONS = {
    "dice": "nucleus pixels, mean over images",
    "iou": "nucleus pixels, mean over images",
    "accuracy": "share of pixels called right (nucleus or not), mean over images",
    "precision": "nucleus pixels, mean over images",
    "recall": "nucleus pixels, mean over images",
    "boundary_f1": "outlines of all nuclei of an image, tolerance 2 pixels, mean over images",
    "hd95": "95 % Hausdorff distance of the outlines, pixels, mean over images that have both",
}
RAW = "the network's mask alone: one view, probability over the threshold, no rules"


@dataclass
class Measured:
    """What one image came to."""

    row: dict[str, Any]
    counts: Counts
    baseline: Counts
    image: np.ndarray
    truth: np.ndarray
    labels: np.ndarray


def evaluate(
    dataset: Path,
    out: Path,
    *,
    run: WorkerOptions,
    options: EvalOptions,
    models: list[str],
    split: str,
    argv: list[str],
    compare: Sequence[Path] = (),
) -> int:
    """Measure a model on one split, or the models of a cross-validation each on its own fold.

    Parameters
    ----------
    dataset : Path
        From ``cellscope nucleus-seg prepare``.
    out : Path
    run, options
    models : list of str
        A model file or a built-in name; for ``--split folds`` one per fold, in any order: each model says which fold it
        was not trained on.
    split : str
        ``train``, ``val``, ``test``, or ``folds``.
    argv : list of str
    compare : sequence of Path
        Folders of other evaluations of the same images.

    Returns
    -------
    int
        Exit code 0, or 3 where items failed.
    """
    evaluation = Evaluation(ASSAY, dataset, out, run=run, split=split, argv=argv, models=models, compare=compare)
    prepared = evaluation.prepared
    found: list[Measured] = []
    for job in jobs_of(prepared, split, models, weightless=ASSAY.weightless, limit=run.limit):
        read_item = partial(_read_item, prepared, extended(options, PredictOptions))
        items = evaluation.measure(job.rows, evaluation.load(job.models), read_item, measure_image, window=WINDOW)
        found += _named(job, items)
    table = pd.DataFrame([item.row for item in found])
    metrics = _metrics(table, found, run.seed)
    if options.raw:
        metrics = [replace(metric, convention=f"{metric.convention}; {RAW}") for metric in metrics]
    figures = {
        "dice_by_source": box_figure(table),
        "worst": worst_figure(sorted(found, key=lambda item: item.row["dice"])[:WORST]),
    }
    shown = [m for m in metrics if m.low is not None and m.value is not None and 0 <= m.value <= 1]
    figures["metrics"] = metrics_figure(shown, f"split {split}, 95 % intervals over groups")
    if not run.quiet:
        for metric in metrics:
            if metric.name.endswith("dice") or metric.name in ("otsu.dice_worst", "dice_worst"):
                print(f"{metric.name}: {metric.text}", file=sys.stderr)
    return evaluation.write(
        n=len(table),
        metrics=metrics,
        per_image=table,
        figures=figures,
        measures=compared_measures,
    )


def _named(job: Job, items: Mapping[str, Measured]) -> list[Measured]:
    """Say in every row which image it is of."""
    group_of = dict(zip(job.rows["id"], job.rows["group"], strict=True))
    for name, item in items.items():
        fold = {} if job.fold is None else {"fold": job.fold}
        item.row = {"image": name, "source": name.split("/", 1)[0], "group": group_of[name], **fold, **item.row}
    return list(items.values())


def _read_item(prepared: PreparedDataset, options: PredictOptions, row: Any, cards: Mapping[str, ModelCard]) -> Subject:
    subject = Subject(str(row.id), read(prepared.root / str(row.image)), IMAGE, options, cards, State())
    subject.truth = read(prepared.root / str(row.target)).pixels[..., 0]
    return subject


def measure_image(subject: Subject) -> Measured:
    """Compare the nuclei of an image, and those of the baseline, with the truth, (H, W) int labels."""
    truth, rgb = subject.truth, subject.image.pixels
    nuclei = find(subject)
    row, counts = image_measures(truth, nuclei.labels, nuclei.cells)
    baseline_row, baseline = image_measures(truth, otsu_nuclei(rgb).labels, None)
    row |= {f"otsu_{name}": baseline_row[name] for name in ("dice", "iou")}
    row["nucleus_diameter"] = subject.state.diameter
    return Measured(row, counts, baseline, rgb, truth, nuclei.labels)


def _mean(values: np.ndarray, index: np.ndarray) -> float | None:
    chosen = values[index]
    chosen = chosen[np.isfinite(chosen)]
    return float(chosen.mean()) if len(chosen) else None


def _pooled(name: str, counts: list[Counts], index: np.ndarray) -> float | None:
    return overlap_metrics(pool(counts[i] for i in index))[name]


def _metrics(table: pd.DataFrame, found: list[Measured], seed: int) -> list[Metric]:
    """Give all metrics: over everything, per source, pooled, the baseline's, over folds."""
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
    ours, theirs = [item.counts for item in found], [item.baseline for item in found]
    for name in ("dice", "iou", "accuracy", "precision", "recall"):
        add(f"pooled.{name}", everything, partial(_pooled, name, ours), "all pixels of all images pooled")
    add("otsu.pooled.dice", everything, partial(_pooled, "dice", theirs), "baseline: all pixels of all images pooled")
    return metrics + over_folds(table, ("dice", "iou", "accuracy", "precision", "recall"))
