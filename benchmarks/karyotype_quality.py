"""Whether the best metaphases by `quality` are those that come out right: for ``predict --best``.

usage: python benchmarks/karyotype_quality.py DATASET KEEP --items LIST [-m MODEL]...

KEEP holds what `karyotype_candidates.py` wrote of annotated cells; those of LIST that it holds are taken. Printed are,
for all cells and for the best quarter by `quality`, the shares of cells with the right count and the right draft, of
chromosomes with the right class end to end, and of chromosomes marked for review; and for each measure how well it
tells cells with a right draft (area under the ROC curve) and its rank correlation with the class end to end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from karyotype_candidates import file_of, load
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from cellscope.assays.karyotype.assay import ASSAY, name_subject
from cellscope.assays.karyotype.cell.iscn import draft_iscn
from cellscope.assays.karyotype.cell.quality import NAMES, measure
from cellscope.assays.karyotype.datasets.metaphase import load_metaphase
from cellscope.assays.karyotype.detect.detections import drop_pale, drop_thick
from cellscope.assays.karyotype.detect.inputs import METAPHASE
from cellscope.assays.karyotype.detect.stage import PALE, candidates
from cellscope.assays.karyotype.detect.state import State
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.detection import box_iou, match
from cellscope.metrics.intervals import wilson
from cellscope.models.file import read_card
from cellscope.models.registry import choose


def measured(root: Path, row: Any, keep: Path, cards: dict[str, Any]) -> dict[str, float]:
    """Name a cell as `predict` does, measure its quality and compare it with the truth."""
    truth = load_metaphase(root, row)
    found, scores, bright = load(file_of(keep, str(row.id)))
    least = candidates(float(cards["detect"].thresholds["score_threshold"]), assign=True, joined=not bright)
    number = {id(one): index for index, one in enumerate(found)}
    kept = drop_thick([one for one in found if one.score >= least], truth.image.shape)
    kept = drop_pale(kept, truth.image, limit=PALE[bright])
    state = State()
    state.normalised, state.bright, state.polarity = truth.image, bright, None
    state.detections, state.log_probabilities = kept, scores[[number[id(one)] for one in kept]]
    cell = name_subject(Subject(str(row.id), None, METAPHASE, PredictOptions(), cards, state))  # type: ignore[arg-type]
    quality = measure(cell, truth.image)
    assert quality is not None
    boxes = np.array([one.detection.reported_box(truth.image.shape) for one in cell.chromosomes])
    pairs = match(box_iou(truth.boxes, boxes))
    named = sum(truth.classes[a] == cell.classes[b] for a, b in pairs)
    return quality.rounded() | {
        "count": len(boxes) == len(truth.boxes),
        "draft": cell.iscn_draft == draft_iscn(map(str, truth.classes)),
        "named": named / len(truth.boxes),
        "review": float(np.mean([one.review for one in cell.chromosomes])),
    }


def report(title: str, table: pd.DataFrame) -> None:
    """Print what cells come to."""
    parts = [f"{title}: {len(table)} cells"]
    for name in ("count", "draft"):
        right = int(table[name].sum())
        low, high = wilson(right, len(table))
        parts.append(f"{name} right {right / len(table):.3f} ({low:.3f} to {high:.3f})")
    print(", ".join(parts), f"class right {table['named'].mean():.3f}, marked {table['review'].mean():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("keep", type=Path)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("-m", "--model", action="append", default=[])
    given = parser.parse_args()
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    names = {name for name in given.items.read_text().split() if file_of(given.keep, name).exists()}
    cards = {part: read_card(path) for part, path in choose("karyotype", ASSAY.parts, given.model).items()}
    items = dataset.items.rename(columns={"class": "class_"})
    rows = [row for row in items.itertuples() if row.id in names]
    table = pd.DataFrame([measured(dataset.root, row, given.keep, cards) for row in rows]).astype(float)
    ranked = table.sort_values(NAMES[0], ascending=False, kind="stable")
    report("all", table)
    report("the best quarter", ranked.head(len(table) // 4))
    report("the other three quarters", ranked.iloc[len(table) // 4 :])
    for name in NAMES:
        order = float(spearmanr(table[name], table["named"])[0])
        area = float(roc_auc_score(table["draft"] > 0, table[name]))
        print(f"{name:13} {table[name].median():.3f}; draft right: AUC {area:.3f}; class right: rho {order:+.3f}")


if __name__ == "__main__":
    main()
