"""What becomes of every annotated chromosome: where detections are lost or made up, and how sure `confidence` may be.

usage: python benchmarks/karyotype_losses.py DATASET [--splits val,test] [--sources NAME,...] [-m MODEL]...

Both networks run once over the metaphases of a prepared dataset, as `predict` runs them. Printed are, per source and
split, for all candidates and for what the whole cell keeps of them: recall, precision and box AP50; the chromosomes
missed by the best IoU that any box has with them; the boxes too many by what they are (a second box on a chromosome
that is found, a piece of one or a clump, nothing). Then the classifier's ``confidence_*``, fitted on the first split:
the logistic regression of "found, and of the class given" on the assignment's margin. `--write DIR` writes a copy of
the classifier with these values on its card; `--keep` pickles what was found. What the detector's card holds is fitted
by ``karyotype_cells.py``.
"""

from __future__ import annotations

import argparse
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from road import CPU, through
from safetensors.torch import load_file
from scipy.optimize import minimize

from cellscope.assays.karyotype.assay import ASSAY, plausible_of
from cellscope.assays.karyotype.cell.calibration import SUREST, THRESHOLDS, Calibration
from cellscope.assays.karyotype.cell.choice import Plausible
from cellscope.assays.karyotype.cell.chromosomes import Cell, name_cell
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.metaphase import Metaphase, load_metaphase
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.detect.inputs import METAPHASE
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.loading import load_models
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.coco import CocoScore, Instances
from cellscope.metrics.detection import box_iou, match
from cellscope.models.file import read_card, save_model
from cellscope.models.registry import choose


@dataclass
class Found:
    """What both networks gave for one metaphase."""

    split: str
    source: str
    truth: Metaphase
    detections: list[Detection]
    log_probabilities: np.ndarray
    bright_on_dark: bool
    plausible: Plausible
    calibration: Calibration

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.truth.image.shape  # type: ignore[return-value]

    def named(self) -> Cell:
        """Name the cell, as `predict` does by default."""
        options = PredictOptions()
        return name_cell(
            self.detections,
            self.log_probabilities,
            None,
            shape=self.shape,
            bright_on_dark=self.bright_on_dark,
            assign=True,
            aneuploidy_cost=options.aneuploidy_cost,
            review_below=options.review_below,
            plausible=self.plausible,
            calibration=self.calibration,
        )


def keep_state(subject: Subject) -> dict[str, Any]:
    """Keep the candidates and what the classifier says of them."""
    names = ("detections", "log_probabilities", "bright")
    kept = {name: getattr(subject.state, name) for name in names}
    kept["plausible"] = plausible_of(subject)
    return kept


def find(dataset: PreparedDataset, splits: list[str], sources: list[str], models: list[str]) -> Iterator[Found]:
    """Run both networks over the metaphases."""
    loaded = load_models(ASSAY, models, CPU)
    calibration = Calibration.of(loaded.cards["classify"].thresholds)
    for split in splits:
        rows = dataset.split(split).rename(columns={"class": "class_"})
        rows = rows[(rows["target"] != "") & rows["id"].str.split("/").str[0].isin(sources)]
        truths = {str(row.id): load_metaphase(dataset.root, row) for row in rows.itertuples()}
        subjects = (
            Subject(str(row.id), read(dataset.root / str(row.image)), METAPHASE, PredictOptions(), loaded.cards)
            for row in rows.itertuples()
        )
        for subject, kept in through(ASSAY, subjects, loaded, dtype=pick_precision("auto", CPU), conclude=keep_state):
            truth = truths[subject.name]
            scores, bright = kept["log_probabilities"], bool(kept["bright"])
            yield Found(split, truth.source, truth, kept["detections"], scores, bright, kept["plausible"], calibration)


def losses(title: str, cells: list[Found], kept: list[list[Detection]]) -> None:
    """Print recall, precision, AP50, what is missed and what is too many."""
    missed: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    hits = annotated = predicted = 0
    truths, boxes_found, off = [], [], []
    for one, detections in zip(cells, kept, strict=True):
        boxes = np.array([detection.reported_box(one.shape) for detection in detections], float).reshape(-1, 4)
        iou = box_iou(one.truth.boxes, boxes)
        pairs = match(iou)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        for row in set(range(len(iou))) - rows:
            best = iou[row].max(initial=0.0)
            why = "IoU below 0.3" if best < 0.3 else "0.3 to 0.5" if best <= 0.5 else "above 0.5, taken by another"
            missed[why] += 1
        for column in set(range(len(boxes))) - columns:
            best = iou[:, column].max(initial=0.0)
            extra["nothing there" if best < 0.1 else "a piece or a clump" if best <= 0.5 else "found twice"] += 1
        hits, annotated, predicted = hits + len(pairs), annotated + len(iou), predicted + len(boxes)
        off.append(abs(len(boxes) - len(iou)))
        truths.append(Instances(one.truth.boxes))
        boxes_found.append(Instances(boxes, scores=np.array([detection.score for detection in detections])))
    ap50 = CocoScore(truths, boxes_found, kind="box").average_precision(iou=0.5)
    print(
        f"{title:34} recall {hits / annotated:.3f} of {annotated}, precision {hits / max(predicted, 1):.3f}, box AP50 "
        f"{ap50:.3f}, count off by {np.mean(off):.2f}; missed: {dict(missed)}; too many: {dict(extra)}",
        flush=True,
    )


