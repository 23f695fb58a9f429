"""The figures `eval` reports, with intervals over fields: calls on cells, nuclei found and frequencies per field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.assays.micronucleus.evaluation.scores import frequency_error, sensitivity_at
from cellscope.engine.eval.metric import Metric, measure
from cellscope.metrics.classification import (
    average_precision,
    balanced_accuracy,
    expected_calibration_error,
    per_class,
    roc_auc,
)

SPECIFICITIES = (0.95, 0.99)


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


def by_line(table: pd.DataFrame, title: str, metrics_of: Callable[..., list[Metric]], *, seed: int) -> list[Metric]:
    """Measure all cell lines together, then each alone: ``crops.auc``, ``crops.RPE1.auc``."""
    found = metrics_of(table, title, seed=seed)
    lines = sorted(set(table["line"]))
    for line in lines if len(lines) > 1 else []:
        found += metrics_of(table[table["line"] == line].reset_index(drop=True), f"{title}.{line}", seed=seed)
    return found


def _recall(truth: np.ndarray, called: np.ndarray, index: np.ndarray) -> float | None:
    return balanced_accuracy(truth[index], called[index])


def _f1(truth: np.ndarray, called: np.ndarray, kind: str, index: np.ndarray) -> float | None:
    """F1 of the positive class; of both, the mean (macro) or the mean weighted by their cells (weighted)."""
    table = per_class(truth[index], called[index], [False, True])
    if kind == "positive":
        value = table["f1"].iloc[1]
        return None if value is None else float(value)
    known = [(float(f1), n) for f1, n in zip(table["f1"], table["n"], strict=True) if n]
    if not known:
        return None
    weights = [n if kind == "weighted" else 1 for _, n in known]
    return float(np.average([f1 for f1, _ in known], weights=weights))


def _auc(truth: np.ndarray, score: np.ndarray, index: np.ndarray) -> float | None:
    return roc_auc(truth[index], score[index])


def _precision(truth: np.ndarray, score: np.ndarray, index: np.ndarray) -> float | None:
    return average_precision(truth[index], score[index])


def _sensitivity(truth: np.ndarray, score: np.ndarray, specificity: float, index: np.ndarray) -> float | None:
    return sensitivity_at(truth[index], score[index], specificity)


def _share(right: np.ndarray, index: np.ndarray) -> float | None:
    return float(right[index].mean()) if len(index) else None


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
        ("f1", partial(_f1, truth, called, "positive"), "F1 of the class micronucleus", None),
        ("f1_macro", partial(_f1, truth, called, "macro"), "mean of the F1 of both classes", None),
        (
            "f1_weighted",
            partial(_f1, truth, called, "weighted"),
            "mean of the F1 of both classes, weighted by their number of cells",
            None,
        ),
        ("auc", partial(_auc, truth, score), "area under the ROC curve, micronucleus against normal", None),
        ("average_precision", partial(_precision, truth, score), "average precision of the class micronucleus", None),
        ("calibration_error", partial(_calibration, truth, score), "expected calibration error, 15 equal bins", None),
    ]
    for specificity in SPECIFICITIES:
        wanted.append(
            (
                f"sensitivity_at_{round(100 * specificity)}",
                partial(_sensitivity, truth, score, specificity),
                f"share of positives above the {specificity:g} quantile of the normal cells of this split",
                None,
            )
        )
    groups = cells["group"].to_numpy()
    metrics = [
        measure(f"{prefix}.{name}", groups, statistic, convention=text, per_class=by_class, seed=seed)
        for name, statistic, text, by_class in wanted
    ]
    for name, ones, right in (("sensitivity", truth, called), ("specificity", ~truth, ~called)):
        metrics.append(
            measure(
                f"{prefix}.{name}",
                groups[ones],
                partial(_share, right[ones]),
                convention="at the threshold in use: the model's, or that of --specificity or --threshold",
                seed=seed,
            )
        )
    return metrics


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
        A row per field, from `cellscope.assays.micronucleus.evaluation.evaluate`.
    prefix : str
    seed : int
    """
    hits, true = fields["matched"].to_numpy(), fields["n_true"].to_numpy()
    scored = hits + fields["extra"].to_numpy()
    known = fields[(fields["n_true"] > 0) & fields["true_frequency"].notna()]
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


def line_table(metrics: list[Metric]) -> pd.DataFrame:
    """Put measures of all cell lines and of each side by side: ``crops.auc`` and ``crops.RPE1.auc`` share a row."""
    rows: dict[str, dict[str, float | None]] = {}
    for metric in metrics:
        what, *line, name = metric.name.split(".")
        rows.setdefault(f"{what}.{name}", {})[".".join(line) or "all"] = metric.value
    columns = dict.fromkeys(line for values in rows.values() for line in values)
    return pd.DataFrame([{"measure": name, **{c: values.get(c) for c in columns}} for name, values in rows.items()])


def operating_points(cells: pd.DataFrame, what: str, thresholds: Mapping[str, float], *, seed: int) -> pd.DataFrame:
    """Measure what thresholds do to the cells of this split.

    Parameters
    ----------
    cells : DataFrame
        From `cells_frame`, with ``group``.
    what : str
        For the first column.
    thresholds : mapping
        Name of an operating point -> probability from which a cell is positive. Those of a specificity come from the
        model's calibration, so the specificity reached here tells how well that carries over.
    seed : int
    """
    truth = (cells["class"] == MICRONUCLEUS).to_numpy()
    score, groups = cells[f"p_{MICRONUCLEUS}"].to_numpy(float), cells["group"].to_numpy()
    rows = []
    for name, threshold in thresholds.items():
        called = score >= threshold
        row: dict[str, Any] = {"what": what, "operating_point": name, "threshold": threshold}
        for side, ones, right in (("sensitivity", truth, called), ("specificity", ~truth, ~called)):
            found = measure(
                side, groups[ones], partial(_share, right[ones]), convention="share of calls that are right", seed=seed
            )
            row |= {side: found.value, f"{side}_low": found.low, f"{side}_high": found.high}
        rows.append(row | {"avg_acc": balanced_accuracy(truth, called)})
    return pd.DataFrame(rows)
