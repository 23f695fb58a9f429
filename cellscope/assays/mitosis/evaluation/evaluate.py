"""`cellscope mitosis eval`: a model on a split, overall and by line and dose, beside what dose alone would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.assay import ASSAY, PART
from cellscope.assays.mitosis.datasets.sequences import read_facts
from cellscope.assays.mitosis.evaluation.scores import calls, majority_by, scores, within_mixed
from cellscope.assays.mitosis.evaluation.sides import Sides
from cellscope.assays.mitosis.options import EvalOptions, PredictOptions
from cellscope.assays.mitosis.report.figures import Strip, gallery_figure
from cellscope.assays.mitosis.sequences.inputs import SEQUENCE, load, read_input
from cellscope.assays.mitosis.sequences.names import Facts
from cellscope.assays.mitosis.sequences.state import State
from cellscope.engine.assay import Subject
from cellscope.engine.eval.compare import right_and_probability
from cellscope.engine.eval.metric import LEVEL, Metric, measure, metrics_figure
from cellscope.engine.eval.run import Evaluation
from cellscope.io.choice import Choice
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.classification import confusion_matrix, reliability_table
from cellscope.metrics.intervals import f1_wilson, wider, wilson
from cellscope.options.common import MAX_PIXELS
from cellscope.options.fields import extended
from cellscope.report.plots import confusion_figure, reliability_figure

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import ShardOptions

WINDOW = 64
MOST_ERRORS = 12
LEAST_OF_BOTH = 5

_CONVENTIONS = {
    "accuracy": "share of sequences whose class is right",
    "precision": "TP / (TP + FP), {positive} positive",
    "recall": "TP / (TP + FN), {positive} positive",
    "specificity": "TN / (TN + FP), {positive} positive",
    "f1": "2 TP / (2 TP + FP + FN), {positive} positive, probability at least {threshold:g}",
    "roc_auc": "chance that a {positive} sequence has a higher probability than another, ties one half",
    "average_precision": "sum over thresholds of precision times recall gained, not interpolated, {positive} positive",
    "balanced_accuracy": "mean of recall and specificity",
    "f1_balanced": "F1 where both classes were equally frequent: 2 recall / (1 + recall + 1 - specificity)",
    "calibration_error": "expected calibration error, 15 equal bins of the larger probability",
}
SIDES = {
    "accuracy": "share of sequences rightly called one of {positive}, or not",
    "f1": "2 TP / (2 TP + FP + FN), {positive} positive, the most probable class counts",
}
"""The same of a model with several abnormal classes."""
_WIDER = "; interval: the wider of Wilson's over sequences and the bootstrap over groups"


@dataclass(frozen=True, eq=False)
class Measured:
    """What one sequence came to: probabilities, (K,); the view that was classified, float16; its frames."""

    p: np.ndarray
    shown: np.ndarray
    frames: np.ndarray


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
    """Measure a model on one split of a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope mitosis prepare``.
    out : Path
    run, options
    models : list of str
        A model file or a built-in name.
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
    rows = prepared.split(split).head(run.limit) if run.limit else prepared.split(split)
    loaded = evaluation.load(models)
    classes = loaded.cards[PART].classes
    sides = Sides.of(loaded.cards[PART], prepared, set(rows["class"]))
    # prepared sequences always hold transmitted light first
    read_item = partial(_read_item, prepared, replace(extended(options, PredictOptions), nuclei_channel=1))
    found = evaluation.measure(rows, loaded, read_item, measure_sequence, window=WINDOW)
    if run.shard:
        return evaluation.end_shard()
    facts = read_facts(prepared)
    table = items_table(rows[rows["id"].isin(list(found))], found, facts, classes, options.threshold)
    metrics = measures(table, classes, options.threshold, sides=sides, seed=run.seed)
    figures = _figures(table, found, classes, sides, metrics, split)
    return evaluation.write(
        measures=right_and_probability,
        n=len(table),
        metrics=metrics,
        per_image=table,
        figures=figures,
    )


