"""``cellscope foci``: the four verbs. What they need is imported when one of them runs."""

from __future__ import annotations

from cellscope.assays.foci.options import EvalOptions, PredictOptions, TrainOptions
from cellscope.cli.verbs import Verbs, Work
from cellscope.options.common import PrepareOptions

verbs = Verbs("foci", "Fluorescent foci: segmentation and counting.")
app = verbs.app


@verbs.prepare
def prepare(options: PrepareOptions) -> Work:
    """Convert images with masks to a prepared dataset."""
    from cellscope.assays.foci.learn import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train the network on a prepared dataset."""
    from cellscope.assays.foci.learn import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Evaluate a model on a split of a prepared dataset."""
    from cellscope.assays.foci.learn import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Segment, count and measure foci."""
    return "foci"
