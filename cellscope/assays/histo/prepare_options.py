"""The options of `cellscope histo prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cellscope.config import option
from cellscope.engine.options import PrepareOptions


@dataclass(frozen=True)
class HistoPrepareOptions(PrepareOptions):
    """Options of ``cellscope histo prepare``."""

    panel: ClassVar[str] = "Histo"

    types: Literal["hovernet", "paper", "all"] = option(
        "hovernet",
        "How CoNSeP's seven types are merged: hovernet to 4 (one epithelial type), paper to 5 (normal and malignant "
        "epithelium apart), all keeps 7.",
    )
    classes: tuple[str, ...] = option(
        (), "The types of a laboratory's own tables, in the order of their numbers 1, 2, ...", metavar="A,B,..."
    )
    pixel_size: float | None = option(
        None,
        "What a source pixel measures, micrometres, in place of what its files say; 0.25 where nothing is known.",
        low=0.05,
        high=4.0,
        metavar="UM",
    )
    pieces: Literal["refuse", "split"] = option(
        "refuse", "What to do with an instance number that lies in several distant pieces: make each a nucleus?"
    )
