"""`cellscope karyotype train`: both parts, one door."""

from __future__ import annotations

from pathlib import Path

import lightning as L

from cellscope.assays.karyotype.options import TrainOptions
from cellscope.assays.karyotype.training.classifier import train_classify
from cellscope.assays.karyotype.training.detector import train_detect
from cellscope.engine.train.data import open_dataset


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train one part of the assay on a prepared dataset.

    Parameters
    ----------
    dataset : Path
        From ``cellscope karyotype prepare``.
    out : Path
        The run folder.
    options : TrainOptions
    argv : list of str
        The command, for the record.

    Returns
    -------
    int
        Exit code 0; errors and signals raise.
    """
    prepared = open_dataset(dataset, "karyotype", options, out)
    L.seed_everything(options.seed, verbose=False)
    parts = {"detect": train_detect, "classify": train_classify}
    parts[options.part](prepared, out, options, argv)
    return 0