def margins(cells: list[Found], named: list[Cell]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give, per chromosome named: the margin, whether it is found and of the class given, and the confidence now."""
    rows = []
    for one, karyotype in zip(cells, named, strict=True):
        chromosomes = [each for each in karyotype.chromosomes if each.class_ in CLASSES]
        boxes = np.array([each.detection.reported_box(one.shape) for each in chromosomes], float).reshape(-1, 4)
        truth_of = {column: one.truth.classes[row] for row, column in match(box_iou(one.truth.boxes, boxes))}
        for column, each in enumerate(chromosomes):
            if column in truth_of and truth_of[column] is None:
                continue
            odds = np.log(each.confidence / (1 - each.confidence))
            margin = (odds - one.calibration.offset) / one.calibration.slope
            rows.append((margin, truth_of.get(column) == each.class_, each.confidence))
    margin, right, confidence = (np.array(column, float) for column in zip(*rows, strict=True))
    return np.minimum(margin, SUREST), right, confidence


def fit(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights and offset of the logistic regression of `right` (N,) on `features` (N, K): (K + 1,) float.

    Held back a little (a penalty of 0.003 on squared weights of standardised features), for some say nearly the same.
    """
    spread = features.std(0)

    def cost(weights: np.ndarray) -> float:
        odds = features @ weights[:-1] + weights[-1]
        held = 0.003 * ((weights[:-1] * spread) ** 2).sum() if len(weights) > 2 else 0.0
        return float(np.mean(np.logaddexp(0, np.where(right > 0, -odds, odds))) + held)

    return np.asarray(minimize(cost, [*np.zeros(features.shape[1]), 0.0]).x)


def reliability(title: str, confidence: np.ndarray, right: np.ndarray, review_below: float) -> None:
    """Print mean confidence beside what is right, their mean distance in ten bins, and what a review finds."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = sum(
        np.mean(bins == number) * abs(confidence[bins == number].mean() - right[bins == number].mean())
        for number in np.unique(bins)
    )
    looked = confidence < review_below
    print(
        f"{title:34} n {len(right)}, right {right.mean():.3f}, mean confidence {confidence.mean():.3f}, "
        f"calibration error {error:.3f}; below {review_below}: {looked.mean():.3f} of all, "
        f"{looked[right == 0].mean():.3f} of the wrong ones"
    )


def write_thresholds(source: Path, out: Path, values: Mapping[str, float]) -> None:
    """Copy a model file with more thresholds on its card; its tensors stay as they are."""
    card = read_card(source)
    save_model(out, load_file(source), replace(card, thresholds={**card.thresholds, **values}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--splits", default="val,test")
    parser.add_argument("--sources", default="bioimlab,tseng2023_gband")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", type=Path, metavar="DIR")
    given = parser.parse_args()
    splits, sources = given.splits.split(","), given.sources.split(",")
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    everything = list(find(dataset, splits, sources, given.model))
    if given.keep:
        given.keep.write_bytes(pickle.dumps(everything))
    named = [one.named() for one in everything]
    for source in sources:
        for split in splits:
            index = [i for i, one in enumerate(everything) if (one.source, one.split) == (source, split)]
            cells = [everything[i] for i in index]
            losses(f"{source} {split}, all candidates", cells, [one.detections for one in cells])
            kept = [[each.detection for each in named[i].chromosomes] for i in index]
            losses(f"{source} {split}, the cell's choice", cells, kept)
    by_split = {
        split: margins(*zip(*[(c, n) for c, n in zip(everything, named, strict=True) if c.split == split], strict=True))
        for split in splits
    }
    margin, right, _ = by_split[splits[0]]
    weights = fit(margin[:, None], right)
    confidences = dict(zip(THRESHOLDS[:2], weights.round(2).tolist(), strict=True))
    print(f"fitted on {splits[0]}: {confidences}; now {everything[0].calibration}")
    if given.write:
        given.write.mkdir(parents=True, exist_ok=True)
        path = choose("karyotype", ASSAY.parts, given.model)["classify"]
        write_thresholds(path, given.write / "karyotype-classify.safetensors", confidences)
    for split, (margin, right, confidence) in by_split.items():
        reliability(f"{split}, now", confidence, right, PredictOptions().review_below)
        fitted = 1 / (1 + np.exp(-(weights[0] * margin + weights[1])))
        reliability(f"{split}, fitted", fitted, right, PredictOptions().review_below)


if __name__ == "__main__":
    main()
