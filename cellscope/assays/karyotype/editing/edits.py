"""Corrections in a ``karyotype.json``: class, flip, remove, join, split. Documents in and out.

The page of a report makes the same changes in a browser (``editor.js``); both leave a document whose ``chromosomes``
say how it is now, and a ``history`` of what was done.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.document import mask_runs, runs_mask
from cellscope.assays.karyotype.cell.fields import check_fields
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.errors import InputError

#: Pieces of a split with fewer pixels than this are dropped.
SMALLEST = 6


def apply_edits(document: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a document's pending ``edits``, in order, and move them to its ``history``.

    Each is an object with ``do``: ``class`` (``label``, ``class``), ``flip`` (``label``), ``remove`` (``label``),
    ``join`` (``labels``, optionally ``class``), ``split`` (``label``, ``line``: two points ``[x, y]`` in image pixels;
    optionally ``classes``, of the piece left of the line as one goes along it and of the other).

    Parameters
    ----------
    document : mapping
        The contents of a ``karyotype.json``; not changed.

    Returns
    -------
    dict
        Joined chromosomes keep the first label; a split's left piece keeps its label, the other takes the next free
        one.

    Raises
    ------
    InputError
        An edit that is not known or names a chromosome that is not there.
    """
    check_fields(document)
    try:
        result = copy.deepcopy(dict(document))
    except RecursionError:
        raise InputError("it is nested too deep") from None
    listed = [entry.get("label") for entry in result.get("chromosomes", [])]
    if len(set(listed)) < len(listed):
        raise InputError(f"two chromosomes have the label {next(one for one in listed if listed.count(one) > 1)}")
    entries = {entry.get("label"): entry for entry in result.get("chromosomes", [])}
    done = list(result.get("history", []))
    for number, edit in enumerate(result.pop("edits", []), 1):
        if not isinstance(edit, Mapping) or str(edit.get("do")) not in EDITS:
            raise InputError(f"edit {number}: do must be one of {', '.join(EDITS)}")
        try:
            EDITS[edit["do"]](entries, edit)
        except KeyError as error:
            raise InputError(f"edit {number} ({edit['do']}): there is no {error}") from None
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise InputError(f"edit {number} ({edit['do']}): {error}") from None
        done.append(dict(edit))
    result["chromosomes"], result["history"] = list(entries.values()), done
    return result


_Entries = dict[int, dict[str, Any]]


def _set_class(entries: _Entries, edit: Mapping[str, Any]) -> None:
    entry = entries[edit["label"]]
    entry["class"] = _class(edit["class"])
    _mark(entry, "class")


def _flip(entries: _Entries, edit: Mapping[str, Any]) -> None:
    entry = entries[edit["label"]]
    # Drawn with a half turn only where the short arm is known to be down: that is what the person saw and turned.
    entry["short_arm_up"] = entry.get("short_arm_up") is False
    _mark(entry, "flip")


def _remove(entries: _Entries, edit: Mapping[str, Any]) -> None:
    del entries[edit["label"]]


def _join(entries: _Entries, edit: Mapping[str, Any]) -> None:
    labels = list(edit["labels"])
    if len(set(labels)) < 2:
        raise ValueError("labels must name two or more chromosomes")
    parts = [entries[label] for label in labels]
    lefts, tops, rights, bottoms = zip(*(part["bbox"] for part in parts), strict=True)
    x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
    whole = np.zeros((y1 - y0, x1 - x0), bool)
    for part in parts:
        left, top, right, bottom = part["bbox"]
        whole[top - y0 : bottom - y0, left - x0 : right - x0] |= runs_mask(part["mask"], bottom - top, right - left)
    joined = _new_shape(parts[0], whole, (x0, y0))
    joined["class"] = _class(edit.get("class") or UNASSIGNED)
    joined["score"] = max(float(part.get("score", 1.0)) for part in parts)
    _mark(joined, "join")
    for label in labels[1:]:
        del entries[label]
    entries[labels[0]] = joined


def _split(entries: _Entries, edit: Mapping[str, Any]) -> None:
    entry = entries[edit["label"]]
    (ax, ay), (bx, by) = edit["line"]
    x0, y0, x1, y1 = entry["bbox"]
    mask = runs_mask(entry["mask"], y1 - y0, x1 - x0)
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
    left = (bx - ax) * (rows - ay) - (by - ay) * (columns - ax) < 0
    pieces = [_clean(mask & left), _clean(mask & ~left)]
    if min(piece.sum() for piece in pieces) < SMALLEST:
        raise ValueError("the line does not go through the chromosome")
    classes = list(edit.get("classes") or (None, None))
    new = max(entries) + 1
    for label, piece, class_ in zip((edit["label"], new), pieces, classes, strict=True):
        made = _new_shape(entry, piece, (x0, y0)) | {"label": label, "class": _class(class_ or UNASSIGNED)}
        _mark(made, "split")
        entries[label] = made


EDITS: dict[str, Callable[[_Entries, Mapping[str, Any]], None]] = {
    "class": _set_class,
    "flip": _flip,
    "remove": _remove,
    "join": _join,
    "split": _split,
}


def _class(name: Any) -> str:
    if str(name) not in (*CLASSES, UNASSIGNED):
        raise ValueError(f"class {name!r} is not one of 1 to 22, X, Y, {UNASSIGNED}")
    return str(name)


def _mark(entry: dict[str, Any], what: str) -> None:
    """Note that a person changed this chromosome; a new shape alone does not determine its class."""
    if what in ("class", "flip") or entry["class"] != UNASSIGNED:
        entry["edited"] = sorted({*entry.get("edited", []), what})


def _clean(mask: np.ndarray) -> np.ndarray:
    """Drop specks beside the largest part of a piece."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(labels, 1 + np.flatnonzero(areas >= max(SMALLEST, 0.1 * areas.max(initial=0))))


def _new_shape(entry: Mapping[str, Any], mask: np.ndarray, offset: tuple[int, int]) -> dict[str, Any]:
    """Give an entry another mask; what was known of its old shape is forgotten."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x0, y0 = offset[0] + int(columns[0]), offset[1] + int(rows[0])
    return {
        "label": entry["label"],
        "class": UNASSIGNED,
        "score": entry.get("score", 1.0),
        "bbox": [x0, y0, x0 + cut.shape[1], y0 + cut.shape[0]],
        "area": int(cut.sum()),
        "mask": mask_runs(cut),
        "angle_degrees": round(float(np.degrees(main_axis(cut)[1])), 2),
        "short_arm_up": None,
    }
