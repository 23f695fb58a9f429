"""Learn how a cell is made up of its candidate detections, and measure what comes of it.

usage: python benchmarks/karyotype_cells.py fit DATASET KEEP --items LIST --write FILE [-m MODEL]...
       python benchmarks/karyotype_cells.py measure DATASET KEEP --items LIST [-m MODEL]...

KEEP holds what `karyotype_candidates.py` wrote. ``fit`` needs cells that neither network was trained on. It fits, by
logistic regression (scikit-learn), the log odds that a candidate is one whole chromosome given which of its neighbours
are: the pseudo-likelihood (Besag 1975) of a pairwise model with `plausible.FEATURES` alone and `pairs.PAIR_FEATURES`
with each neighbour; then, with two folds over the cells, the slope and offset of `confidence` and the probability of
the draft. FILE becomes a copy of the detector with these numbers on its card (``bright_field_whole_*``, ``_pair_*``,
``_draft_*``, ``_confidence_*``). ``measure`` prints, for the cells of LIST, recall, precision, the count and the draft,
as `predict` chooses with the numbers on the card of the detector given: without them, and for chromosomes that are
bright on dark, among fewer candidates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from karyotype_candidates import file_of, load
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.cell import plausible, trust
from cellscope.assays.karyotype.cell.calibration import LEARNT, SUREST
from cellscope.assays.karyotype.cell.choice import Choice, Plausible, choose
from cellscope.assays.karyotype.cell.iscn import draft_iscn
from cellscope.assays.karyotype.datasets.metaphase import load_metaphase
from cellscope.assays.karyotype.detect import pairs
from cellscope.assays.karyotype.detect.detections import drop_duplicates, drop_pale, drop_thick
from cellscope.assays.karyotype.detect.stage import PALE, candidates
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.detection import box_iou, match
from cellscope.metrics.intervals import wilson
from cellscope.models.file import read_card, save_model
from cellscope.models.registry import choose as choose_models

COST = PredictOptions().aneuploidy_cost


@dataclass(eq=False)
class Known:
    """A cell's candidates, and which annotated chromosome each is (-1: none that no better one is)."""

    name: str
    log_probabilities: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    alone: np.ndarray
    pairs: np.ndarray
    measured: np.ndarray
    true_boxes: np.ndarray
    true_classes: list[str | None]
    label: np.ndarray
    joined: bool

    @property
    def beside(self) -> np.ndarray:
        """Pair features summed over the neighbours that are chromosomes: (N, K) float."""
        taken, summed = self.label >= 0, np.zeros((len(self.label), self.measured.shape[1]))
        for one, other in ((0, 1), (1, 0)):
            is_there = taken[self.pairs[:, other]]
            np.add.at(summed, self.pairs[is_there, one], self.measured[is_there])
        return summed

    def choice(self, whole: np.ndarray, pair: np.ndarray | None) -> Choice:
        """Choose and name its chromosomes with these weights."""
        certain = plausible.weigh(self.alone, whole)
        found = Plausible(certain)
        if pair is not None:
            found = Plausible(certain, self.pairs, np.minimum(self.measured @ pair, 0.0))
        return choose(self.log_probabilities, self.areas, assign=True, aneuploidy_cost=COST, plausible=found)


def read_cell(root: Path, row: Any, keep: Path, threshold: float, thresholds: Mapping[str, float] | None) -> Known:
    """Read a cell and its truth, with the candidates that `predict` gives it with these numbers of a card.

    None: those it gives once weights of pairs are learnt, which chromosomes that are bright on dark have none of.
    """
    truth = load_metaphase(root, row)
    found, scores, bright = load(file_of(keep, str(row.id)))
    joined = not bright if thresholds is None else pairs.joined(thresholds, bright=bright)
    number = {id(one): index for index, one in enumerate(found)}
    least = candidates(threshold, assign=True, joined=joined)
    kept = [one for one in found if one.score >= least]
    kept = kept if joined else drop_duplicates(kept)
    kept = drop_pale(drop_thick(kept, truth.image.shape), truth.image, limit=PALE[bright])
    scores = scores[[number[id(one)] for one in kept]]
    boxes = np.array([one.reported_box(truth.image.shape) for one in kept]).reshape(-1, 4)
    iou = box_iou(truth.boxes, boxes)
    label = np.full(len(kept), -1)
    rows, columns = linear_sum_assignment(-np.where(iou > 0.5, iou, 0.0))
    good = iou[rows, columns] > 0.5
    label[columns[good]] = rows[good]
    return Known(
        str(row.id),
        scores,
        np.array([one.area for one in kept], float),
        boxes,
        plausible.features(kept, scores, truth.image, threshold),
        *pairs.pair_features(kept, scores),
        truth.boxes,
        truth.classes,
        label,
        joined,
    )


def fit_weights(cells: Sequence[Known]) -> tuple[np.ndarray, np.ndarray]:
    """Weights of `plausible.features` with their offset, and of `pairs.pair_features`."""
    measured = np.vstack([np.hstack([one.alone, one.beside]) for one in cells])
    weights = regress(measured, np.concatenate([one.label >= 0 for one in cells]), 1.0)
    split = len(plausible.FEATURES)
    return np.r_[weights[:split], weights[-1]], weights[split:-1]


