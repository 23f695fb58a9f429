"""Cases of several cells: how often a constitutional gain or loss is called, and a normal case left alone.

usage: python benchmarks/karyotype_cases.py fit DATASET KEEP --items LIST [-m MODEL]...
       python benchmarks/karyotype_cases.py measure DATASET KEEP --items LIST [--cases 200] [-m MODEL]...

KEEP holds what `karyotype_candidates.py` wrote of annotated cells; those of LIST with 46 chromosomes are taken. Each is
also edited, among its candidates: one chromosome of another cell (13, 18, 21, X, Y) with all outlines that lie on it is
added apart from the others, or one X of two is taken out. ``fit`` prints the numbers in `cell/evidence.py`; ``measure``
draws cases of 5, 10 and 20 cells of one sex, normal, with the change in all cells, and with it in a fifth of them, and
calls them as ``predict --group-by`` does: by the modal karyotype, and by clones. The cells of such a case are of
different people, so errors that the cells of one person share are not in these figures.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from karyotype_candidates import file_of
from karyotype_cells import Known, read_cell
from sklearn.linear_model import LogisticRegression

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.cell import plausible
from cellscope.assays.karyotype.cell.choice import cell_evidence
from cellscope.assays.karyotype.cell.clones import analyse_case
from cellscope.assays.karyotype.cell.evidence import as_text, best_copies, from_text, weigh_copies
from cellscope.assays.karyotype.cell.modal import modal_karyotype
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detect import pairs
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.intervals import wilson
from cellscope.models.file import read_card
from cellscope.models.registry import choose as choose_models

GAINS, LOSS = ("13", "18", "21", "X", "Y"), "-X"
NAMES = {"XX+X": "47,XXX", "XX-X": "45,X", "XY+X": "47,XXY", "XY+Y": "47,XYY"}


@dataclass(frozen=True, eq=False)
class Called:
    """What is made of a cell: its sex, how it was edited, the classes it was given, its values by class."""

    sex: str
    change: str
    classes: list[str]
    copies: np.ndarray

    @property
    def said(self) -> dict[str, float]:
        """The evidence as a table holds it."""
        return from_text(as_text(weigh_copies(self.copies)))


def on(cell: Known, index: int) -> np.ndarray:
    """Find the candidates that lie on an annotated chromosome: (N,) bool."""
    low = np.maximum(cell.true_boxes[:, None, :2], cell.boxes[None, :, :2])
    high = np.minimum(cell.true_boxes[:, None, 2:], cell.boxes[None, :, 2:])
    areas = (cell.boxes[:, 2:] - cell.boxes[:, :2]).prod(1)
    inside = np.clip(high - low, 0, None).prod(2) / np.maximum(areas, 1)
    alone = (inside.argmax(0) == index) & (inside.max(0) > 0.3) & (cell.label < 0)
    return np.asarray((cell.label == index) | alone)


def part(cell: Known, kept: np.ndarray) -> Known:
    """Give a cell with some of its candidates."""
    number, both = np.cumsum(kept) - 1, kept[cell.pairs].all(1)
    return replace(
        cell,
        log_probabilities=cell.log_probabilities[kept], areas=cell.areas[kept], boxes=cell.boxes[kept],
        alone=cell.alone[kept], label=cell.label[kept],
        pairs=number[cell.pairs[both]], measured=cell.measured[both],
    )  # fmt: skip


def joined(cell: Known, donor: Known, taken: np.ndarray) -> Known:
    """Add some of another cell's candidates apart from a cell's own, at its scale."""
    guest, scale = part(donor, taken), float(np.median(cell.areas) / np.median(donor.areas))
    return replace(
        cell,
        log_probabilities=np.vstack([cell.log_probabilities, guest.log_probabilities]),
        areas=np.r_[cell.areas, guest.areas * scale],
        boxes=np.vstack([cell.boxes, guest.boxes + 1e5]),
        alone=np.vstack([cell.alone, guest.alone]),
        label=np.r_[cell.label, np.full(len(guest.areas), -1)],
        pairs=np.vstack([cell.pairs, guest.pairs + len(cell.areas)]),
        measured=np.vstack([cell.measured, guest.measured]),
    )


def edits(cells: list[Known], seed: int) -> Iterator[tuple[str, str, Known]]:
    """Yield (sex, change, cell): every cell as it is and edited."""
    rng = np.random.default_rng(seed)

    def one_of(cell: Known, name: str) -> np.ndarray:
        places = [index for index, class_ in enumerate(cell.true_classes) if class_ == name]
        return on(cell, int(rng.choice(places)))

    for cell in cells:
        sex = "XY" if "Y" in cell.true_classes else "XX"
        yield sex, "", cell
        for name in GAINS if sex == "XY" else GAINS[:-1]:
            donors = [other for other in cells if other is not cell and name in other.true_classes]
            donor = donors[int(rng.integers(len(donors)))]
            yield sex, f"+{name}", joined(cell, donor, one_of(donor, name))
        if sex == "XX":
            yield sex, LOSS, part(cell, ~one_of(cell, "X"))


def call(cells: list[Known], whole: np.ndarray, pair: np.ndarray, seed: int) -> list[Called]:
    """Choose the chromosomes of every cell as it is and edited."""
    found = []
    for sex, change, cell in edits(cells, seed):
        choice = cell.choice(whole, pair)
        assert choice.odds is not None
        values = choice.odds[:, None] + cell_evidence(cell.log_probabilities, cell.areas)
        classes = [name for name in choice.classes if name is not None]
        found.append(Called(sex, change, classes, best_copies(values, choice.classes)))
    return found


def fit(found: list[Called]) -> None:
    """Print slope and zero of each number in `cell/evidence.py`."""
    normal = {sex: [one for one in found if one.sex == sex and not one.change] for sex in ("XX", "XY")}
    edited = {change: [one for one in found if one.change == change] for change in {one.change for one in found}}
    x, y = CLASSES.index("X"), CLASSES.index("Y")
    both = normal["XX"] + normal["XY"]

    def show(name: str, there: list[float], absent: list[float]) -> None:
        values = np.clip(np.r_[there, absent], -8, 8)[:, None]
        model = LogisticRegression(C=10, class_weight="balanced").fit(values, np.arange(len(values)) < len(there))
        slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
        print(f"{name}: slope {slope:.2f}, zero {-offset / slope:.2f} ({len(there)} there, {len(absent)} not)")

    gains = [one.copies[CLASSES.index(one.change[1:]), 2] for one in found if one.change in ("+13", "+18", "+21")]
    show("third of an autosome", gains, [value for one in both for value in one.copies[:22, 2]])
    show(
        "second X",
        [one.copies[x, 1] for one in normal["XX"]],
        [one.copies[x, 1] for one in normal["XY"] + edited[LOSS]],
    )
    three = [one.copies[x, 2] for one in edited["+X"] if one.sex == "XX"]
    show("third X", three, [one.copies[x, 2] for one in normal["XX"]])
    show(
        "first Y", [one.copies[y, 0] for one in normal["XY"]], [one.copies[y, 0] for one in normal["XX"] + edited[LOSS]]
    )
    show("second Y", [one.copies[y, 1] for one in edited["+Y"]], [one.copies[y, 1] for one in normal["XY"]])


def measure(found: list[Called], cases: int, seed: int) -> None:
    """Draw cases and print how they are called."""
    pools: dict[tuple[str, str], list[Called]] = defaultdict(list)
    for one in found:
        pools[one.sex, one.change].append(one)
    said = {id(one): one.said for one in found}
    rng = np.random.default_rng(seed)

    def draw(pool: list[Called], number: int) -> list[Called]:
        return [pool[i] for i in rng.choice(len(pool), number, replace=len(pool) < number)]

    for number in (5, 10, 20):
        for share in (1.0, 0.2):
            for change in ("", *(f"+{name}" for name in GAINS), LOSS) if share == 1 else ("+21", "+18", "+X"):
                rows = []
                for _ in range(cases):
                    sexes = [sex for sex in ("XX", "XY") if (sex, change) in pools]
                    sex = sexes[int(rng.integers(len(sexes)))]
                    changed = round(share * number)
                    cells = draw(pools[sex, change], changed) + draw(pools[sex, ""], number - changed)
                    rows.append(_judged(cells, said, sex, change, mosaic=share < 1))
                table = pd.DataFrame(rows)
                right, total = int(table["right"].sum()), len(table)
                low, high = wilson(right, total)
                title = f"{number:2} cells, {change or 'normal'}{' in a fifth' if share < 1 else ''}"
                sure = table[table["probability"] >= 0.9]
                print(
                    f"{title:24} modal karyotype right {right / total:.3f} ({low:.3f} to {high:.3f}), as abnormal "
                    f"{table['abnormal'].mean():.3f}; by clones {table['clones'].mean():.3f}; probability "
                    f"{table['probability'].mean():.3f}; of {len(sure)} from 0.9 right {sure['right'].mean():.3f}",
                    flush=True,
                )


def _judged(
    cells: list[Called], said: dict[int, dict[str, float]], sex: str, change: str, *, mosaic: bool
) -> dict[str, Any]:
    normal = f"46,{sex}"
    truth = NAMES.get(sex + change, f"47,{sex},{change}") if change else normal
    truth = f"mos {truth}/{normal}" if mosaic else truth
    modal = modal_karyotype([said[id(one)] for one in cells])
    assert modal is not None
    case = analyse_case({str(number): one.classes for number, one in enumerate(cells)})
    clonal = {str(one) for _, changes, _ in case.clones for one in changes}
    return {
        "right": modal.karyotype == truth,
        "abnormal": modal.karyotype not in ("46,XX", "46,XY"),
        "probability": modal.probability,
        "clones": change in clonal if change else not clonal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "measure"))
    parser.add_argument("dataset", type=Path)
    parser.add_argument("keep", type=Path)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-m", "--model", action="append", default=[])
    given = parser.parse_args()
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    names = {name for name in given.items.read_text().split() if file_of(given.keep, name).exists()}
    thresholds = read_card(choose_models("karyotype", ASSAY.parts, given.model)["detect"]).thresholds
    score = float(thresholds.get("score_threshold", 0.5))
    items = dataset.items.rename(columns={"class": "class_"})
    rows = [row for row in items.itertuples() if row.id in names]
    cells = [read_cell(dataset.root, row, given.keep, score, thresholds) for row in rows]
    cells = [cell for cell in cells if len(cell.true_boxes) == 46]
    weights = plausible.weights_of(thresholds, learnt=True), pairs.pair_weights_of(thresholds)
    found = call(cells, *weights, given.seed)
    if given.what == "fit":
        fit(found)
    else:
        measure(found, given.cases, given.seed)


if __name__ == "__main__":
    main()
