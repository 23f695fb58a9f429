"""`cellscope micronucleus eval`: the classifier on crops and the whole road on fields, measured on a split."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus import predict as road
from cellscope.assays.micronucleus.calibrate import DECISION, crop_probability
from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.data_nuclei import Field, load_field
from cellscope.assays.micronucleus.field import classical_nuclei
from cellscope.assays.micronucleus.score import frequency_error, match_nuclei, sensitivity_at
from cellscope.engine.assay import Result, Subject
from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.evaluate import (
    Metric,
    confusion_figure,
    interval_figure,
    measure,
    refuse_evaluation,
    reliability_figure,
    write_evaluation,
)
from cellscope.engine.predict import load_models
from cellscope.engine.stages import run_subjects
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.classification import (
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class,
    reliability_table,
    roc_auc,
)

if TYPE_CHECKING:
    from cellscope.assays.micronucleus.config import PredictOptions
    from cellscope.engine.options import RunOptions

WINDOW = 4
ALL = "all"


def evaluate(
    dataset: Path,
    out: Path,
    *,
    run: RunOptions,
    options: PredictOptions,
    models: list[str],
    split: str,
    argv: list[str],
) -> int:
    """Measure models on one split, over everything and per cell line.

    Parameters
    ----------
    dataset : Path
        From ``cellscope micronucleus prepare``.
    out : Path
    run, options
        As for ``predict``.
    models : list of str
        Model files or built-in names.
    split : str
        ``train``, ``val`` or ``test``.
    argv : list of str

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    UsageError
        For options that only ``predict`` has.
    """
    began = time.monotonic()
    for owner, names in (
        (run, ("shard", "skip_existing", "glob", "pixel_size", "group_by")),
        (options, ("nuclei", "corrections")),
    ):
        for name in names:
            if getattr(owner, name):
                raise UsageError(f"eval takes its items from the dataset: --{name.replace('_', '-')} is for predict")
    refuse_evaluation(out, overwrite=run.overwrite)
    prepared = PreparedDataset.open(dataset, assay="micronucleus")
    rows = prepared.split(split).rename(columns={"class": "class_"})
    if run.limit:
        fields, crops = rows[rows["class_"] == ""], rows[rows["class_"] != ""]
        rows = pd.concat([fields.head(run.limit), crops.head(run.limit)])
    device = pick_device(run.device)
    loaded = load_models(road.ASSAY, models, device)
    measured = replace(road.ASSAY, conclude=conclude_for_measuring, classes_columns=no_columns)
    cells: list[pd.DataFrame] = []
    fields_seen: list[dict[str, Any]] = []
    subjects = _subjects(prepared, rows, options, loaded.cards)
    dtype = pick_precision(run.precision, device)
    for number, (subject, result, error) in enumerate(
        run_subjects(measured, subjects, loaded.modules, run=run, device=device, dtype=dtype, window=WINDOW), 1
    ):
        if result is None:
            raise CellscopeError(f"{subject.name}: {error}")
        cells.append(result.artefacts["cells"])
        if "field" in result.artefacts:
            fields_seen.append(result.artefacts["field"])
        if number % 100 == 0 and not run.quiet:
            print(f"micronucleus eval: {number} of {len(rows)}", file=sys.stderr, flush=True)
    group_of = dict(zip(rows["id"], rows["group"], strict=True))
    table = pd.concat(cells, ignore_index=True)
    table.insert(1, "group", table["image"].map(group_of))
    fields = pd.DataFrame(fields_seen)
    metrics: list[Metric] = []
    figures: dict[str, Any] = {}
    for kind, title in ((road.CROP, "crops"), (road.FIELD, "field_cells")):
        part = table[table["kind"] == kind].reset_index(drop=True)
        if len(part):
            metrics += _by_line(part, title, classification_metrics, seed=run.seed)
            figures |= _class_figures(part, title)
        if len(part) and kind == road.CROP:
            alone = part["classifier_alone"].to_numpy(float)
            called = np.where(alone >= DECISION, MICRONUCLEUS, NORMAL)
            metrics += _by_line(
                part.assign(predicted=called, **{f"p_{MICRONUCLEUS}": alone}),
                "classifier",
                classification_metrics,
                seed=run.seed,
            )
    if len(fields):
        metrics += _by_line(fields, "fields", field_metrics, seed=run.seed)
        figures["frequency"] = _frequency_figure(fields)
    shown = [metric for metric in metrics if metric.low is not None and metric.name.count(".") == 1]
    if shown:
        figures["metrics"] = interval_figure(
            [metric.name for metric in shown], [metric.value for metric in shown], [metric.low for metric in shown],
            [metric.high for metric in shown], title=f"split {split}, 95 % intervals over fields",
        )  # fmt: skip
    write_evaluation(
        out,
        assay="micronucleus",
        dataset={"path": str(dataset), **prepared.info},
        split=split,
        n=len(rows),
        metrics=metrics,
        per_image=pd.concat([fields, table[table["kind"] == road.CROP]], ignore_index=True),
        figures=figures,
        models=loaded.records,
        argv=argv,
        seconds=time.monotonic() - began,
        overwrite=run.overwrite,
    )
    return 0


def _subjects(prepared: PreparedDataset, rows: pd.DataFrame, options: Any, cards: Any) -> Iterator[Subject]:
    """Make subjects of a split's items; a field carries its truth along."""
    for row in rows.itertuples():
        image = read(prepared.root / str(row.image))
        is_field = not row.class_
        subject = Subject(str(row.id), image, road.FIELD if is_field else road.CROP, options, cards)
        if is_field:
            subject.state["truth"] = load_field(prepared.root, row)
        else:
            subject.state["class"] = str(row.class_)
        yield subject


