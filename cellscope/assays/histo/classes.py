"""The types of nuclei, and the scale the networks work at."""

from __future__ import annotations

PART = "nuclei"
"""The one part of a histo model."""

CLASSES = ("other", "inflammatory", "epithelial", "spindle")
"""Types of the built-in model, in the order of CoNSeP's merged codes 1 to 4 (Graham et al. 2019)."""

UNTYPED = ("nucleus",)
"""Classes of a dataset in which no nucleus has a type."""

REST = CLASSES[0]
"""The type of whatever is none of the others; the mean F1 leaves it out, as the tables of HoVer-Net's users do."""

PIXEL_SIZE_UM = 0.25
"""What a pixel measures at 40x, the scale of the public sets and of the built-in model, micrometres."""


def named_types(classes: tuple[str, ...]) -> list[int]:
    """Give the positions of the types that the mean F1 is over: all but `REST`, unless there is no other."""
    return [at for at, name in enumerate(classes) if name != REST] or list(range(len(classes)))
