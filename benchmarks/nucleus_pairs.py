"""How many generated pairs of touching nuclei the built-in model counts as two.

usage: python benchmarks/nucleus_pairs.py DATASET [--pairs 25] [--seed 7]

DATASET is one that `cellscope nucleus-seg prepare` made; pairs are made of single cells of its validation and test
splits, within each source.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cellscope.assays.nucleus_seg.config import PredictOptions
from cellscope.assays.nucleus_seg.data import Smear, load_smear
from cellscope.assays.nucleus_seg.pairs import is_single, touching_pair
from cellscope.assays.nucleus_seg.predict import ASSAY, IMAGE
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.options import RunOptions
from cellscope.engine.predict import load_models
from cellscope.engine.stages import run_subjects
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--pairs", type=int, default=25, help="Per source.")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    prepared = PreparedDataset.open(arguments.dataset, assay="nucleus-seg")
    singles: dict[str, list[Smear]] = {}
    for row in pd.concat([prepared.split("val"), prepared.split("test")]).itertuples():
        smear = load_smear(prepared.root, row)
        if is_single(smear):
            singles.setdefault(smear.source, []).append(smear)
    device = torch.device("cpu")
    loaded = load_models(ASSAY, [], device)
    rng = np.random.default_rng(arguments.seed)

    def subjects() -> Iterator[Subject]:
        for number in range(arguments.pairs):
            for source, cells in sorted(singles.items()):
                first, second = rng.choice(len(cells), 2, replace=False)
                image = touching_pair(cells[first], cells[second], rng)
                margin = int(1.2 * cells[first].diameter)
                pixels = np.ascontiguousarray(image[margin:-margin, margin:-margin])
                yield Subject(f"{source}/{number}", Image(pixels), IMAGE, PredictOptions(), loaded.cards)

    counts: dict[str, Counter[int]] = {}
    run, dtype = RunOptions(), pick_precision("auto", device)
    for subject, result, error in run_subjects(
        ASSAY, subjects(), loaded.modules, run=run, device=device, dtype=dtype, window=4
    ):
        if result is None:
            raise RuntimeError(error)
        counts.setdefault(subject.name.rsplit("/", 1)[0], Counter())[len(result.objects)] += 1
    for source, found in counts.items():
        print(f"{source}: {found[2] / found.total():.3f} counted as two; number found: {dict(sorted(found.items()))}")


if __name__ == "__main__":
    main()
