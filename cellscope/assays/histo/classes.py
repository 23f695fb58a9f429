"""The types of nuclei, and the scale the networks work at."""

from __future__ import annotations

CLASSES = ("other", "inflammatory", "epithelial", "spindle")
"""Types of the built-in model, in the order of CoNSeP's merged codes 1 to 4 (Graham et al. 2019)."""

PIXEL_SIZE_UM = 0.25
"""What a pixel measures at 40x, the scale of the public sets and of the built-in model, micrometres."""
