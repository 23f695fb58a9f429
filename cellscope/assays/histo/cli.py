"""``cellscope histo``: the four verbs and `measure`. Options only; what they need is imported when one runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cellscope.assays.histo.options import (
    EvalOptions,
    HistoPrepareOptions,
    MeasureOptions,
    PredictOptions,
    TrainOptions,
)
from cellscope.cli.brief import Command
from cellscope.cli.verbs import Inputs, Out, Outlines, Verbs, Work, run_inputs
from cellscope.options.common import InputOptions, RunOptions
from cellscope.options.fields import extended
from cellscope.options.flags import with_options

verbs = Verbs("histo", "Nuclei in H&E images and whole slides: segmentation, classification, measurement.")
app = verbs.app


@verbs.prepare
def prepare(options: HistoPrepareOptions) -> Work:
    """Convert images with annotated nuclei to a prepared dataset, split by group.

    SOURCE is a folder or file in the layout of CoNSeP, PanNuke, CPM-17, KUMAR, MoNuSeg, COCO, QuPath or label images.
    """
    from cellscope.assays.histo.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train a network on a prepared dataset."""
    from cellscope.assays.histo.training.train import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Evaluate models on a split of a prepared dataset, with 95 % confidence intervals and an Otsu baseline."""
    from cellscope.assays.histo.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Segment, classify and measure nuclei in H&E tiles and whole slides (-m otsu: the baseline)."""
    return "histo"


@app.command("measure", cls=Command)
@with_options
def measure(
    outlines: Outlines,
    inputs: Inputs,
    options: MeasureOptions,
    run: InputOptions,
    argv: list[str],
    out: Out = Path("histo-measure"),
) -> int:
    """Measure nuclei that a person or another program outlined, as predict measures its own."""
    from cellscope.assays.histo.remeasure.assay import work

    begin = partial(work, outlines)
    return run_inputs("histo measure", begin, inputs, out, extended(run, RunOptions), options, None, argv)
