"""How often a cell with 45 or 47 chromosomes is flagged: edited G-band metaphases, ADIR's aneuploid cells, edited sets.

usage: python benchmarks/karyotype_aneuploidy.py DATASET [--split test] [--edits 2] [--sources ...] [-m MODEL]...

DATASET is what `cellscope karyotype prepare` made of the sets in docs/models.md. Three measurements:

- **edited**: G-band metaphases with one chromosome painted over (45) or a second picture of one pasted on free ground
  (47). Only chromosomes that lie free are taken, so that the edit leaves no trace. Each image is its own control.
- **adir**: DAPI metaphases under their own ISCN code: fewer or more than 46 against normal ones.
- **sets**: the single chromosomes of whole G-band cells with one left out or one of another cell of the culture added:
  what the classes alone can tell, without a detector. Also whether the chromosome concerned is named.

Given are the sensitivity at a threshold that flags 5 % of the normal cells (the score is `departure.departure`), and
what the plain flag, a count other than 46, does.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from departure import departure
from road import through

from cellscope.assays.karyotype.assay import ASSAY, name_subject, plausible_of
from cellscope.assays.karyotype.cell.assignment import assign_cell
from cellscope.assays.karyotype.cell.choice import LEAVING_OUT, cell_evidence
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.metaphase import load_metaphase
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME, METAPHASE
from cellscope.assays.karyotype.evaluation.evaluate import cell_of
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.loading import load_models
from cellscope.imaging.tone import foreground, normalise_tone
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.metrics.intervals import wilson

#: Chromosomes in the cells of ADIR's codes (its README); codes of rearranged cells with 46 are left out.
ADIR_COUNTS = {
    "XY": 46, "XX": 46, "02": 45, "08": 45, "09": 45, "12": 45, "13": 45, "15": 45, "17": 45, "18": 45, "20": 45,
    "21": 45, "25": 44, "26": 45, "27": 42, "28": 44, "29": 44, "30": 43, "31": 44, "32": 43, "33": 43, "34": 41,
    "35": 42, "36": 43, "37": 40, "38": 36, "39": 32, "40": 42, "41": 47, "42": 50, "43": 49, "44": 44, "45": 45,
    "47": 45, "48": 43, "49": 45, "50": 43, "51": 42, "55": 45, "56": 44, "57": 45, "58": 44, "60": 47, "61": 45,
    "62": 45, "63": 44,
}  # fmt: skip


def free_chromosomes(image: np.ndarray, boxes: np.ndarray) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Masks of the chromosomes whose foreground touches no other box: (mask, (x, y) of its first pixel)."""
    normalised, _ = normalise_tone(image)
    _, labels = cv2.connectedComponents(foreground(normalised).astype(np.uint8), connectivity=8)
    owners: dict[int, set[int]] = defaultdict(set)
    for index, (x0, y0, x1, y1) in enumerate(boxes.astype(int)):
        for label in np.unique(labels[max(y0, 0) : y1, max(x0, 0) : x1]):
            owners[int(label)].add(index)
    found = []
    for index, (x0, y0, x1, y1) in enumerate(boxes.astype(int)):
        mine = [label for label in owners if label and owners[label] == {index}]
        inside = np.isin(labels, mine)
        rows, columns = np.nonzero(inside)
        if not len(rows) or inside.sum() < 0.2 * (x1 - x0) * (y1 - y0):
            continue
        if rows.min() < y0 - 2 or rows.max() > y1 + 2 or columns.min() < x0 - 2 or columns.max() > x1 + 2:
            continue
        grown = cv2.dilate(inside.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        others = np.isin(labels, [0, *mine], invert=True)
        if (grown & others).any():
            continue
        top, left = rows.min() - 3, columns.min() - 3
        if top < 0 or left < 0:
            continue
        found.append((grown[top : rows.max() + 4, left : columns.max() + 4], (int(left), int(top))))
    return found


def remove_one(image: np.ndarray, mask: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
    """Paint a chromosome over with the ground around it."""
    x, y = offset
    full = np.zeros(image.shape, np.uint8)
    full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return cv2.inpaint(image, full, 5, cv2.INPAINT_TELEA)


def add_one(
    image: np.ndarray, mask: np.ndarray, offset: tuple[int, int], boxes: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Paste a turned copy of a chromosome on free ground among the others; None where there is none."""
    x, y = offset
    h, w = mask.shape
    patch, cut = image[y : y + h, x : x + w], mask
    turn = int(rng.integers(1, 4))
    patch, cut = np.rot90(patch, turn), np.rot90(cut, turn)
    h, w = cut.shape
    normalised, _ = normalise_tone(image.astype(np.float32))
    taken = cv2.dilate(foreground(normalised).astype(np.uint8), np.ones((9, 9), np.uint8))
    low, high = boxes[:, :2].min(0).astype(int), boxes[:, 2:].max(0).astype(int)
    for _ in range(400):
        left = int(rng.integers(max(low[0], 0), max(high[0] - w, low[0] + 1)))
        top = int(rng.integers(max(low[1], 0), max(high[1] - h, low[1] + 1)))
        if left + w > image.shape[1] or top + h > image.shape[0] or left < 0 or top < 0:
            continue
        if (taken[top : top + h, left : left + w] & cut).any():
            continue
        result = image.copy()
        ground = float(np.median(result[top : top + h, left : left + w][cut]))
        own = float(np.percentile(patch[cut], 97))
        there = result[top : top + h, left : left + w]
        pasted = np.clip(patch.astype(float) + (ground - own), 0, 255)
        there[cut] = np.minimum(there[cut], pasted[cut]).astype(image.dtype)
        return result
    return None


def subjects_of(images: Iterator[tuple[str, np.ndarray]], cards: Any) -> Iterator[Subject]:
    """Make subjects of named grey images."""
    for name, grey in images:
        yield Subject(name, Image(np.ascontiguousarray(grey[..., None])), METAPHASE, PredictOptions(), cards)


def keep_state(subject: Subject) -> dict[str, Any]:
    """Give what the measurements need."""
    state = subject.state
    if subject.kind == CHROMOSOME:
        return {"scores": state.log_probabilities[0], "area": int(state.mask.sum())}
    detections = state.detections
    evidence = cell_evidence(state.log_probabilities, np.array([one.area for one in detections], float))
    found = departure(evidence, LEAVING_OUT + plausible_of(subject).certain)
    return {"score": found, "count": len(name_subject(subject).chromosomes)}


def run(subjects: Iterator[Subject], loaded: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run both networks over subjects and give what `keep_state` keeps."""
    for subject, kept in through(ASSAY, subjects, loaded, conclude=keep_state):
        yield subject.name, kept


def edited(dataset: PreparedDataset, split: str, edits: int, cards: Any, seed: int) -> Iterator[Subject]:
    """G-band metaphases as they are, with one removed, with one added."""
    rng = np.random.default_rng(seed)
    rows = dataset.split(split).rename(columns={"class": "class_"})

    def images() -> Iterator[tuple[str, np.ndarray]]:
        for row in rows.itertuples():
            if not str(row.id).startswith("tseng2023_gband/"):
                continue
            boxes = load_metaphase(dataset.root, row).boxes
            image = np.ascontiguousarray(read(dataset.root / str(row.image)).pixels[..., 0])
            yield f"46 {row.id}", image
            free = free_chromosomes(image.astype(np.float32), boxes)
            rng.shuffle(free)  # type: ignore[arg-type]
            for number, (mask, offset) in enumerate(free[:edits]):
                yield f"45 {row.id} {number}", remove_one(image, mask, offset)
            made = 0
            for mask, offset in free[edits:] + free[:edits]:
                grown = add_one(image, mask, offset, boxes, rng)
                if grown is not None and made < edits:
                    made += 1
                    yield f"47 {row.id} {made}", grown

    return subjects_of(images(), cards)


def adir(dataset: PreparedDataset, splits: list[str], cards: Any) -> Iterator[Subject]:
    """ADIR's metaphases whose code tells their number."""
    for split in splits:
        for row in dataset.split(split).itertuples():
            name = str(row.id)
            if name.startswith("adir_mfish/") and name[-2:] in ADIR_COUNTS:
                image = read(dataset.root / str(row.image))
                yield Subject(f"{ADIR_COUNTS[name[-2:]]} {name}", image, METAPHASE, PredictOptions(), cards)


def singles(dataset: PreparedDataset, splits: list[str], cards: Any) -> Iterator[Subject]:
    """Yield the single G-band chromosomes, named by cell and class."""
    for split in splits:
        for row in dataset.split(split).rename(columns={"class": "class_"}).itertuples():
            if str(row.id).startswith("pki3_single/"):
                image = read(dataset.root / str(row.image))
                name = f"{cell_of(str(row.image))}|{row.class_}|{row.id}"
                yield Subject(name, image, CHROMOSOME, PredictOptions(), cards)


def report(title: str, rows: list[tuple[int, float, int]]) -> None:
    """Print sensitivity at 5 % false alarms by the score, and what a count other than 46 does.

    `rows` holds (true number, score, number found).
    """
    table = pd.DataFrame(rows, columns=["truth", "score", "count"])
    normal, other = table[table["truth"] == 46], table[table["truth"] != 46]
    print(f"\n{title}: {len(normal)} normal, {len(other)} others")
    if not len(normal) or not len(other):
        return
    threshold = float(np.quantile(normal["score"], 0.95, method="higher"))
    alarms = int((normal["score"] > threshold).sum())
    print(f"threshold {threshold:.2f}: {alarms} of {len(normal)} normal cells flagged")
    parts = [("fewer", other[other["truth"] < 46]), ("more", other[other["truth"] > 46]), ("all", other)]
    for name, part in parts:
        if len(part):
            hits = int((part["score"] > threshold).sum())
            low, high = wilson(hits, len(part))
            counted = int((part["count"] != 46).sum())
            print(
                f"  {name:6} {hits} of {len(part)} flagged, {hits / len(part):.3f} ({low:.3f} to {high:.3f}); "
                f"count not 46: {counted / len(part):.3f}; count right: {(part['count'] == part['truth']).mean():.3f}"
            )
    print(f"  normal cells with a count other than 46: {(normal['count'] != 46).mean():.3f}")


def measure_sets(found: Iterator[tuple[str, dict[str, Any]]], edits: int, seed: int) -> None:
    """Leave one out of each whole cell, or add one of another cell, and look at the score and the names."""
    rng = np.random.default_rng(seed)
    cells: dict[str, list[tuple[int, np.ndarray, int]]] = defaultdict(list)
    for name, kept in found:
        cell, class_, _ = name.split("|")
        cells[cell].append((CLASSES.index(class_), kept["scores"], kept["area"]))
    whole = {name: cell for name, cell in cells.items() if len(cell) == 46}
    rows, named, asked = [], {45: 0, 47: 0}, {45: 0, 47: 0}
    for name, cell in whole.items():
        rows.append((46, *_judge(cell)[:2]))
        for _ in range(edits):
            gone = int(rng.integers(len(cell)))
            other = whole[str(rng.choice([one for one in whole if one != name]))]
            guest = other[int(rng.integers(len(other)))]
            size = np.median([one[2] for one in cell]) / np.median([one[2] for one in other])
            variants = {
                45: (cell[:gone] + cell[gone + 1 :], cell[gone][0]),
                47: ([*cell, (guest[0], guest[1], round(guest[2] * size))], guest[0]),
            }
            for number, (variant, concerned) in variants.items():
                score, count, classes = _judge(variant)
                rows.append((number, score, count))
                before = sum(one[0] == concerned for one in variant)
                asked[number] += 1
                named[number] += classes.count(CLASSES[concerned]) == before and _others_right(classes, variant)
    report("G-band sets of singles, edited", rows)
    for number in (45, 47):
        low, high = wilson(named[number], asked[number])
        share = named[number] / max(asked[number], 1)
        print(f"  whole karyotype right with {number}: {share:.3f} ({low:.3f} to {high:.3f}), n {asked[number]}")


def _others_right(classes: list[str], cell: list[tuple[int, np.ndarray, int]]) -> bool:
    truth = [CLASSES[one[0]] for one in cell]
    return all(classes.count(name) == truth.count(name) for name in CLASSES)


def _judge(cell: list[tuple[int, np.ndarray, int]]) -> tuple[float, int, list[str]]:
    evidence = cell_evidence(np.array([one[1] for one in cell]), np.array([one[2] for one in cell], float))
    certain = np.full(len(cell), 6.0)
    classes = assign_cell(evidence, aneuploidy_cost=PredictOptions().aneuploidy_cost).classes
    return departure(evidence, certain).either, len(cell), classes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--edits", type=int, default=2, help="cells with one less, and with one more, per image")
    parser.add_argument("--sources", default="edited,adir,sets")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    loaded = load_models(ASSAY, given.model, torch.device("cpu"))
    splits = given.split.split(",")
    wanted = given.sources.split(",")
    if "sets" in wanted:
        measure_sets(run(singles(dataset, splits, loaded.cards), loaded), 4 * given.edits, given.seed)
    if "edited" in wanted:
        rows = []
        for split in splits:
            for name, kept in run(edited(dataset, split, given.edits, loaded.cards, given.seed), loaded):
                rows.append((int(name.split()[0]), kept["score"].either, kept["count"]))
        report("G-band metaphases, edited", rows)
    if "adir" in wanted:
        rows = [
            (int(name.split()[0]), kept["score"].either, kept["count"])
            for name, kept in run(adir(dataset, splits, loaded.cards), loaded)
        ]
        report("ADIR, by its own codes", rows)


if __name__ == "__main__":
    main()
