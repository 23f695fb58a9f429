"""`cellscope micronucleus eval`: the classifier on crops and the whole pipeline on fields, evaluated on a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.assay import ASSAY
from cellscope.assays.micronucleus.classes import CROP, FIELD, MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.classify.calibration import DECISION, crop_probability, threshold_at
from cellscope.assays.micronucleus.count.conclude import conclude, crop_cell_probability, decision
from cellscope.assays.micronucleus.datasets.fields import Field, load_field
from cellscope.assays.micronucleus.evaluation.cells import CELLS, found_cells
from cellscope.assays.micronucleus.evaluation.figures import class_figures, frequency_figure
from cellscope.assays.micronucleus.evaluation.metrics import (
    SPECIFICITIES,
    by_line,
    cells_frame,
    classification_metrics,
    field_metrics,
    line_table,
    operating_points,
)
from cellscope.assays.micronucleus.evaluation.scores import compared_measures
from cellscope.assays.micronucleus.field.field import classical_nuclei
from cellscope.assays.micronucleus.field.state import State
from cellscope.assays.micronucleus.options import EvalOptions, PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.eval.metric import Metric, metrics_figure
from cellscope.engine.eval.run import Evaluation
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.instances import matched_labels
from cellscope.options.fields import extended

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import ShardOptions

WINDOW = 4


@dataclass(frozen=True, eq=False)
class Measured:
    """What one item came to: a row per cell; for a field its row of ``per_image.csv`` and its rows of ``cells.csv``."""

    cells: pd.DataFrame
    field: dict[str, Any] | None = None
    found: pd.DataFrame | None = None


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
    """Measure models on one split, over everything and per cell line.

    Parameters
    ----------
    dataset : Path
        From ``cellscope micronucleus prepare``.
    out : Path
    run, options
    models : list of str
        Model files or built-in names.
    split : str
        ``train``, ``val`` or ``test``.
    argv : list of str
    compare : sequence of Path
        Folders of other evaluations of the same items.

    Returns
    -------
    int
        Exit code 0, or 3 where items failed.
    """
    evaluation = Evaluation(
        ASSAY, dataset, out, run=run, options=options, split=split, argv=argv, models=models, compare=compare
    )
    prepared = evaluation.prepared
    rows = prepared.split(split).rename(columns={"class": "class_"})
    if run.limit:
        fields, crops = rows[rows["class_"] == ""], rows[rows["class_"] != ""]
        rows = pd.concat([fields.head(run.limit), crops.head(run.limit)])
    loaded = evaluation.load(models)
    thresholds = _thresholds(options, loaded.cards["classify"].training.get("calibration") or {})
    read_item = partial(_read_item, prepared, extended(options, PredictOptions))
    measured = evaluation.measure(rows, loaded, read_item, measure_item, window=WINDOW)
    if run.shard:
        return evaluation.end_shard()
    group_of = dict(zip(rows["id"], rows["group"], strict=True))
    table = pd.concat([one.cells for one in measured.values()], ignore_index=True)
    table.insert(1, "group", table["image"].map(group_of))
    fields = pd.DataFrame([one.field for one in measured.values() if one.field is not None])
    metrics: list[Metric] = []
    figures: dict[str, Any] = {}
    points: list[pd.DataFrame] = []
    for kind, title in ((CROP, "crops"), (FIELD, "field_cells")):
        part = table[table["kind"] == kind].reset_index(drop=True)
        if len(part):
            metrics += by_line(part, title, classification_metrics, seed=run.seed)
            figures |= class_figures(part, title)
            points.append(operating_points(part, title, thresholds, seed=run.seed))
        if len(part) and kind == CROP:
            alone = part["classifier_alone"].to_numpy(float)
            called = np.where(alone >= DECISION, MICRONUCLEUS, NORMAL)
            metrics += by_line(
                part.assign(predicted=called, **{f"p_{MICRONUCLEUS}": alone}),
                "classifier",
                classification_metrics,
                seed=run.seed,
            )
    if len(fields):
        metrics += by_line(fields, "fields", field_metrics, seed=run.seed)
        figures["frequency"] = frequency_figure(fields)
    shown = [metric for metric in metrics if metric.low is not None and metric.name.count(".") == 1]
    if shown:
        figures["metrics"] = metrics_figure(shown, f"split {split}, 95 % intervals over fields")
    found = [one.found for one in measured.values() if one.found is not None]
    return evaluation.write(
        measures=compared_measures,
        n=len(measured),
        data={CELLS: pd.concat(found, ignore_index=True)} if found else None,
        metrics=metrics,
        per_image=pd.concat([fields, table[table["kind"] == CROP]], ignore_index=True),
        figures=figures,
        tables={
            "lines": line_table(metrics),
            "operating_points": pd.concat(points, ignore_index=True) if points else pd.DataFrame(),
        },
    )


def _thresholds(options: EvalOptions, calibration: dict[str, Any]) -> dict[str, float]:
    """Name the operating points to measure: the one in use, and the model's own at stated specificities."""
    calibrated = bool(calibration.get("normal"))
    points = {f"specificity {share:g}": threshold_at(calibration, share) for share in SPECIFICITIES if calibrated}
    if options.threshold is not None:
        return {"--threshold": options.threshold} | points
    if options.specificity is not None and calibrated:
        return {"--specificity": threshold_at(calibration, options.specificity)} | points
    return {"default": DECISION} | points


