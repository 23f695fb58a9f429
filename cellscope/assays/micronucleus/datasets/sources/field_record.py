"""What every reader of a layout gives: fields with annotated cells, or single crops with a class."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class FieldRecord:
    """One field.

    Attributes
    ----------
    name : str
        Unique within its cell line.
    line : str
        Cell line or other source; splits are spread over each.
    grey : (H, W) uint8 or uint16
        The DNA channel.
    nuclei : (H, W) int32
    micronuclei : (H, W) int32 or None
        None where only cells are annotated, not pixels.
    parents : dict
        Micronucleus -> nucleus.
    classes : dict
        Nucleus -> class; nuclei that nobody annotated are missing.
    group : str
        What a split keeps together within the cell line; empty for the field by itself.
    complete : bool
        False where `micronuclei` holds some of those that there are.
    facts : dict
        More columns of `items.csv`.
    """

    name: str
    line: str
    grey: np.ndarray
    nuclei: np.ndarray
    micronuclei: np.ndarray | None
    parents: dict[int, int] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    group: str = ""
    complete: bool = True
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class CropRecord:
    """One crop that shows one cell: (H, W) uint8 or uint16 pixels, its class, and what it must not be split from."""

    name: str
    line: str
    grey: np.ndarray
    class_: str
    group: str
