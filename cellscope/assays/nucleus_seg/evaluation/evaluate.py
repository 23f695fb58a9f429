"""`cellscope nucleus-seg eval`: the whole pipeline, evaluated on a split or over folds, with the Otsu baseline."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE, find, otsu_nuclei
from cellscope.assays.nucleus_seg.datasets.stored import read_nuclei
from cellscope.assays.nucleus_seg.evaluation.figures import box_figure, worst_figure
from cellscope.assays.nucleus_seg.evaluation.metrics import all_metrics
from cellscope.assays.nucleus_seg.evaluation.scores import compared_measures, image_measures
from cellscope.assays.nucleus_seg.options import EvalOptions, PredictOptions
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.engine.assay import Subject
from cellscope.engine.eval.jobs import Job, jobs_of
from cellscope.engine.eval.metric import metrics_figure
from cellscope.engine.eval.run import Evaluation
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.overlap import Counts
from cellscope.options.fields import extended

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import ShardOptions

WINDOW = 8
#: Worst images kept for the figure.
WORST = 10

RAW = "the network's mask alone: one view, probability over the threshold, no rules"


@dataclass
class Measured:
    """What one image came to."""

    row: dict[str, Any]
    counts: Counts
    baseline: Counts
    matched: np.ndarray
    image: np.ndarray
    truth: np.ndarray
    labels: np.ndarray


def evaluate(
    dataset: Path,
    out: Path,
    *,
    run: ShardOptions,
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
    evaluation = Evaluation(
        ASSAY, dataset, out, run=run, options=options, split=split, argv=argv, models=models, compare=compare
    )
    prepared = evaluation.prepared
    found: list[Measured] = []
    for job in jobs_of(prepared, split, models, weightless=ASSAY.weightless, limit=run.limit):
        read_item = partial(_read_item, prepared, extended(options, PredictOptions))
        items = evaluation.measure(job.rows, evaluation.load(job.models), read_item, measure_image, window=WINDOW)
        found += _named(job, items)
    if run.shard:
        return evaluation.end_shard()
    table = pd.DataFrame([item.row for item in found])
    metrics = all_metrics(
        table, [item.counts for item in found], [item.baseline for item in found],
        np.stack([item.matched for item in found]), run.seed,
    )  # fmt: skip
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
    mask = read(prepared.root / str(row.target)).pixels[..., 0]
    subject.truth = (mask, read_nuclei(prepared.root, str(row.target)))
    return subject


def measure_image(subject: Subject) -> Measured:
    """Compare the nuclei of an image, and those of the baseline, with the truth: a mask, and nuclei where numbered."""
    (truth, numbers), rgb = subject.truth, subject.image.pixels
    nuclei = find(subject)
    row, counts, matched = image_measures(truth, nuclei.labels, nuclei.cells, numbers)
    baseline_row, baseline, _ = image_measures(truth, otsu_nuclei(rgb).labels, None, numbers)
    row |= {f"otsu_{name}": baseline_row[name] for name in ("dice", "iou")}
    row["nucleus_diameter"] = subject.state.diameter
    return Measured(row, counts, baseline, matched, rgb, truth, nuclei.labels)
