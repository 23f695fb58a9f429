"""``cellscope mitosis``: the four verbs. Options only; what they need is imported when one of them runs."""

from __future__ import annotations

from cellscope.assays.mitosis.options import EvalOptions, MitosisPrepareOptions, PredictOptions, TrainOptions
from cellscope.cli.verbs import Verbs, Work
from cellscope.engine.assay import Assay

verbs = Verbs("mitosis", "Cell divisions: normal or abnormal, from sequences or time-lapse movies.")
app = verbs.app


@verbs.prepare
def prepare(options: MitosisPrepareOptions) -> Work:
    """Turn class folders of sequences into a prepared dataset, split by movie position.

    SOURCE is a folder whose sub-folders are classes, such as normal and abnormal.
    """
    from cellscope.assays.mitosis.datasets.prepare import prepare as work

    return work


@verbs.train
def train(options: TrainOptions) -> Work:
    """Train a classifier on a prepared dataset: once, several times, or once per fold."""
    from cellscope.assays.mitosis.training.repeats import train as work

    return work


@verbs.eval
def evaluate(options: EvalOptions) -> Work:
    """Measure a model on a split of a prepared dataset, with 95 % intervals, by cell line and by dose."""
    from cellscope.assays.mitosis.evaluation.evaluate import evaluate as work

    return work


@verbs.predict
def predict(options: PredictOptions) -> Assay:
    """Classify sequences, or the divisions that a table names in movies (--events)."""
    from cellscope.assays.mitosis.assay import ASSAY

    return ASSAY
