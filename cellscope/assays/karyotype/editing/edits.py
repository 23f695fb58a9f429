"""Corrections in a ``karyotype.json``: class, confirm, turn, remove, restore, join, split, add. Documents in and out.

The page of a report makes the same changes in a browser (``editor.js``); both leave a document whose ``chromosomes``
say how it is now, and a ``history`` of what was done.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.document import SEEN, mask_runs, runs_mask
from cellscope.assays.karyotype.cell.fields import check_fields
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.errors import InputError
from cellscope.imaging.pieces import filled, split_mask

#: Pieces of a split with fewer pixels than this are dropped.
SMALLEST = 6


def apply_edits(document: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a document's pending ``edits``, in order, and move them to its ``history``.

    Each is an object with ``do``: ``class`` (``label``, ``class``), ``confirm`` (``label``, or
    ``labels`` and, where the classifier named them, ``classes``), ``flip``
    (``label``), ``turn`` (``label``, ``degrees``, clockwise), ``remove`` (``label``), ``restore`` (``index`` in
    ``left_out``), ``join`` (``labels``, optionally ``class``), ``split`` (``label``, ``line``: two or more points
    ``[x, y]`` in image pixels; optionally ``classes``, of the piece left of the line as one goes along it and of the
    other), ``add`` (``points`` of an outline; optionally ``class``), ``outline`` (``label``, ``points``: another
    outline). Outlines may share pixels with other chromosomes, as those that cross do.

    Parameters
    ----------
    document : mapping
        The contents of a ``karyotype.json``; not changed.

    Returns
    -------
    dict
        Joined chromosomes keep the first label; a split's left piece keeps its label, the other takes the next free
        one, as do chromosomes added and restored.

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
    cell = _Cell(entries, list(result.get("left_out", [])), (result.get("height", 0), result.get("width", 0)))
    done = list(result.get("history", []))
    for number, edit in enumerate(result.pop("edits", []), 1):
        if not isinstance(edit, Mapping) or str(edit.get("do")) not in EDITS:
            raise InputError(f"edit {number}: do must be one of {', '.join(EDITS)}")
        try:
            EDITS[edit["do"]](cell, edit)
        except KeyError as error:
            raise InputError(f"edit {number} ({edit['do']}): there is no {error}") from None
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise InputError(f"edit {number} ({edit['do']}): {error}") from None
        done.append(dict(edit))
    result["chromosomes"], result["history"] = list(entries.values()), done
    if "left_out" in result:
        result["left_out"] = cell.left_out
    return result


@dataclass
class _Cell:
    """What edits change: chromosomes by label, what was left out, and the image's height and width."""

    entries: dict[int, dict[str, Any]]
    left_out: list[dict[str, Any]]
    shape: tuple[int, int]

    def free_label(self) -> int:
        return max(self.entries, default=0) + 1


def _set_class(cell: _Cell, edit: Mapping[str, Any]) -> None:
    entry = cell.entries[edit["label"]]
    entry["class"] = _class(edit["class"])
    _mark(entry, "class")


def _confirm(cell: _Cell, edit: Mapping[str, Any]) -> None:
    labels = edit.get("labels") or [edit["label"]]
    named = edit.get("classes") or [cell.entries[label]["class"] for label in labels]
    for label, class_ in zip(labels, named, strict=True):
        if class_ == UNASSIGNED:
            raise ValueError(f"chromosome {label} has no class to confirm; give it one, or remove it")
        cell.entries[label]["class"] = _class(class_)
        _mark(cell.entries[label], "confirm")


def _flip(cell: _Cell, edit: Mapping[str, Any]) -> None:
    entry = cell.entries[edit["label"]]
    # Drawn with a half turn only where the short arm is known to be down: that is what the person saw and turned.
    # Of a new shape only the page knows how it was drawn, and says how it shall be.
    said = edit.get("short_arm_up")
    entry["short_arm_up"] = said if isinstance(said, bool) else entry.get("short_arm_up") is False
    _mark(entry, "flip")


