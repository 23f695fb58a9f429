"""`cellscope karyotype eval`: both networks and the whole pipeline, evaluated on a split of a prepared dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.karyotype.assay import ASSAY, name_subject
from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.classes import CLASSES, parse_class
from cellscope.assays.karyotype.datasets.metaphase import Metaphase, load_metaphase
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME, METAPHASE
from cellscope.assays.karyotype.detect.state import State
from cellscope.assays.karyotype.evaluation.karyotype_scores import (
    NAMES,
    histogram_figure,
    histogram_metric,
    karyotype_counts,
    karyotyping_metrics,
)
from cellscope.assays.karyotype.evaluation.scores import (
    Prediction,
    assigned_labels,
    compared_measures,
    detection_metrics,
    metaphase_table,
)
from cellscope.assays.karyotype.options import EvalOptions, PredictOptions
from cellscope.engine.assay import Assay, Subject
from cellscope.engine.eval.metric import Metric, measure, metrics_figure
from cellscope.engine.eval.run import Evaluation
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class,
    reliability_table,
)
from cellscope.options.fields import extended
from cellscope.report.plots import confusion_figure, reliability_figure

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import ShardOptions

WINDOW = 8


@dataclass(frozen=True, eq=False)
class MeasuredCell:
    """A metaphase: what is known of it and what was found."""

    truth: Metaphase
    prediction: Prediction


@dataclass(frozen=True, eq=False)
class MeasuredChromosome:
    """A single chromosome: the classifier's log probabilities, (24,), and its area in pixels."""

    scores: np.ndarray
    area: float


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
    """Measure models on one split; the metrics of each source stand apart, since stains and scales differ.

    Parameters
    ----------
    dataset : Path
        From ``cellscope karyotype prepare``.
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
        _assay(options.backend),
        dataset,
        out,
        run=run,
        options=options,
        split=split,
        argv=argv,
        models=models,
        compare=compare,
    )
    prepared = evaluation.prepared
    rows = prepared.split(split).rename(columns={"class": "class_"})
    rows = rows[(rows["target"] != "") | (rows["class_"] != "")]
    if run.limit:
        metaphases, singles = rows[rows["target"] != ""], rows[rows["target"] == ""]
        rows = pd.concat([metaphases.head(run.limit), singles.head(run.limit)])
    read_item = partial(_read_item, prepared, extended(options, PredictOptions))
    measured = evaluation.measure(rows, evaluation.load(models), read_item, measure_item, window=WINDOW)
    if run.shard:
        return evaluation.end_shard()
    group_of = dict(zip(rows["id"], rows["group"], strict=True))
    cells = {name: one for name, one in measured.items() if isinstance(one, MeasuredCell)}
    truths = [one.truth for one in cells.values()]
    predictions = [one.prediction for one in cells.values()]
    groups = [group_of[name] for name in cells]
    chromosomes = {name: one for name, one in measured.items() if isinstance(one, MeasuredChromosome)}
    metrics: list[Metric] = []
    figures: dict[str, Any] = {}
    tables = []
    if truths:
        table = metaphase_table(truths, groups, predictions)
        tables.append(table)
        for source in sorted(set(table["source"])):
            index = np.flatnonzero(table["source"] == source)
            metrics += detection_metrics(
                [truths[i] for i in index],
                [predictions[i] for i in index],
                table.iloc[index].reset_index(drop=True),
                prefix=f"{source}.",
                seed=run.seed,
            )
            more, drawn = _measure_karyotypes(
                [truths[i] for i in index],
                [predictions[i] for i in index],
                [groups[i] for i in index],
                source,
                run.seed,
            )
            metrics += more
            figures |= drawn
    if chromosomes:
        singles = rows.set_index("id").loc[list(chromosomes)]
        scores = np.array([one.scores for one in chromosomes.values()])
        areas = np.array([one.area for one in chromosomes.values()])
        class_metrics, class_figures, class_table = _measure_singles(singles, scores, areas, options, run.seed)
        metrics += class_metrics
        figures |= class_figures
        tables.append(class_table)
    shown = [metric for metric in metrics if metric.low is not None and (metric.value or 0) <= 1]
    if shown:
        figures["metrics"] = metrics_figure(shown, f"split {split}, 95 % intervals over groups")
    return evaluation.write(
        measures=compared_measures,
        n=len(measured),
        metrics=metrics,
        per_image=pd.concat(tables, ignore_index=True),
        figures=figures,
    )


def _assay(backend: str) -> Assay:
    if backend == "detectron2":
        from cellscope.assays.karyotype.detectron2.assay import ASSAY as computed_by_it

        return computed_by_it
    return ASSAY


def _read_item(prepared: PreparedDataset, options: PredictOptions, row: Any, cards: Mapping[str, ModelCard]) -> Subject:
    """Read an item of a split; a metaphase comes with its truth."""
    image = read(prepared.root / str(row.image))
    subject = Subject(str(row.id), image, METAPHASE if row.target else CHROMOSOME, options, cards, State())
    if row.target:
        subject.truth = load_metaphase(prepared.root, row)
    return subject


def _measure_karyotypes(
    truths: list[Metaphase], predictions: list[Prediction], groups: list[str], source: str, seed: int
) -> tuple[list[Metric], dict[str, Any]]:
    """Measure one source from metaphase to karyogram, as the paper does; nothing where no class is known."""
    if not any(name for truth in truths for name in truth.classes):
        return [], {}
    confusion, segmented, expected = karyotype_counts(truths, predictions)
    metrics = karyotyping_metrics(confusion, segmented, expected, groups, prefix=f"{source}.", seed=seed)
    metrics.append(histogram_metric(confusion, prefix=f"{source}."))
    title = f"{source}: from metaphase to karyogram"
    return metrics, {
        f"confusion_karyotypes_{source}": confusion_figure(confusion.sum(0), list(NAMES), title=title),
        f"cases_{source}": histogram_figure(confusion, title=title),
    }


def measure_item(subject: Subject) -> MeasuredCell | MeasuredChromosome:
    """Give what the metrics need of a metaphase or a single chromosome."""
    if subject.kind == CHROMOSOME:
        return MeasuredChromosome(subject.state.log_probabilities[0], float(subject.state.mask.sum()))
    cell = name_subject(subject)
    found = [chromosome.detection for chromosome in cell.chromosomes]
    prediction = Prediction(found, cell.classes, subject.state.raw)
    return MeasuredCell(subject.truth, prediction)


def cell_of(image: str) -> str:
    """Name a single chromosome's cell: the folder of its file, above the class folder where there is one."""
    folder = Path(image).parent
    if parse_class(folder.name) and len(folder.parts) > 2:
        folder = folder.parent
    return folder.as_posix()