def _read_item(prepared: PreparedDataset, options: PredictOptions, row: Any, cards: Mapping[str, ModelCard]) -> Subject:
    movie = read_input(prepared.root / row.image, Choice(), MAX_PIXELS, options)
    subject = Subject(str(row.id), movie, SEQUENCE, options, cards, State())  # type: ignore[arg-type]
    load(subject, MAX_PIXELS)
    return subject


def measure_sequence(subject: Subject) -> Measured:
    """Give the probabilities of a sequence and what the gallery shows of it."""
    state = subject.state
    return Measured(state.p[0], state.shown[0].astype(np.float16), state.frames[0])


def items_table(
    rows: pd.DataFrame,
    found: Mapping[str, Measured],
    facts: Mapping[str, Facts],
    classes: tuple[str, ...],
    threshold: float,
) -> pd.DataFrame:
    """Make ``per_image.csv``: what is known of each sequence, its class, the call, the probabilities."""
    p = np.stack([found[name].p for name in rows["id"]])
    known = [facts.get(name, Facts()) for name in rows["id"]]
    table = pd.DataFrame({"image": rows["id"].to_numpy(), "group": rows["group"].to_numpy()})
    table["line"] = [fact.line or "unknown" for fact in known]
    table["dose"] = [fact.dose or "unknown" for fact in known]
    table["class"] = rows["class"].to_numpy()
    table["predicted"] = [classes[number] for number in calls(p, threshold)]
    return table.join(pd.DataFrame(p, columns=[f"p_{name}" for name in classes]))


def measures(
    table: pd.DataFrame, classes: tuple[str, ...], threshold: float, *, sides: Sides | None = None, seed: int = 0
) -> list[Metric]:
    """Compute all metrics with intervals.

    Parameters
    ----------
    table : DataFrame
        From `items_table`.
    classes : tuple of str
    threshold : float
    sides : Sides, optional
        Which classes are abnormal; all but the first.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Metric
        Overall; accuracy and F1 of every cell line and every dose; the dose-only baseline; accuracy within doses that
        hold at least five of two classes.
    """
    sides = sides or Sides.usual(classes)
    truth = np.array([sides.truth[name] for name in table["class"]])
    p = table[[f"p_{name}" for name in classes]].to_numpy(float)
    groups = table["group"].to_numpy()
    called = " or ".join(classes[n] for n in sides.positive)
    metric = partial(_metric, called=called, positive=sides.positive, threshold=threshold, seed=seed)
    metrics = [metric(name, name, truth, p, groups) for name in _CONVENTIONS]
    for column in ("line", "dose"):
        for value in sorted(set(table[column]), key=_by_number):
            index = np.flatnonzero(table[column].to_numpy() == value)
            for name in ("accuracy", "f1"):
                label = f"{column}_{value}.{name}"
                metrics.append(metric(label, name, truth[index], p[index], groups[index]))
    abnormal = np.isin(truth, sides.positive).astype(int)
    from_dose = majority_by(table["dose"].tolist(), abnormal, table["group"].tolist())
    guess = np.eye(2)[from_dose]
    said = "; the class is guessed from the dose alone: the most frequent of its dose in the other groups of the split"
    for name in ("accuracy", "f1"):
        alone = partial(metric, positive=(1,), threshold=0.5, more=said)
        metrics.append(alone(f"dose_alone.{name}", name, abnormal, guess, groups))
    mixed = within_mixed(table["dose"].tolist(), abnormal, LEAST_OF_BOTH)
    more = f"; only doses with at least {LEAST_OF_BOTH} sequences of two classes each"
    for name in ("accuracy", "balanced_accuracy", "f1"):
        label = f"within_doses.{name}"
        metrics.append(metric(label, name, truth[mixed], p[mixed], groups[mixed], more=more))
    guessed = from_dose[mixed] == abnormal[mixed]
    low, high = wilson(int(guessed.sum()), len(guessed), LEVEL)
    value = float(guessed.mean()) if len(guessed) else None
    convention = f"{_CONVENTIONS['accuracy']}{said}{more}; interval: Wilson's over sequences"
    metrics.append(Metric("within_doses.dose_alone_accuracy", value, low, high, len(guessed), convention))
    return metrics


def _by_number(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)


