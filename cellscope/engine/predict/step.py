"""What happens to one subject between two networks: finish a stage, cut the next, conclude."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellscope.engine.assay import Assay, Result, Subject

Conclude = Callable[[Subject], Any]
"""What a finished subject comes to: a `Result` in ``predict``, what is to be measured in ``eval``."""


@dataclass
class Step:
    """Where a subject stands after `advance`.

    Attributes
    ----------
    number
        Index of the stage whose network runs next; the number of stages when all are done.
    items
        What that network gets.
    result
        What the subject came to, when all stages are done.
    state
        The subject's, as it is now.
    seconds
        What this step took.
    weights
        Of the items, in the features of the image; None where they do not stand for it.
    """

    number: int
    items: list[np.ndarray]
    result: Any
    state: Any
    seconds: float
    weights: list[float] | None = None

    @property
    def done(self) -> bool:
        """Whether the subject is through all stages."""
        return not self.items


def advance(assay: Assay, subject: Subject, number: int, outputs: list[Any], conclude: Conclude | None = None) -> Step:
    """Finish a stage with its network's outputs, then cut the next stage or conclude.

    Parameters
    ----------
    number
        Index into ``assay.stages_of(subject.kind)`` of the stage whose network just ran; -1 at the start.
    outputs
        One per item of that stage.
    conclude
        In place of the assay's own, whose results are checked.

    Returns
    -------
    Step
        Stages that cut no item are passed through, their ``finish`` called with an empty list.

    Raises
    ------
    Exception
        Whatever the assay raised.
    """
    start = time.perf_counter()
    stages = assay.stages_of(subject.kind)
    while True:
        if number >= 0:
            stages[number].finish(subject, outputs)
        number += 1
        if number == len(stages):
            result = _conclude(assay, subject) if conclude is None else conclude(subject)
            return Step(number, [], result, None, time.perf_counter() - start)
        items = [np.ascontiguousarray(item, dtype=np.float32) for item in stages[number].cut(subject)]
        if wrong := next((item.shape for item in items if item.ndim != 3), None):
            raise ValueError(f"stage {stages[number].part!r} cut an item of shape {wrong}, not (C, H, W)")
        if items:
            weigh = stages[number].weigh
            weights = None if weigh is None else [float(weight) for weight in weigh(subject, len(items))]
            return Step(number, items, None, subject.state, time.perf_counter() - start, weights)
        outputs = []


def _conclude(assay: Assay, subject: Subject) -> Result:
    result = assay.conclude(subject)
    if subject.piece is None:
        check_result(assay, subject, result)
    return result


def check_result(assay: Assay, subject: Subject, result: Result) -> None:
    """Refuse a result that would break the contract of ``objects.csv`` (docs/outputs.md).

    Raises
    ------
    ValueError
        A missing column, a label that is not a positive integer or comes twice, or columns the assay did not declare.
    """
    if result.rows is not None:
        raise ValueError(f"{assay.name} gave rows that are made later, which only `join` may")
    needed = ["label", "class", "score", "review", *assay.classes_columns(subject.cards)]
    if lacking := [name for name in needed if name not in result.objects]:
        raise ValueError(f"{assay.name} gave objects without {', '.join(lacking)}")
    labels = result.objects["label"]
    if len(labels) and (labels.duplicated().any() or labels.astype(int).min() < 1):
        raise ValueError(f"{assay.name} gave labels that repeat or are not positive")
    unknown = [name for name in result.summary if name not in assay.summaries(subject.cards)]
    unknown += [name for name in result.tables if name not in assay.tables]
    if unknown:
        raise ValueError(f"{assay.name} gave {', '.join(unknown)}, which it does not declare")
