"""A subject on its way through the stages."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellscope.engine.assay import Stage, Subject
from cellscope.engine.predict.outcome import Done, Failure


@dataclass(eq=False)
class Flight:
    """A subject inside the window; ``outcome`` alone for an input that failed before."""

    subject: Subject | None
    stages: tuple[Stage, ...] = ()
    number: int = -1
    outputs: list[Any] = field(default_factory=list)
    missing: int = 0
    weights: list[float] | None = None
    features: list[np.ndarray | None] = field(default_factory=list)
    job: Future | None = None
    outcome: Done | Failure | None = None

    @property
    def pixels(self) -> int:
        """Of its image; 0 once it has failed."""
        return 0 if self.subject is None else self.subject.pixels
