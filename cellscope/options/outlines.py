"""Options of ``measure``, the same for all assays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cellscope.options.planes import PlaneOptions
from cellscope.options.resolve import check, option


@dataclass(frozen=True)
class OutlineOptions(PlaneOptions):
    """Of outlines made elsewhere, beside their images."""

    panel: ClassVar[str] = "Nuclei"

    binary: Literal["refuse", "split"] = option(
        "refuse", "Binary masks (0 and 255): refuse them, or split them into one nucleus per connected piece."
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        check(self)