def no_columns(_cards: Any) -> tuple[str, ...]:
    """Ask for no probability columns: what is measured is not written as objects."""
    return ()


def conclude_for_measuring(subject: Subject) -> Result:
    """Give what the metrics need instead of pictures and files."""
    empty = pd.DataFrame(columns=["label", "class", "score", "review"])
    line = subject.name.split("/", 1)[0]
    if subject.kind == road.CROP:
        probability = np.array([road.crop_cell_probability(subject)])
        called = probability >= road.decision(subject)
        alone = crop_probability(subject.state["logits"], subject.cards["classify"].thresholds)
        cell = cells_frame(
            subject.name, road.CROP, line, np.array([subject.state["class"] == MICRONUCLEUS]), probability, called
        )
        cell["classifier_alone"] = alone
        return Result(empty, artefacts={"cells": cell})
    truth: Field = subject.state["truth"]
    found = road.conclude(subject)
    labels, objects = found.artefacts[".labels.tif"], found.objects.set_index("label")
    pairs = match_nuclei(truth.nuclei, labels)
    true_ids = [int(label) for label in np.unique(truth.nuclei) if label]
    carriers = truth.positive()
    matched = objects.loc[list(pairs.values())]
    able = objects["scorable"].to_numpy(bool)
    hit = np.isin(objects.index.to_numpy(), list(pairs.values()))
    classical = classical_nuclei(truth.grey)
    field = {
        "image": subject.name,
        "kind": road.FIELD,
        "line": line,
        "n_true": len(true_ids),
        "n_found": len(objects),
        "matched": len(pairs),
        "extra": int((able & ~hit).sum()),
        "not_scorable": int((~able).sum()),
        "otsu_matched": len(match_nuclei(truth.nuclei, classical)),
        "otsu_found": int(classical.max()),
        "true_frequency": len(carriers) / len(true_ids) if true_ids else np.nan,
        "found_frequency": float((objects.loc[able, "class"] == MICRONUCLEUS).mean()) if able.any() else 0.0,
    }
    cells = cells_frame(
        subject.name,
        road.FIELD,
        line,
        np.array([label in carriers for label in pairs], bool),
        matched[f"p_{MICRONUCLEUS}"].to_numpy(float),
        (matched["class"] == MICRONUCLEUS).to_numpy(bool),
    )
    return Result(empty, artefacts={"cells": cells, "field": field})