def regress(measured: np.ndarray, right: np.ndarray, strength: float) -> np.ndarray:
    """Weights and offset of a logistic regression on the features as they are: (K + 1,) float."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000)).fit(measured, right)
    scaler, regression = model[0], model[-1]
    weights = regression.coef_[0] / scaler.scale_
    return np.r_[weights, regression.intercept_[0] - weights @ scaler.mean_]


def outcome(cell: Known, choice: Choice) -> dict[str, float]:
    """Compare a choice with the truth."""
    kept = [index for index, name in enumerate(choice.classes) if name is not None]
    called = [str(choice.classes[index]) for index in kept]
    found = dict(match(box_iou(cell.true_boxes, cell.boxes[kept])))
    named = sum(name == called[found[row]] for row, name in enumerate(cell.true_classes) if row in found)
    return {
        "hits": len(found),
        "true": len(cell.true_boxes),
        "found": len(kept),
        "off": len(kept) - len(cell.true_boxes),
        "count": len(kept) == len(cell.true_boxes),
        "draft": draft_iscn(called) == draft_iscn(map(str, cell.true_classes)),
        "named": named,
    }


def report(title: str, rows: list[dict[str, float]]) -> None:
    """Print what many outcomes come to."""
    table = pd.DataFrame(rows)
    if table.empty:
        return
    size = len(table)
    parts = [f"{title}: {size} cells", f"recall {table['hits'].sum() / table['true'].sum():.3f}"]
    parts.append(f"precision {table['hits'].sum() / max(table['found'].sum(), 1):.3f}")
    for name, text in (("count", "count right"), ("draft", "draft right")):
        right = int(table[name].sum())
        low, high = wilson(right, size)
        parts.append(f"{text} {right / size:.3f} ({low:.3f} to {high:.3f})")
    parts.append(f"count off by {table['off'].abs().mean():.2f} (mean {table['off'].mean():+.2f})")
    parts.append(f"class right end to end {table['named'].sum() / table['true'].sum():.3f}")
    print(", ".join(parts), flush=True)


def fit(cells: Sequence[Known]) -> dict[str, float]:
    """Fit what the detector's card holds: the weights, and the calibration of `confidence`."""
    folds = [cells[0::2], cells[1::2]]
    margins, right, drafts, is_right, rows = [], [], [], [], []
    for fitted, held in (folds, folds[::-1]):
        weights = fit_weights(fitted)
        for cell in held:
            choice = cell.choice(*weights)
            kept = [index for index, name in enumerate(choice.classes) if name is not None]
            names = [str(choice.classes[index]) for index in kept]
            rows.append(outcome(cell, choice))
            drafts.append(trust.measure(choice.margins[kept], choice.gains, names))
            is_right.append(bool(rows[-1]["draft"]))
            found = {column: row for row, column in match(box_iou(cell.true_boxes, cell.boxes[kept]))}
            for number, (index, name) in enumerate(zip(kept, names, strict=True)):
                margins.append(min(choice.margins[index], SUREST))
                right.append(number in found and cell.true_classes[found[number]] == name)
    report("cells held back in turn", rows)
    whole, pair = fit_weights(cells)
    draft = regress(np.array(drafts), np.array(is_right), 1.0)
    confidence = regress(np.array(margins)[:, None], np.array(right), 1.0)
    detect = dict(zip(plausible.LEARNT, whole, strict=True)) | dict(zip(pairs.THRESHOLDS, pair, strict=True))
    detect |= dict(zip(trust.THRESHOLDS, draft, strict=True))
    learnt = {name: round(float(value), 3) for name, value in detect.items()}
    return learnt | dict(zip(LEARNT, confidence.round(2).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "measure"))
    parser.add_argument("dataset", type=Path)
    parser.add_argument("keep", type=Path)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    parser.add_argument("-m", "--model", action="append", default=[])
    given = parser.parse_args()
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    items = dataset.items.rename(columns={"class": "class_"})
    names = given.items.read_text().split()
    paths = choose_models("karyotype", ASSAY.parts, given.model)
    card = read_card(paths["detect"])
    threshold = float(card.thresholds.get("score_threshold", 0.5))
    learning = given.what == "fit"
    listed = [row for row in items.itertuples() if row.id in set(names)]
    thresholds = None if learning else card.thresholds
    cells = [read_cell(dataset.root, row, given.keep, threshold, thresholds) for row in listed]
    if learning:
        learnt = fit([one for one in cells if one.joined])
        print(learnt)
        if given.write:
            values = card.thresholds | learnt
            save_model(given.write, load_file(paths["detect"]), replace(card, thresholds=values))
        return
    pair = pairs.pair_weights_of(card.thresholds)
    trusted = trust.Trust.of(card.thresholds)
    kinds: dict[str, list[dict[str, float]]] = {}
    chances: list[tuple[float, bool]] = []
    for cell in cells:
        whole = plausible.weights_of(card.thresholds, learnt=cell.joined)
        choice = cell.choice(whole, pair if cell.joined else None)
        result = outcome(cell, choice)
        number = len(cell.true_boxes)
        kinds.setdefault(f"{cell.name.split('/')[0]}, {'46' if number == 46 else 'not 46'}", []).append(result)
        kept = [index for index, name in enumerate(choice.classes) if name is not None]
        chance = trusted.probability(choice.margins[kept], choice.gains, [str(choice.classes[i]) for i in kept])
        if chance is not None:
            chances.append((chance, bool(result["draft"])))
    for kind, rows in sorted(kinds.items()):
        report(kind, rows)
    if chances:
        table = pd.DataFrame(chances, columns=["probability", "right"])
        table["bin"] = pd.cut(table["probability"], [0, 0.5, 0.8, 0.9, 1.0], include_lowest=True)
        print(table.groupby("bin", observed=True).agg(n=("right", "size"), said=("probability", "mean"),
                                                      right=("right", "mean")).round(3))  # fmt: skip


if __name__ == "__main__":
    main()
