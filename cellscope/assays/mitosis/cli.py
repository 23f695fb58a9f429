"""``cellscope mitosis``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from cellscope.assays.mitosis.options import EvalOptions, MitosisPrepareOptions, PredictOptions, TrainOptions
from cellscope.cli.verbs import Verbs, Work

verbs = Verbs("mitosis", "Cell divisions: classification as normal or abnormal, from sequences or time-lapse movies.")
app = verbs.app


@verbs.prepare
def prepare(options: MitosisPrepareOptions) -> Work:
    """Convert class folders of sequences to a prepared dataset, split by movie position.

    SOURCE is a folder whose sub-folders are classes, such as normal and abnormal.
    """
    from cellscope.assays.mitosis.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train a classifier on a prepared dataset, with optional repeats or cross-validation."""
    from cellscope.assays.mitosis.training.repeats import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Evaluate a model on a split of a prepared dataset, with 95 % confidence intervals, by cell line and dose."""
    from cellscope.assays.mitosis.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> str:
    """Classify sequences, or divisions in movies at the positions given with --events."""
    return "mitosis"