def cells_frame(
    image: str, kind: str, line: str, positive: np.ndarray, probability: np.ndarray, called: np.ndarray
) -> pd.DataFrame:
    """Make a table with a row per cell: truth, probability and call."""
    return pd.DataFrame(
        {
            "image": image,
            "kind": kind,
            "line": line,
            "class": [CLASSES[int(value)] for value in positive],
            "predicted": [CLASSES[int(value)] for value in called],
            f"p_{MICRONUCLEUS}": probability,
        }
    )


def _by_line(table: pd.DataFrame, title: str, metrics_of: Callable[..., list[Metric]], *, seed: int) -> list[Metric]:
    """Measure all cell lines together, then each alone: ``crops.auc``, ``crops.RPE1.auc``."""
    found = metrics_of(table, title, seed=seed)
    lines = sorted(set(table["line"]))
    for line in lines if len(lines) > 1 else []:
        found += metrics_of(table[table["line"] == line].reset_index(drop=True), f"{title}.{line}", seed=seed)
    return found


def _recall(truth: np.ndarray, called: np.ndarray, index: np.ndarray) -> float | None:
    return balanced_accuracy(truth[index], called[index])


def _f1(truth: np.ndarray, called: np.ndarray, index: np.ndarray) -> float | None:
    value = per_class(truth[index], called[index], [False, True])["f1"].iloc[1]
    return None if value is None else float(value)


def _auc(truth: np.ndarray, score: np.ndarray, index: np.ndarray) -> float | None:
    return roc_auc(truth[index], score[index])


def _precision(truth: np.ndarray, score: np.ndarray, index: np.ndarray) -> float | None:
    return average_precision(truth[index], score[index])


def _sensitivity(truth: np.ndarray, score: np.ndarray, specificity: float, index: np.ndarray) -> float | None:
    return sensitivity_at(truth[index], score[index], specificity)


def _calibration(truth: np.ndarray, score: np.ndarray, index: np.ndarray) -> float | None:
    probabilities = np.column_stack([1 - score[index], score[index]])
    return expected_calibration_error(probabilities, truth[index].astype(int))


def classification_metrics(cells: pd.DataFrame, prefix: str, *, seed: int) -> list[Metric]:
    """Measure the calls on cells: Avg_Acc, F1, ROC AUC, average precision, sensitivity at a specificity, calibration.

    Parameters
    ----------
    cells : DataFrame
        From `cells_frame`, with ``group``.
    prefix : str
    seed : int
    """
    truth = (cells["class"] == MICRONUCLEUS).to_numpy()
    called = (cells["predicted"] == MICRONUCLEUS).to_numpy()
    score = cells[f"p_{MICRONUCLEUS}"].to_numpy(float)
    recalls = per_class(truth, called, [False, True])["recall"]
    shares = {name: None if value is None else float(value) for name, value in zip(CLASSES, recalls, strict=True)}
    wanted: list[tuple[str, Callable[[np.ndarray], float | None], str, Any]] = [
        (
            "avg_acc",
            partial(_recall, truth, called),
            "mean of the recalls of the two classes (the paper's Avg_Acc)",
            shares,
        ),
        ("f1", partial(_f1, truth, called), "F1 of the class micronucleus", None),
        ("auc", partial(_auc, truth, score), "area under the ROC curve, micronucleus against normal", None),
        ("average_precision", partial(_precision, truth, score), "average precision of the class micronucleus", None),
        ("calibration_error", partial(_calibration, truth, score), "expected calibration error, 15 equal bins", None),
    ]
    for specificity in (0.95, 0.99):
        wanted.append(
            (
                f"sensitivity_at_{round(100 * specificity)}",
                partial(_sensitivity, truth, score, specificity),
                f"share of positives above the {specificity:g} quantile of the normal cells of this split",
                None,
            )
        )
    groups = cells["group"].to_numpy()
    return [
        measure(f"{prefix}.{name}", groups, statistic, convention=text, per_class=by_class, seed=seed)
        for name, statistic, text, by_class in wanted
    ]