def _accuracy(truth: np.ndarray, guess: np.ndarray, index: np.ndarray) -> float | None:
    return accuracy(truth[index], guess[index])


def _mean_recall(truth: np.ndarray, guess: np.ndarray, index: np.ndarray) -> float | None:
    return balanced_accuracy(truth[index], guess[index])


def _mean_precision(truth: np.ndarray, guess: np.ndarray, index: np.ndarray) -> float | None:
    said = np.unique(guess[index])
    shares = [float(np.mean(truth[index][guess[index] == label] == label)) for label in said]
    return float(np.mean(shares)) if shares else None


def _calibration(truth: np.ndarray, probabilities: np.ndarray, index: np.ndarray) -> float | None:
    return expected_calibration_error(probabilities[index], truth[index])


def _measure_singles(
    singles: pd.DataFrame, scores: np.ndarray, areas: np.ndarray, options: Any, seed: int
) -> tuple[list[Metric], dict[str, Any], pd.DataFrame]:
    """Measure the classifier on clean single chromosomes, without and with the help of the rest of the cell."""
    truth = np.array([CLASSES.index(name) for name in singles["class_"]])
    source = singles.index.str.split("/").str[0].to_numpy()
    groups = singles["group"].to_numpy()
    cells = np.array([cell_of(image) for image in singles["image"]])
    own = scores.argmax(1)
    helped = assigned_labels(scores, areas, list(cells), aneuploidy_cost=options.aneuploidy_cost)
    probabilities = np.exp(scores)
    metrics, figures = [], {}
    for name in sorted(set(source)):
        index = np.flatnonzero(source == name)
        mine, guess, with_cell, group = truth[index], own[index], helped[index], groups[index]
        values = per_class(mine, guess, list(range(len(CLASSES))))
        recalls = {CLASSES[int(label)]: value for label, value in zip(values.index, values["recall"], strict=True)}
        alone, helped_by_cell = partial(_accuracy, mine, guess), partial(_accuracy, mine, with_cell)
        mean_recall, mean_precision = partial(_mean_recall, mine, guess), partial(_mean_precision, mine, guess)
        calibration = partial(_calibration, mine, probabilities[index])
        by_cell = f"single chromosomes, class by assignment over the cell, cost {options.aneuploidy_cost}"
        by_class = {label: None if pd.isna(value) else float(value) for label, value in recalls.items()}
        for label, statistic, convention, shares in (
            ("accuracy", alone, "single chromosomes, class by the classifier alone; per class: recall", by_class),
            ("mean_recall", mean_recall, "mean over the classes of the recall of the classifier alone", None),
            ("mean_precision", mean_precision, "mean over the classes called of the precision of the classifier", None),
            ("accuracy_with_cell", helped_by_cell, by_cell, None),
            ("calibration_error", calibration, "expected calibration error of the classifier, 15 equal bins", None),
        ):
            metrics.append(
                measure(f"{name}.{label}", group, statistic, convention=convention, per_class=shares, seed=seed)
            )
        figures[f"confusion_{name}"] = confusion_figure(
            confusion_matrix(mine, guess, list(range(len(CLASSES)))),
            list(CLASSES),
            title=f"{name}: single chromosomes, classifier alone",
        )
        figures[f"reliability_{name}"] = reliability_figure(reliability_table(probabilities[index], mine), title=name)
    table = pd.DataFrame(
        {
            "image": singles.index,
            "source": source,
            "group": groups,
            "cell": cells,
            "class": singles["class_"].to_numpy(),
            "predicted": [CLASSES[label] for label in own],
            "p_predicted": probabilities.max(1),
            "predicted_with_cell": [CLASSES[label] if label >= 0 else UNASSIGNED for label in helped],
        }
    )
    return metrics, figures, table
