"""The pictures of `eval`: confusion, reliability, frequencies found against true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.metrics.classification import (
    average_precision,
    confusion_matrix,
    precision_points,
    reliability_table,
    roc_auc,
    roc_points,
)
from cellscope.report.plots import confusion_figure, curve_figure, reliability_figure


def class_figures(cells: pd.DataFrame, title: str) -> dict[str, Any]:
    """Draw the confusion matrix and the reliability of calls on cells.

    Parameters
    ----------
    cells : DataFrame
        From `cellscope.assays.micronucleus.evaluation.metrics.cells_frame`.
    title : str
    """
    truth, called = cells["class"].to_numpy(), cells["predicted"].to_numpy()
    score = cells[f"p_{MICRONUCLEUS}"].to_numpy(float)
    positive = truth == MICRONUCLEUS
    table = reliability_table(np.column_stack([1 - score, score]), positive.astype(int))
    words = title.replace("_", " ")
    return {
        f"confusion_{title}": confusion_figure(
            confusion_matrix(truth, called, list(CLASSES)), list(CLASSES), title=words
        ),
        f"reliability_{title}": reliability_figure(table, title=words),
        **_curves(positive, score, title),
    }


def _curves(positive: np.ndarray, score: np.ndarray, title: str) -> dict[str, Any]:
    """Draw the ROC curve and the precision-recall curve; nothing where one class is missing."""
    if positive.all() or not positive.any():
        return {}
    words = title.replace("_", " ")
    false, true = roc_points(positive, score)
    recall, precision = precision_points(positive, score)
    return {
        f"roc_{title}": curve_figure(
            false,
            true,
            ("false positive rate (1 - specificity)", "true positive rate (sensitivity)"),
            f"{words}: area under the curve {roc_auc(positive, score):.3f}",
            chance=(0.0, 1.0),
        ),
        f"precision_recall_{title}": curve_figure(
            recall,
            precision,
            ("recall (sensitivity)", "precision"),
            f"{words}: average precision {average_precision(positive, score):.3f}",
            chance=(float(positive.mean()),) * 2,
        ),
    }


def frequency_figure(fields: pd.DataFrame) -> Any:
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
