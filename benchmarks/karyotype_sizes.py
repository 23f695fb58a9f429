"""The areas of the 24 classes beside one another: the table in `cellscope/assays/karyotype/cell/sizes.py`.

usage: python benchmarks/karyotype_sizes.py DATASET [--split train]

Single chromosomes and annotated metaphases of a prepared dataset, cell by cell. A cell's own scale is the median, over
its chromosomes, of log area less that of their class; both are refined in turn. Printed are the class means and robust
spreads over all sources, and how far each source's means lie from them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import single_chromosome
from cellscope.assays.karyotype.evaluation.evaluate import cell_of
from cellscope.assays.karyotype.training.classifier_data import collect_chromosomes
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read

FEWEST = 15
ROUNDS = 20

Cells = dict[str, list[tuple[int, float]]]


def single_cells(dataset: PreparedDataset, split: str) -> Cells:
    """Class and log area of every single chromosome, by cell."""
    cells: Cells = defaultdict(list)
    for row in dataset.split(split).rename(columns={"class": "class_"}).itertuples():
        if not row.target:
            _, mask = single_chromosome(read(dataset.root / str(row.image)).pixels[..., 0].astype(np.float32))
            cells[cell_of(str(row.image))].append((CLASSES.index(str(row.class_)), float(np.log(mask.sum()))))
    return cells


def metaphase_cells(dataset: PreparedDataset, split: str) -> Cells:
    """Gather the same of annotated metaphases."""
    cells: Cells = defaultdict(list)
    rows = dataset.split(split)
    for name in rows.loc[rows["target"] != "", "id"]:
        one = _Only(dataset, split, str(name))
        for chromosome in collect_chromosomes(one, split, singles=False):  # type: ignore[arg-type]
            cells[str(name)].append((chromosome.label, float(np.log(chromosome.mask.sum()))))
    return cells


class _Only:
    """A dataset of one item."""

    def __init__(self, dataset: PreparedDataset, split: str, name: str):
        self.root = dataset.root
        self._rows = dataset.split(split)
        self._rows = self._rows[self._rows["id"] == name]

    def split(self, _split: str, *, fold: int | None = None) -> object:
        return self._rows


def fit(cells: list[list[tuple[int, float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Class means, which sum to 0, and spreads (1.48 times the median absolute deviation)."""
    tables = [np.array(cell) for cell in cells if len(cell) >= FEWEST]
    means = np.zeros(len(CLASSES))
    labels = np.concatenate([table[:, 0] for table in tables]).astype(int)
    rest = np.zeros(len(labels))
    for _ in range(ROUNDS):
        parts = [table[:, 1] - np.median(table[:, 1] - means[table[:, 0].astype(int)]) for table in tables]
        rest = np.concatenate(parts)
        means = np.array([np.median(rest[labels == k]) if (labels == k).any() else 0.0 for k in range(len(CLASSES))])
        means -= means.mean()
    spread = [1.4826 * np.median(np.abs(rest[labels == k] - means[k])) for k in range(len(CLASSES))]
    return means, np.array(spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="train")
    given = parser.parse_args()
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    cells = single_cells(dataset, given.split) | metaphase_cells(dataset, given.split)
    means, spread = fit(list(cells.values()))
    print("class    ", " ".join(f"{name:>6}" for name in CLASSES))
    print("LOG_AREA ", " ".join(f"{value:6.3f}" for value in means))
    print("SPREAD   ", " ".join(f"{value:6.3f}" for value in spread))
    by_source: dict[str, list[list[tuple[int, float]]]] = defaultdict(list)
    for name, cell in cells.items():
        by_source[" ".join(part for part in ("images/" + name).split("/") if part not in ("images", ""))[:12]].append(
            cell
        )
    for source, listed in sorted(by_source.items()):
        if sum(len(cell) >= FEWEST for cell in listed) >= 3:
            print(f"{source:24} differs by at most {np.abs(fit(listed)[0] - means).max():.3f}")


if __name__ == "__main__":
    main()
