"""Options of the foci assay (no heavy import here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cellscope.options.planes import PlaneOptions
from cellscope.options.recipes import Recipe
from cellscope.options.resolve import check, option
from cellscope.options.training import TrainingOptions

DEFAULT = Recipe({"steps": 400, "batch_size": 1, "learning_rate": 3e-3, "weight_decay": 0.01})


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Options of ``cellscope foci train``."""

    recipes: ClassVar[Sequence[Recipe]] = (DEFAULT,)

    part: Literal["foci"] = option("foci", "Network to train.")


@dataclass(frozen=True)
class EvalOptions:
    """Options of ``cellscope foci eval``."""

    panel: ClassVar[str] = "Foci"

    min_area: int = option(4, "Minimum area of a focus, pixels.", low=1, high=10000)

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PredictOptions(EvalOptions, PlaneOptions):
    """Options of ``cellscope foci predict``."""

    review_below: float = option(0.8, "Mark foci for review whose score is below this value.", low=0.0, high=1.0)
