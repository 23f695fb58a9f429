"""Values formatted for the report: numbers, truth values, lists and the tree of a run's provenance."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

MAX_ENTRIES = 40
"""Entries shown of one list in the provenance; the JSON file beside the page holds all."""


LABELS = {
    "centroid-0": "row",
    "centroid-1": "column",
    "bbox-0": "first row",
    "bbox-1": "first column",
    "bbox-2": "row after",
    "bbox-3": "column after",
    "axis_major_length": "length",
    "axis_minor_length": "width",
    "mn_frequency": "micronucleated share",
    "mn_frequency_low": "micronucleated share, 95 % from",
    "mn_frequency_high": "micronucleated share, 95 % to",
    "mn_per_nucleus": "micronuclei per cell",
    "abnormal_fraction_low": "abnormal fraction, 95 % from",
    "abnormal_fraction_high": "abnormal fraction, 95 % to",
    "angle_degrees": "turned by (°)",
    "odd_size": "size against its class (s.d.)",
    "confidence": "confidence in the class",
    "intensity_mean": "mean intensity",
    "equivalent_diameter_area": "diameter",
    "feret_diameter_max": "longest diameter",
    "nucleus_cell_ratio": "nucleus of cell (share)",
    "shifted_grid_dice": "overlap on the shifted grid (Dice)",
    "shifted_grid_count": "objects on the shifted grid (number)",
    "read": "read of the file",
    "iscn_draft": "draft karyotype",
    "probability": "probability of the draft, if normal",
}
_UNITS = (("_per_mm2", " per mm²"), ("_um2", " (µm²)"), ("_um", " (µm)"), ("_mm2", " (mm²)"))


def label_of(name: str) -> str:
    """Give the words for a column's name; the tables on disk keep the name.

    >>> label_of("axis_major_length_um"), label_of("n_spindle"), label_of("p_X"), label_of("density_per_mm2")
    ('length (µm)', 'spindle (number)', 'probability of X', 'density per mm²')
    """
    for ending, unit in _UNITS:
        if name.endswith(ending) and name != ending:
            return label_of(name.removesuffix(ending)) + unit
    if name in LABELS:
        return LABELS[name]
    if name.startswith("p_"):
        return f"probability of {name[2:].replace('_', ' ')}"
    if name.startswith("n_"):
        return f"{name[2:].replace('_', ' ')} (number)"
    return name.replace("_", " ")


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and pandas' NA from values that can be shown."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def format_value(value: Any) -> str:
    """Write a value for people: four significant digits, ``yes`` and ``no``, a dash for what is undefined.

    Parameters
    ----------
    value : anything
        Numbers, truth values, text, paths, and sequences or mappings of them.

    Returns
    -------
    str
    """
    if is_missing(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isinf(number):
            return "∞" if number > 0 else "−∞"
        # Whole numbers up to nine digits read better in full than as 1.235e+04.
        return f"{number:.0f}" if 1e4 <= abs(number) < 1e9 else f"{number:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {format_value(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return ", ".join(format_value(item) for item in value) or "–"
    return str(value)


def tree_node(name: str, value: Any) -> dict[str, Any]:
    """Lay out one entry of the provenance for the template.

    Parameters
    ----------
    name : str
    value : anything
        A mapping or a list of such becomes a branch. A list called ``argv`` becomes a command line to copy. Long lists
        are cut after `MAX_ENTRIES`.

    Returns
    -------
    dict
        ``name``, ``children`` (nodes, empty for a leaf) and, for a leaf, ``text`` and perhaps ``code`` (fixed width).
    """
    if isinstance(value, Mapping):
        return {"name": str(name), "children": [tree_node(key, item) for key, item in value.items()]}
    if isinstance(value, list | tuple):
        if name == "argv":
            return {"name": "command", "code": True, "text": shlex.join(map(str, value)), "children": []}
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            children = [tree_node(str(number), item) for number, item in enumerate(value[:MAX_ENTRIES], 1)]
            if len(value) > MAX_ENTRIES:
                children.append({"name": "…", "text": f"and {len(value) - MAX_ENTRIES} more", "children": []})
            return {"name": str(name), "children": children}
        if len(value) > MAX_ENTRIES:
            return {
                "name": str(name),
                "text": f"{format_value(value[:MAX_ENTRIES])} … and {len(value) - MAX_ENTRIES} more",
                "children": [],
            }
    # Seeds, hashes and byte counts are shown as they are, not rounded for reading.
    text = repr(value) if isinstance(value, float) and math.isfinite(value) else format_value(value)
    return {"name": str(name), "text": text, "code": name in ("sha256", "hash"), "children": []}
