"""A person's changes to a label image: remove, join, split, redraw, add, and what was said of the objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from cellscope.errors import InputError
from cellscope.imaging.pieces import filled, split_mask
from cellscope.imaging.polygons import mask_of
from cellscope.imaging.taken import SMALLEST


@dataclass
class EditedLabels:
    """A label image with a person's changes.

    Attributes
    ----------
    labels : (H, W) int32
        Objects that were not touched keep their number; new ones take the next that was never used.
    told : dict
        Label -> what a person said of the object: ``class`` and whatever else an edit gives; an object that was
        confirmed, drawn, joined or split is there, if with nothing.
    used : int
        The largest label ever used.
    origin : dict
        New label -> the label whose place it took, where there was one.
    """

    labels: np.ndarray
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    used: int = 0
    origin: dict[int, int] = field(default_factory=dict)

    def mask(self, label: int) -> np.ndarray:
        """Return (H, W) bool, where an object is; KeyError if it is nowhere."""
        found = self.labels == label
        if not isinstance(label, int) or label < 1 or not found.any():
            raise KeyError(label)
        return found

    def fresh(self) -> int:
        """Return a label that was never used."""
        self.used += 1
        return self.used


def edit_labels(
    labels: np.ndarray,
    edits: Sequence[Mapping[str, Any]],
    more: Mapping[str, Callable[[EditedLabels, Mapping[str, Any]], None]] | None = None,
) -> EditedLabels:
    """Carry out edits in order.

    Parameters
    ----------
    labels : (H, W) int
        Not changed.
    edits : sequence of mapping
        ``do``: ``class`` (``label``, ``class``), ``confirm`` (``label`` or ``labels``), ``remove`` (``label``),
        ``join`` (``labels``; the first label stays), ``split`` (``label``, ``line`` of points x, y), ``outline``
        (``label``, ``points``), ``add`` (``points``, optionally ``class``), ``take`` (what another program changed, see
        `cellscope.imaging.taken.Changes`). No edit takes pixels from another object.
    more : mapping, optional
        Further edits of an assay.

    Raises
    ------
    InputError
        An edit that is not known or cannot be made.
    """
    known = {**EDITS, **(more or {})}
    names = (*known, TAKE)
    state = EditedLabels(labels.astype(np.int32), used=int(labels.max(initial=0)))
    for number, edit in enumerate(edits, 1):
        what = edit.get("do")
        if what not in names:
            raise InputError(f"edit {number}: do must be one of {', '.join(names)}")
        try:
            if what == TAKE:
                take(state, edit, known["class"])
            else:
                known[what](state, edit)
        except KeyError as error:
            raise InputError(f"edit {number} ({what}): there is no {error}") from None
        except (TypeError, ValueError) as error:
            raise InputError(f"edit {number} ({what}): {error}") from None
    return state


def _set_class(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    state.mask(edit["label"])
    state.told.setdefault(edit["label"], {})["class"] = str(edit["class"])


def _confirm(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    for label in edit.get("labels") or [edit["label"]]:
        state.mask(label)
        state.told.setdefault(label, {})


def _remove(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    state.labels[state.mask(edit["label"])] = 0
    state.told.pop(edit["label"], None)


def _join(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    labels = list(edit["labels"])
    if len(set(labels)) < 2:
        raise ValueError("labels must name two or more objects")
    whole = np.zeros(state.labels.shape, bool)
    for label in labels:
        whole |= state.mask(label)
    # what lies between belongs to it, or it would not be one object
    place = _box(whole)
    inside, window = whole[place], state.labels[place]
    parts, count = ndimage.label(inside, np.ones((3, 3)))
    if count > 1:
        reach = _gap(parts, count)
        closed = ndimage.binary_closing(np.pad(inside, reach), _disc(reach))[reach:-reach, reach:-reach]
        inside |= closed & (window == 0)
    window[inside] = labels[0]
    for label in labels[1:]:
        state.told.pop(label, None)
        state.origin[label] = labels[0]
    state.told.setdefault(labels[0], {})


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Give the rows and columns that hold a mask."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return np.s_[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def _gap(parts: np.ndarray, count: int) -> int:
    """Give half the widest gap between one part and the nearest other, at most 12 pixels."""
    widest = 1.0
    for part in range(1, count + 1):
        away = ndimage.distance_transform_edt(parts != part)
        widest = max(widest, float(away[(parts > 0) & (parts != part)].min()))
    return int(min(np.ceil(widest / 2) + 1, 12))


def _disc(radius: int) -> np.ndarray:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc: np.ndarray = rows**2 + columns**2 <= radius**2
    return disc


def _split(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    label = edit["label"]
    mask = state.mask(label)
    place = _box(mask)
    line = np.asarray(edit["line"], float).reshape(-1, 2) - (place[1].start, place[0].start)
    first, second = split_mask(mask[place], line, smallest=SMALLEST)
    state.labels[mask] = 0
    new = state.fresh()
    state.labels[place][first] = label
    state.labels[place][second] = new
    state.told.setdefault(label, {})
    state.told[new] = dict(state.told[label])
    state.origin[new] = label


def _outline(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    label = edit["label"]
    mask = state.mask(label)
    before = state.labels.copy()
    state.labels[mask] = 0
    try:
        _draw(state, edit, label)
    except ValueError:
        state.labels = before
        raise
    state.told.setdefault(label, {})


def _add(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    label = state.used + 1
    _draw(state, edit, label)
    state.used = label
    state.told[label] = {"class": str(edit["class"])} if edit.get("class") else {}


def _draw(state: EditedLabels, edit: Mapping[str, Any], label: int) -> None:
    mask, (left, top) = filled(np.asarray(edit["points"], float), (state.labels.shape[0], state.labels.shape[1]))
    window = state.labels[top : top + mask.shape[0], left : left + mask.shape[1]]
    free = mask & (window == 0)
    if free.sum() < SMALLEST:
        raise ValueError(f"the outline holds fewer than {SMALLEST} pixels that are no other object's")
    window[free] = label


def take(
    state: EditedLabels, edit: Mapping[str, Any], classify: Callable[[EditedLabels, Mapping[str, Any]], None]
) -> None:
    """Bring in what was changed in another program, as one edit.

    Parameters
    ----------
    state : EditedLabels
    edit : mapping
        ``removed``, ``classes`` and ``drawn`` of `cellscope.imaging.taken.Changes`. A drawn object that others hide is
        not there.
    classify : callable
        The edit ``class`` of the assay.

    Raises
    ------
    KeyError
        A label that is not there.
    """
    classes = {int(label): name for label, name in edit["classes"].items()}
    redrawn = [int(one["label"]) for one in edit["drawn"] if "label" in one]
    gone = [int(label) for label in edit["removed"]] + redrawn
    there = set(np.unique(state.labels).tolist()) - {0}
    if missing := sorted({*gone, *classes} - there):
        raise KeyError(missing[0])
    state.labels[np.isin(state.labels, gone)] = 0
    for label in edit["removed"]:
        state.told.pop(int(label), None)
    hidden = set()
    for one in edit["drawn"]:
        label = int(one["label"]) if "label" in one else state.fresh()
        mask, (top, left) = mask_of(one["outline"])
        if not _place(state.labels, mask, top, left, label):
            hidden.add(label)
            state.told.pop(label, None)
            continue
        state.told.setdefault(label, {})
        if one.get("class"):
            classify(state, {"label": label, "class": one["class"]})
    for label, name in classes.items():
        if label not in hidden:
            classify(state, {"label": label, "class": name})


def _place(labels: np.ndarray, mask: np.ndarray, top: int, left: int, label: int) -> bool:
    """Give an object the pixels of a mask that are free; False if they are too few."""
    first = max(top, 0), max(left, 0)
    window = labels[first[0] : max(top + mask.shape[0], 0), first[1] : max(left + mask.shape[1], 0)]
    inside = mask[first[0] - top :, first[1] - left :][: window.shape[0], : window.shape[1]]
    free = inside & (window == 0)
    if free.sum() < SMALLEST:
        return False
    window[free] = label
    return True


TAKE = "take"
EDITS: dict[str, Callable[[EditedLabels, Mapping[str, Any]], None]] = {
    "class": _set_class,
    "confirm": _confirm,
    "remove": _remove,
    "join": _join,
    "split": _split,
    "outline": _outline,
    "add": _add,
}
