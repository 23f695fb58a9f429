"""`cellscope histo eval`: the whole pipeline, evaluated on a split or over folds, with the Otsu baseline."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.assay import ASSAY, IMAGE, OTSU, OTSU_CARD, PART, find
from cellscope.assays.histo.classes import PIXEL_SIZE_UM
from cellscope.assays.histo.datasets.tiles import load_tile
from cellscope.assays.histo.evaluation.figures import SIDE, Example, busiest, example_figure, image_figure, spread
from cellscope.assays.histo.evaluation.metrics import all_metrics, compared_types, headline, lines, source_table
from cellscope.assays.histo.evaluation.scores import Scored, compared_measures, image_row, score_image
from cellscope.assays.histo.nuclei.known import known_nuclei
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.options import EvalOptions, PredictOptions
from cellscope.assays.histo.slides.stage import rgb_of
from cellscope.assays.histo.slides.state import State
from cellscope.engine.assay import Subject
from cellscope.engine.eval.jobs import Job, jobs_of
from cellscope.engine.eval.metric import Metric, measure, metrics_figure, over_folds
from cellscope.engine.eval.run import Evaluation
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.classification import confusion_matrix, expected_calibration_error, reliability_table
from cellscope.metrics.conventions import IMAGE_METRICS, RADIUS_UM
from cellscope.metrics.instance_summary import ImageInstances, Summary
from cellscope.options.fields import extended
from cellscope.report.plots import confusion_figure, reliability_figure

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard
    from cellscope.options.common import ShardOptions

WINDOW = 4
#: Images of which a part is kept for the figures, and how many of each source are shown.
KEPT, SHOWN = 60, 4


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of an image.

    Attributes
    ----------
    labels : (H, W) int
    types : (n + 1,) int or None
        Of each label, its place in `classes`; -1 for the background and where it is not known. None without types.
    classes : tuple of str
        Those that are compared.
    shown : bool
        Keep a part of the image for the figures.
    unknown : (H, W) bool or None
        Where the annotation tells nothing.
    """

    labels: np.ndarray
    types: np.ndarray | None
    classes: tuple[str, ...]
    shown: bool
    unknown: np.ndarray | None = None


@dataclass
class Measured:
    """What one image came to."""

    scored: Scored
    baseline: ImageInstances
    model_classes: tuple[str, ...]
    example: Example | None


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
        From ``cellscope histo prepare``.
    out : Path
    run, options
    models : list of str
        A model file or a built-in name; for ``--split folds`` one per fold.
    split : str
        ``train``, ``val``, ``test``, or ``folds``.
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
    rows: list[dict[str, Any]] = []
    found: list[Measured] = []
    for job in jobs_of(prepared, split, models, weightless=ASSAY.weightless, limit=run.limit):
        keep = set(job.rows["id"].iloc[np.unique(np.linspace(0, len(job.rows) - 1, KEPT).round().astype(int))])
        read_item = partial(_read_item, prepared, extended(options, PredictOptions), keep)
        items = evaluation.measure(job.rows, evaluation.load(job.models), read_item, measure_image, window=WINDOW)
        rows += _rows(prepared, job, items)
        found += items.values()
    if run.shard:
        return evaluation.end_shard()
    classes, said = compared_types(tuple(prepared.info["classes"]), found[0].model_classes)
    table = pd.DataFrame(rows)
    tissues = list(table["tissue"]) if "tissue" in table else None
    metrics = all_metrics(
        Summary([item.scored.instances for item in found], tissues),
        Summary([item.baseline for item in found], tissues),
        list(table["source"]), list(table["group"]), classes, run.seed,
    )  # fmt: skip
    metrics += over_folds(table, (*IMAGE_METRICS, *(f"f1_{name}" for name in classes)))
    metrics += _of_types(found, list(table["group"]), run.seed)
    sources = source_table(metrics, list(table["source"]))
    if not run.quiet:
        for line in [*said, *lines(metrics, list(table["source"]))]:
            print(line, file=sys.stderr)
    return evaluation.write(
        measures=compared_measures,
        n=len(table),
        metrics=metrics,
        per_image=table,
        figures=_figures(table, found, metrics, classes, split),
        tables={"by_source": sources},
        headline=headline(list(table["source"])),
    )


_NO_TYPES = (np.zeros(0, int), np.zeros((0, 0), np.float32))


def _rows(prepared: PreparedDataset, job: Job, items: dict[str, Measured]) -> list[dict[str, Any]]:
    """Give the rows of ``per_image.csv``."""
    tissue_of, rows = prepared.info.get("tissues", {}), []
    group_of = dict(zip(job.rows["id"], job.rows["group"], strict=True))
    for name, item in items.items():
        classes, _ = compared_types(tuple(prepared.info["classes"]), item.model_classes)
        row = {"image": name, "source": name.split("/", 1)[0], "group": group_of[name]}
        row |= {} if job.fold is None else {"fold": job.fold}
        row |= {"tissue": tissue_of[name]} if name in tissue_of else {}
        plain = image_row(Scored(item.baseline, *_NO_TYPES))
        rows.append(row | image_row(item.scored, classes) | {f"otsu_{key}": plain[key] for key in plain})
    return rows


