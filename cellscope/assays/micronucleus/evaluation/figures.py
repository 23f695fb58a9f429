"""The pictures of `eval`: confusion, reliability, frequencies found against true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.metrics.classification import confusion_matrix, reliability_table
from cellscope.report.plots import confusion_figure, reliability_figure


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
    table = reliability_table(np.column_stack([1 - score, score]), (truth == MICRONUCLEUS).astype(int))
    words = title.replace("_", " ")
    return {
        f"confusion_{title}": confusion_figure(
            confusion_matrix(truth, called, list(CLASSES)), list(CLASSES), title=words
        ),
        f"reliability_{title}": reliability_figure(table, title=words),
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
