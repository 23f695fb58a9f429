"""What features of an image say, read against the descriptions in the model files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellscope.engine.subject import Features, Subject
from cellscope.metrics.familiarity import UNFAMILIAR, Description

if TYPE_CHECKING:
    from cellscope.engine.assay import Assay

SENTENCE = (
    "unlike the training images: what was found stands as it is, but probabilities and intervals do not hold here; "
    "check it by eye"
)
"""What is said of an unfamiliar image."""


@dataclass(frozen=True)
class Verdict:
    """How like the training images an image is.

    Attributes
    ----------
    familiarity : float
        Above 0, to 1: the share of training images that were as unlike the others of the training, or more so.
    """

    familiarity: float

    @property
    def unfamiliar(self) -> bool:
        """Whether it is unlike them."""
        return self.familiarity < UNFAMILIAR


class Judge:
    """Read the features of subjects.

    Parameters
    ----------
    assay : Assay
    descriptions : mapping
        Part -> kind of input -> description, of the models that have one.
    """

    def __init__(self, assay: Assay, descriptions: Mapping[str, Mapping[str, Description]]):
        self._assay = assay
        self._descriptions = descriptions

    def __bool__(self) -> bool:
        return any(self._descriptions.values())

    def __call__(self, subject: Subject) -> Verdict | None:
        """Give the verdict on a subject that has been through the stages; None where nothing can be said.

        Of several described parts the one that finds it the least familiar counts, and to keep false alarms as
        rare as with one, times their number (Bonferroni).
        """
        kind = self._assay.described_as.get(subject.kind, subject.kind)
        found = []
        for part, features in subject.features.items():
            description = self._descriptions.get(part, {}).get(kind)
            if description is None or features.values.shape != description.scale.shape:
                continue
            found.append(float(description.familiarity(features.values[None])[0]))
        if not found or not all(map(math.isfinite, found)):
            return None
        return Verdict(float(f"{min(min(found) * len(found), 1.0):.3g}"))


def average(parts: Iterable[Features]) -> Features | None:
    """Average features by their weights; None for nothing."""
    total, weight = None, 0.0
    for one in parts:
        added = np.asarray(one.values, np.float64) * one.weight
        total = added if total is None else total + added
        weight += one.weight
    return None if total is None or weight <= 0 else Features((total / weight).astype(np.float32), weight)