def _read_item(
    prepared: PreparedDataset, options: PredictOptions, keep: set[str], row: Any, cards: Mapping[str, ModelCard]
) -> Subject:
    names = tuple(prepared.info["classes"])
    classes, _ = compared_types(names, cards[PART].classes)
    tile = load_tile(prepared.root, row, names)
    subject = Subject(
        str(row.id), Image(tile.image, prepared.info.get("pixel_size_um"), str(row.id)), IMAGE, options, cards, State()
    )
    types = np.maximum(tile.types - 1, -1) if tile.typed and classes else None
    subject.truth = Truth(tile.labels, types, classes, shown=subject.name in keep, unknown=tile.unknown)
    return subject


def measure_image(subject: Subject) -> Measured:
    """Compare the nuclei of an image, and those of the baseline, with the truth."""
    card, known = subject.cards[PART], subject.truth
    nuclei = known_nuclei(find(subject), known.unknown)
    if card.arch == OTSU:
        plain = nuclei
    else:
        baseline = Subject(subject.name, subject.image, IMAGE, subject.options, {PART: OTSU_CARD}, State())
        plain = known_nuclei(find(baseline), known.unknown)
    classes, types, truth = known.classes, known.types, known.labels
    codes = np.array([classes.index(name) for name in card.classes]) if classes else None
    radius = RADIUS_UM / (subject.image.pixel_size_um or PIXEL_SIZE_UM)
    scored = score_image(truth, types, nuclei, codes, len(classes), radius)
    by_otsu = score_image(truth, None, plain, None, 0, radius).instances
    example = _example(subject, nuclei, plain, codes) if known.shown else None
    return Measured(scored, by_otsu, card.classes, example)


def _example(subject: Subject, nuclei: Nuclei, plain: Nuclei, codes: np.ndarray | None) -> Example:
    truth, types, classes = subject.truth.labels, subject.truth.types, subject.truth.classes
    window = busiest(truth, SIDE)

    def named(labels: np.ndarray, numbers: np.ndarray | None) -> tuple[np.ndarray, dict[int, str]]:
        part = np.ascontiguousarray(labels[window])
        if numbers is None:
            return part, {}
        here = np.unique(part)
        return part, {int(label): classes[numbers[label]] for label in here if label and numbers[label] >= 0}

    kinds = None
    if codes is not None and types is not None:
        kinds = np.concatenate([[-1], codes[nuclei.probabilities.argmax(1)] if len(nuclei.score) else []]).astype(int)
    panels = {"truth": named(truth, types), "network": named(nuclei.labels, kinds), "Otsu": named(plain.labels, None)}
    if subject.cards[PART].arch == OTSU:
        del panels["network"]
    source = subject.name.split("/", 1)[0]
    return Example(subject.name, source, np.ascontiguousarray(rgb_of(subject)[window]), panels)


def _of_types(found: list[Measured], groups: list[str], seed: int) -> list[Metric]:
    """Measure how the types of nuclei that were found are told: accuracy, and how far probabilities can be trusted."""
    true, probabilities = _pairs(found)
    if not len(true):
        return []
    numbers = np.array([len(item.scored.true_types) for item in found])
    hits = np.array([int((item.scored.probabilities.argmax(1) == item.scored.true_types).sum()) for item in found])
    typed = np.flatnonzero(numbers)
    accuracy = measure(
        "types_accuracy", np.asarray(groups)[typed],
        lambda at: float(hits[typed[at]].sum() / numbers[typed[at]].sum()),
        convention="share of nuclei found (IoU > 0.5) whose type is right", seed=seed,
    )  # fmt: skip
    error = expected_calibration_error(probabilities, true)
    text = "expected calibration error of the type probabilities of nuclei found (IoU > 0.5), 15 bins"
    return [accuracy, Metric("types_ece", error, None, None, len(true), text)]


def _pairs(found: list[Measured]) -> tuple[np.ndarray, np.ndarray]:
    """Gather true types and type probabilities of the nuclei that were found."""
    true = np.concatenate([item.scored.true_types for item in found])
    return true, np.concatenate([item.scored.probabilities for item in found])


def _figures(
    table: pd.DataFrame, found: list[Measured], metrics: list[Metric], classes: tuple[str, ...], split: str
) -> dict[str, Any]:
    figures: dict[str, Any] = {"images": image_figure(table)}
    shown = [m for m in metrics if m.low is not None and m.name.count(".") == 1 and m.name.startswith(("hov", "str"))]
    if shown:
        figures["metrics"] = metrics_figure(shown, f"split {split}, 95 % intervals over groups")
    true, probabilities = _pairs(found)
    if len(true):
        matrix = confusion_matrix(true, probabilities.argmax(1), range(len(classes)))
        figures["types"] = confusion_figure(matrix, classes, title="types of nuclei found (IoU > 0.5)")
        error = expected_calibration_error(probabilities, true)
        figures["reliability"] = reliability_figure(reliability_table(probabilities, true), error=error)
    for source in sorted(set(table["source"])):
        examples = []
        for item, row in zip(found, table.to_dict("records"), strict=True):
            if item.example is not None and row["source"] == source:
                item.example.values = {"Dice": row["dice"], "AJI": row["aji"], "PQ": row["pq"]}
                examples.append(item.example)
        if examples:
            typed = classes if any(example.panels["truth"][1] for example in examples) else ()
            name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in source)
            figures[f"examples_{name}"] = example_figure(spread(examples, "AJI", SHOWN), typed)
    return figures
