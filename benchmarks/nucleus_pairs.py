"""How many generated pairs of touching nuclei a model counts as two.

usage: python benchmarks/nucleus_pairs.py DATASET [--split test] [--pairs 25] [--seed 7] [-m MODEL] [--pictures DIR]

DATASET is one that `cellscope nucleus-seg prepare` made. Pairs are made of single cells of one split (several with
commas), within each source. What decides between settings or models are the pairs of the validation split; those of
the test split are for the figure at the end.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from road import CPU, through
from touching_pairs import is_single, touching_pair

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.training.crops import Smear, load_smear
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.loading import load_models
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_png
from cellscope.metrics.intervals import wilson


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test", help="Splits the single cells are from, commas between.")
    parser.add_argument("--pairs", type=int, default=25, help="Per source.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-m", "--model", action="append", default=[], help="The built-in one when not given.")
    parser.add_argument("--pictures", type=Path, help="Folder for overlays of the pairs counted wrongly.")
    arguments = parser.parse_args()
    prepared = PreparedDataset.open(arguments.dataset, assay="nucleus-seg")
    singles: dict[str, list[Smear]] = {}
    for row in pd.concat([prepared.split(name) for name in arguments.split.split(",")]).itertuples():
        smear = load_smear(prepared.root, row)
        if is_single(smear):
            singles.setdefault(smear.source, []).append(smear)
    loaded = load_models(ASSAY, arguments.model, CPU)
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
    for subject, result in through(ASSAY, subjects(), loaded, dtype=pick_precision("auto", CPU)):
        found = len(result.objects)
        counts.setdefault(subject.name.rsplit("/", 1)[0], Counter())[found] += 1
        if arguments.pictures and found != 2:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            write_png(
                arguments.pictures / f"{subject.name.replace('/', '-')}-{found}.png", result.artefacts[".overlay.png"]
            )
    total: Counter[int] = Counter()
    for source, found_by in counts.items():
        total += found_by
        print(f"{source}: {found_by[2]} of {found_by.total()} as two; number found: {dict(sorted(found_by.items()))}")
    interval = " to ".join(f"{end:.3f}" for end in wilson(total[2], total.total()))
    print(f"all: {total[2] / total.total():.3f} ({interval}) counted as two")


if __name__ == "__main__":
    main()