def _turn(cell: _Cell, edit: Mapping[str, Any]) -> None:
    entry = cell.entries[edit["label"]]
    turned = float(entry.get("turned_degrees", 0.0)) + float(edit["degrees"])
    entry["turned_degrees"] = round((turned + 180) % 360 - 180, 2)
    _mark(entry, "turn")


def _remove(cell: _Cell, edit: Mapping[str, Any]) -> None:
    del cell.entries[edit["label"]]


def _restore(cell: _Cell, edit: Mapping[str, Any]) -> None:
    index = int(edit["index"])
    if not 0 <= index < len(cell.left_out):
        raise KeyError(index)
    found = cell.left_out.pop(index)
    x0, y0, x1, y1 = found["bbox"]
    label = cell.free_label()
    entry = {"label": label, "score": found.get("score", 1.0)}
    cell.entries[label] = _new_shape(entry, runs_mask(found["mask"], y1 - y0, x1 - x0), (x0, y0))


def _join(cell: _Cell, edit: Mapping[str, Any]) -> None:
    labels = list(edit["labels"])
    if len(set(labels)) < 2:
        raise ValueError("labels must name two or more chromosomes")
    parts = [cell.entries[label] for label in labels]
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
        del cell.entries[label]
    cell.entries[labels[0]] = joined


def _split(cell: _Cell, edit: Mapping[str, Any]) -> None:
    entry = cell.entries[edit["label"]]
    x0, y0, x1, y1 = entry["bbox"]
    line = np.asarray(edit["line"], float).reshape(-1, 2) - (x0, y0)
    pieces = split_mask(runs_mask(entry["mask"], y1 - y0, x1 - x0), line, smallest=SMALLEST)
    classes = list(edit.get("classes") or (None, None))
    new = cell.free_label()
    for label, piece, class_ in zip((edit["label"], new), pieces, classes, strict=True):
        made = _new_shape(entry, piece, (x0, y0)) | {"label": label, "class": _class(class_ or UNASSIGNED)}
        _mark(made, "split")
        cell.entries[label] = made


def _add(cell: _Cell, edit: Mapping[str, Any]) -> None:
    label = cell.free_label()
    cell.entries[label] = _drawn(cell, edit, {"label": label, "score": 1.0}, "add")


def _outline(cell: _Cell, edit: Mapping[str, Any]) -> None:
    entry = cell.entries[edit["label"]]
    named = entry["class"] if set(entry.get("edited", ())) - SEEN else None
    made = _drawn(cell, {"class": named, **edit}, entry, "outline")
    cell.entries[edit["label"]] = made


def _drawn(cell: _Cell, edit: Mapping[str, Any], entry: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Make an entry of the outline that a person drew."""
    mask, offset = filled(np.asarray(edit["points"], float), cell.shape)
    if mask.sum() < SMALLEST:
        raise ValueError(f"the outline holds fewer than {SMALLEST} pixels of the image")
    made = _new_shape(entry, mask, offset) | {"class": _class(edit.get("class") or UNASSIGNED)}
    _mark(made, what)
    return made


EDITS: dict[str, Callable[[_Cell, Mapping[str, Any]], None]] = {
    "class": _set_class,
    "confirm": _confirm,
    "flip": _flip,
    "turn": _turn,
    "remove": _remove,
    "restore": _restore,
    "join": _join,
    "split": _split,
    "add": _add,
    "outline": _outline,
}


def _class(name: Any) -> str:
    if str(name) not in (*CLASSES, UNASSIGNED):
        raise ValueError(f"class {name!r} is not one of 1 to 22, X, Y, {UNASSIGNED}")
    return str(name)


def _mark(entry: dict[str, Any], what: str) -> None:
    """Note that a person changed this chromosome; a new shape alone does not determine its class."""
    if what in ("class", "flip", "turn") or entry["class"] != UNASSIGNED:
        entry["edited"] = sorted({*entry.get("edited", []), what})


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
