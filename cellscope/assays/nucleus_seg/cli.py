"""``cellscope nucleus-seg``: the four verbs and `measure`. Options only; what they need is imported when one runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cellscope.assays.nucleus_seg.options import (
    EvalOptions,
    MeasureOptions,
    NucleusPrepareOptions,
    PredictOptions,
    TrainOptions,
)
from cellscope.cli.brief import Command
from cellscope.cli.verbs import Inputs, Out, Outlines, Verbs, Work, run_inputs
from cellscope.options.common import InputOptions, RunOptions
from cellscope.options.fields import extended
from cellscope.options.flags import with_options

verbs = Verbs("nucleus-seg", "Nuclei of white blood cells in blood and marrow smears: segmentation and measurement.")
app = verbs.app


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
def evaluate(options: EvalOptions) -> Work:
    """Evaluate models on a split of a prepared dataset, with 95 % confidence intervals and an Otsu baseline."""
    from cellscope.assays.nucleus_seg.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Segment and measure nuclei in images of single cells and smears of any size (-m otsu: the baseline)."""
    return "nucleus-seg"


@app.command("measure", cls=Command)
@with_options
def measure(
    outlines: Outlines,
    inputs: Inputs,
    options: MeasureOptions,
    run: InputOptions,
    argv: list[str],
    out: Out = Path("nucleus-seg-measure"),
) -> int:
    """Measure nuclei that a person or another program outlined, as predict measures its own."""
    from cellscope.assays.nucleus_seg.remeasure.assay import work

    begin = partial(work, outlines)
    return run_inputs("nucleus-seg measure", begin, inputs, out, extended(run, RunOptions), options, None, argv)