def _read_item(prepared: PreparedDataset, options: PredictOptions, row: Any, cards: Mapping[str, ModelCard]) -> Subject:
    """Read an item of a split; the truth of a field is a `Field`, that of a crop its class."""
    image = read(prepared.root / str(row.image))
    subject = Subject(str(row.id), image, CROP if row.class_ else FIELD, options, cards, State())
    subject.truth = str(row.class_) if row.class_ else load_field(prepared.root, row)
    return subject


def measure_item(subject: Subject) -> Measured:
    """Compare what was found in a field, or what a crop was called, with the truth."""
    line = subject.name.split("/", 1)[0]
    return _measure_crop(subject, line) if subject.kind == CROP else _measure_field(subject, line)


def _measure_crop(subject: Subject, line: str) -> Measured:
    probability = np.array([crop_cell_probability(subject)])
    called = probability >= decision(subject)
    cell = cells_frame(subject.name, CROP, line, np.array([subject.truth == MICRONUCLEUS]), probability, called)
    cell["classifier_alone"] = crop_probability(subject.state.logits, subject.cards["classify"].thresholds)
    return Measured(cell)


def _measure_field(subject: Subject, line: str) -> Measured:
    truth: Field = subject.truth
    found = conclude(subject)
    labels, objects = found.artefacts[".labels.tif"], found.objects.set_index("label")
    pairs = matched_labels(truth.nuclei, labels)
    true_ids = [int(label) for label in np.unique(truth.nuclei) if label]
    carriers = truth.positive()
    matched = objects.loc[list(pairs.values())]
    able = objects["scorable"].to_numpy(bool)
    hit = np.isin(objects.index.to_numpy(), list(pairs.values()))
    classical = classical_nuclei(truth.grey)
    field = {
        "image": subject.name,
        "kind": FIELD,
        "line": line,
        "n_true": len(true_ids),
        "n_found": len(objects),
        "matched": len(pairs),
        "extra": int((able & ~hit).sum()),
        "not_scorable": int((~able).sum()),
        "otsu_matched": len(matched_labels(truth.nuclei, classical)),
        "otsu_found": int(classical.max()),
        "true_frequency": len(carriers) / len(true_ids) if true_ids and truth.complete else np.nan,
        "found_frequency": float((objects.loc[able, "class"] == MICRONUCLEUS).mean()) if able.any() else 0.0,
    }
    told = slice(None) if truth.complete else slice(0)  # what carries no outlined micronucleus may carry another
    cells = cells_frame(
        subject.name,
        FIELD,
        line,
        np.array([label in carriers for label in pairs], bool)[told],
        matched[f"p_{MICRONUCLEUS}"].to_numpy(float)[told],
        (matched["class"] == MICRONUCLEUS).to_numpy(bool)[told],
    )
    return Measured(
        cells, field, found_cells(subject.name, line, truth, pairs, found.objects) if truth.complete else None
    )