def _found_f1(hits: np.ndarray, true: np.ndarray, found: np.ndarray, index: np.ndarray) -> float | None:
    total = true[index].sum() + found[index].sum()
    return float(2 * hits[index].sum() / total) if total else None


def _frequency(true: np.ndarray, found: np.ndarray, name: str, index: np.ndarray) -> float | None:
    return frequency_error(true[index], found[index])[name]


def field_metrics(fields: pd.DataFrame, prefix: str, *, seed: int) -> list[Metric]:
    """Measure the fields: nuclei found (and by Otsu and a watershed, for comparison), frequency per field.

    Parameters
    ----------
    fields : DataFrame
        A row per field, from `conclude_for_measuring`.
    prefix : str
    seed : int
    """
    hits, true = fields["matched"].to_numpy(), fields["n_true"].to_numpy()
    scored = hits + fields["extra"].to_numpy()
    known = fields[fields["n_true"] > 0]
    frequencies = known["true_frequency"].to_numpy(float), known["found_frequency"].to_numpy(float)
    groups, known_groups = fields["image"].to_numpy(), known["image"].to_numpy()
    one = "one to one, IoU above 0.5; found nuclei that are not scorable count only when they match"
    metrics = [
        measure(
            f"{prefix}.nuclei_f1",
            groups,
            partial(_found_f1, hits, true, scored),
            convention=f"F1 of nuclei found, {one}",
            seed=seed,
        ),
        measure(
            f"{prefix}.otsu_nuclei_f1",
            groups,
            partial(_found_f1, fields["otsu_matched"].to_numpy(), true, fields["otsu_found"].to_numpy()),
            convention="for comparison: F1 of Otsu's threshold with a watershed of the distance, the same matching",
            seed=seed,
        ),
    ]
    for name, text in (
        ("frequency_r", "Pearson correlation over fields of the true and the found frequency of micronucleated cells"),
        ("frequency_mae", "mean absolute difference over fields of that frequency"),
        ("frequency_bias", "mean over fields of the found less the true frequency"),
    ):
        metrics.append(
            measure(
                f"{prefix}.{name}", known_groups, partial(_frequency, *frequencies, name), convention=text, seed=seed
            )
        )
    return metrics


def _class_figures(cells: pd.DataFrame, title: str) -> dict[str, Any]:
    truth, called = cells["class"].to_numpy(), cells["predicted"].to_numpy()
    score = cells[f"p_{MICRONUCLEUS}"].to_numpy(float)
    table = reliability_table(np.column_stack([1 - score, score]), (truth == MICRONUCLEUS).astype(int))
    words = title.replace("_", " ")
    return {
        f"confusion_{title}": confusion_figure(
            confusion_matrix(truth, called, list(CLASSES)), list(CLASSES), title=words
        ),
        f"reliability_{title}": reliability_figure(table, title=words),
    }


def _frequency_figure(fields: pd.DataFrame) -> Any:
    """Draw found against true frequency, a point per field, a colour per cell line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    top = 1.05 * max(float(fields[["true_frequency", "found_frequency"]].max().max()), 0.05)
    axes.plot([0, top], [0, top], color="0.7", lw=1, zorder=0)
    for line, part in fields.groupby("line"):
        axes.scatter(part["true_frequency"], part["found_frequency"], label=str(line), s=28)
    axes.set(xlim=(0, top), ylim=(0, top), xlabel="true frequency", ylabel="found frequency", aspect="equal")
    axes.set_title("Micronucleated cells per field")
    axes.legend(frameon=False)
    return figure
