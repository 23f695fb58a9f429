"""Everything that can be set when histo finds nuclei, with units and ranges (no heavy import here)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cellscope.config import check, option
from cellscope.engine.planes import PlaneOptions


@dataclass(frozen=True)
class PredictOptions(PlaneOptions):
    """Options of ``cellscope histo predict`` and ``eval``."""

    panel: ClassVar[str] = "Nuclei"

    roi: Path | None = option(
        None,
        "GeoJSON of regions, as QuPath exports them: only nuclei with their centroid inside are kept. Of a folder, "
        "each image takes the file of its name.",
    )
    tissue: bool = option(True, "Leave out the parts of a slide that hold no tissue.")
    labels: bool = option(True, "Write the label image of a slide.")
    check_grid: bool = option(
        False, "Compute everything on a shifted grid as well and report how much that changes (twice the time)."
    )
    views: int = option(
        2, "Look at every tile from so many sides and average: better outlines for as many times the time.", low=1,
        high=8,
    )  # fmt: skip
    review_below: float = option(0.5, "Mark nuclei with less confidence than this for review.", low=0.0, high=1.0)
    probability_threshold: float | None = option(
        None, "Probability above which a pixel is nucleus; none takes the model's.", low=0.0, high=0.95, cli=False
    )
    edge: float | None = option(
        None, "How sharply touching nuclei part; lower separates more, none takes the model's.", low=0.01, cli=False
    )
    min_score: float | None = option(
        None, "Drop nuclei whose pixels are less probable than this on average; none takes the model's.", low=0.0,
        high=1.0, cli=False,
    )  # fmt: skip
    min_area: int | None = option(
        None, "Drop smaller nuclei, pixels at the model's scale; none takes the model's.", low=0, high=10000, cli=False
    )
    block: int = option(
        2048,
        "Side of the windows a large image is worked on in, pixels at the model's scale.",
        low=64,
        high=16384,
        cli=False,
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)
