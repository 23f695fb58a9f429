"""``cellscope nucleus-seg``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from cellscope.assays.nucleus_seg.options import EvalOptions, NucleusPrepareOptions, PredictOptions, TrainOptions
from cellscope.cli.verbs import Verbs, Work

verbs = Verbs("nucleus-seg", "Nuclei of white blood cells in blood and marrow smears: segmentation and measurement.")
app = verbs.app

Compare = Annotated[
    Optional[list[Path]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "--compare",
        metavar="OTHER_EVAL",
        help="Folder of another evaluation of the same items for a paired test; repeat for folds.",
    ),
]


@verbs.prepare
def prepare(options: NucleusPrepareOptions) -> Work:
    """Convert images with nucleus masks to a prepared dataset, split by group.

    SOURCE is a folder in the layout of WBC, BCCD, Raabin or SN-AM, one with images and masks, or a CSV file.
    """
    from cellscope.assays.nucleus_seg.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train a network on a prepared dataset."""
    from cellscope.assays.nucleus_seg.training.train import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions, compare: Compare = None) -> Work:
    """Evaluate models on a split of a prepared dataset, with 95 % confidence intervals and an Otsu baseline."""
    from cellscope.assays.nucleus_seg.evaluation.evaluate import evaluate as work

    return partial(work, compare=list(compare or []))


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Segment and measure nuclei in images of single cells and smears of any size (-m otsu: the baseline)."""
    return "nucleus-seg"
