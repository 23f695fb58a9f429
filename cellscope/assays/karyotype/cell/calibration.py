"""Calibration of a classifier's outputs within a cell, from the thresholds of its model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: What a classifier's model card may hold, in the order of `Calibration`.
THRESHOLDS = ("confidence_slope", "confidence_offset", "polarity_margin")
#: What a detector's may hold for the cells that it knows how to choose: the first two of these.
LEARNT = tuple(f"bright_field_{name}" for name in THRESHOLDS[:2])
#: Margins beyond it, in nats, say no more.
SUREST = 20.0


@dataclass(frozen=True)
class Calibration:
    """How margins become confidences, and which polarity logits count.

    Fitted on validation data with both networks (`benchmarks/karyotype_losses.py`); the defaults, for models whose card
    holds nothing, take the networks at their word.

    Attributes
    ----------
    slope, offset : float
        Confidence = 1 / (1 + exp(-(slope margin + offset))): the probability of "found, and of the class given". The
        margin of an assignment, in nats, is taken for log odds by default.
    polarity_margin : float
        Polarity logits nearer to 0 than this do not decide which arm is up.
    """

    slope: float = 1.0
    offset: float = 0.0
    polarity_margin: float = 0.0

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Calibration:
        """Read `THRESHOLDS` of a classifier's model card."""
        defaults = (cls.slope, cls.offset, cls.polarity_margin)
        return cls(*(thresholds.get(name, value) for name, value in zip(THRESHOLDS, defaults, strict=True)))

    def confidence(self, margin: float) -> float:
        """Turn an assignment's margin, in nats, into a probability."""
        return float(1 / (1 + np.exp(-(self.slope * min(margin, SUREST) + self.offset))))

    def short_arm_up(self, logit: float) -> bool | None:
        """Tell whether the short arm is up; None where the logit does not decide."""
        return logit > 0 if abs(logit) > self.polarity_margin else None


def margins_of(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Give what a detector's model card says of margins, under the names of a classifier's."""
    return {name: thresholds[own] for name, own in zip(THRESHOLDS, LEARNT, strict=False) if own in thresholds}
