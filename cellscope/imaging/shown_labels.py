"""What a browser shows of a label image that a person corrects, and what the rows of a table become."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from cellscope.errors import InputError
from cellscope.imaging.label_edits import EditedLabels
from cellscope.imaging.polygons import Ring, outline, rings
from cellscope.imaging.propose import propose_mask


def shown_objects(edited: EditedLabels, rows: pd.DataFrame, new_class: str) -> list[dict[str, Any]]:
    """Give every object as the browser shows it.

    Parameters
    ----------
    edited : EditedLabels
    rows : DataFrame
        The original rows: ``label``, ``class``, ``review``, and ``reasons`` where the assay gives them.
    new_class : str
        Of an object that a person added without a class.
    """
    known = {int(row["label"]): row for row in rows.to_dict("records")}
    shown = []
    for index, place in enumerate(ndimage.find_objects(edited.labels)):
        if place is None:
            continue
        label, mask = index + 1, edited.labels[place] == index + 1
        traced = _rings(np.packbits(mask).tobytes(), mask.shape, (place[0].start, place[1].start))
        row = known.get(label) or known.get(edited.origin.get(label, 0)) or {}
        told = edited.told.get(label)
        reasons = row.get("reasons")
        shown.append(
            {
                "label": label,
                "class": (told or {}).get("class") or str(row.get("class") or new_class),
                "review": told is None and bool(row.get("review", False)),
                "reasons": [] if told is not None or not isinstance(reasons, str) else reasons.split("; "),
                "corrected": told is not None,
                "outline": traced,
            }
        )
    return shown


@lru_cache(maxsize=20_000)
def _rings(packed: bytes, shape: tuple[int, int], origin: tuple[int, int]) -> list[Ring]:
    """Trace an object; a change leaves nearly all others as they were."""
    mask = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape).astype(bool)
    return rings(outline(mask, origin))


def tell_rows(table: pd.DataFrame, edited: EditedLabels) -> None:
    """Change rows to what a person said: class, a score of 1, nothing to review; ``corrected`` says which.

    Parameters
    ----------
    table : DataFrame
        ``label``, ``class``, ``score``, ``review``; changed in place.
    edited : EditedLabels
    """
    told = table["label"].isin(list(edited.told))
    table.loc[told, "review"] = False
    table.loc[told, "score"] = 1.0
    if "reasons" in table:
        table.loc[told, "reasons"] = ""
    for label, said in edited.told.items():
        if "class" in said:
            table.loc[table["label"] == label, "class"] = said["class"]
    table["corrected"] = told.to_numpy(bool)


def complete_outline(
    edit: Mapping[str, Any], edited: EditedLabels, signal: np.ndarray, typical: float
) -> dict[str, Any]:
    """Give an ``add`` at a place the outline of what lies there; other edits stay.

    Parameters
    ----------
    edit : mapping
    edited : EditedLabels
    signal : (H, W) float
        Brighter where there is more of the object.
    typical : float
        Area of an object, pixels.

    Raises
    ------
    InputError
        Nothing stands out there.
    """
    if edit.get("do") != "add" or "points" in edit:
        return dict(edit)
    x, y = (float(value) for value in edit["point"])
    mask = propose_mask(signal, (x, y), edited.labels > 0, typical)
    if mask is None:
        raise InputError("nothing stands out there; draw its outline")
    rest = {name: value for name, value in edit.items() if name != "point"}
    return {**rest, "points": max(rings(outline(mask)), key=len)}


def typical_area(labels: np.ndarray, otherwise: float) -> float:
    """Give the median area of the objects, pixels."""
    areas = np.bincount(labels.ravel())[1:]
    return float(np.median(areas[areas > 0])) if (areas > 0).any() else otherwise