def _statistic(
    name: str, truth: np.ndarray, p: np.ndarray, threshold: float, positive: tuple[int, ...], index: np.ndarray
) -> float | None:
    return scores(truth[index], p[index], threshold=threshold, positive=positive)[name]


def _metric(
    label: str, name: str, truth: np.ndarray, p: np.ndarray, groups: np.ndarray, *, called: str,
    positive: tuple[int, ...], threshold: float, seed: int, more: str = "",
) -> Metric:  # fmt: skip
    """Compute one metric; its interval is honest for few sequences and allows for likeness within groups."""
    statistic = partial(_statistic, name, truth, p, threshold, positive)
    found = measure(label, groups, statistic, convention=_CONVENTIONS[name], seed=seed)
    value, low, high = found.value, found.low, found.high
    interval = (low, high) if low is not None and high is not None else (None, None)
    true, said = np.isin(truth, positive), np.isin(calls(p, threshold), positive)
    hit, missed, false = int((true & said).sum()), int((true & ~said).sum()), int((~true & said).sum())
    right = len(truth) - hit - missed - false
    counts = {
        "accuracy": (hit + right, len(truth)),
        "precision": (hit, hit + false),
        "recall": (hit, hit + missed),
        "specificity": (right, right + false),
    }
    several = len(positive) > 1 and name in SIDES
    convention = (SIDES if several else _CONVENTIONS)[name].format(positive=called, threshold=threshold) + more
    few = min(int(true.sum()), int((~true).sum()))
    exact: tuple[float, float] | tuple[None, None] | None = None
    if name in counts:
        exact = wilson(*counts[name], LEVEL)
    elif name == "f1":
        exact = f1_wilson(hit, missed, false, LEVEL)
    elif name in ("roc_auc", "average_precision", "balanced_accuracy", "f1_balanced") and value is not None and few:
        # as uncertain as a proportion of the rarer class: the bootstrap alone would promise certainty at 1
        low, high = wilson(round(value * few), few, LEVEL)
        exact = (min(low, value), max(high, value)) if low is not None and high is not None else None
    if exact is not None:
        interval = wider(interval, exact)
        convention += _WIDER
    return Metric(label, value, interval[0], interval[1], len(truth), convention)


def _figures(
    table: pd.DataFrame,
    found: Mapping[str, Measured],
    classes: tuple[str, ...],
    sides: Sides,
    metrics: list[Metric],
    split: str,
) -> dict[str, Any]:
    truth = np.array([sides.truth[name] for name in table["class"]])
    said = np.array([classes.index(name) for name in table["predicted"]])
    p = table[[f"p_{name}" for name in classes]].to_numpy(float)
    names = list(classes)
    if not set(table["class"]) <= set(classes):  # only the side can be compared
        truth, said = (np.isin(numbers, sides.positive).astype(int) for numbers in (truth, said))
        positive = p[:, list(sides.positive)].sum(1).clip(0, 1)
        p, names = np.stack([1 - positive, positive], 1), ["normal", "abnormal"]
    error = next(metric.value for metric in metrics if metric.name == "calibration_error")
    shown = [metric for metric in metrics if metric.value is not None and metric.name != "calibration_error"]
    figures = {
        "metrics": metrics_figure(shown, f"split {split}, 95 % intervals"),
        "confusion": confusion_figure(confusion_matrix(truth, said, list(range(len(names)))), names),
        "reliability": reliability_figure(reliability_table(p, truth), error=error),
    }  # fmt: skip
    wrong = table[truth != said].copy()
    wrong["sure"] = wrong[[f"p_{name}" for name in classes]].max(axis=1)
    strips = []
    for row in wrong.sort_values("sure", ascending=False).head(MOST_ERRORS).to_dict("records"):
        kept = found[row["image"]]
        caption = f"{Path(row['image']).name}: {row['class']}, called {row['predicted']} ({row['sure']:.2f})"
        abnormal = sides.truth[row["class"]] in sides.positive
        strips.append(Strip(kept.shown.astype(np.float32), kept.frames, caption, abnormal, False))
    if strips:
        figures["errors"] = gallery_figure(strips, title="errors, the surest first: start, a third, two thirds, end")
    return figures
