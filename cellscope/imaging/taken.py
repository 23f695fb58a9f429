"""Outlines that a person changed in another program against those that are there: new, gone, redrawn, renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cellscope.imaging.polygons import Ring, mask_of

SAME = 0.5
"""Outlines without a known id are of one object where they share this part of the area that both cover together."""
TOLERANCE = 0.02
"""Of its pixels may differ before an outline counts as redrawn: programs round coordinates."""
SMALLEST = 9
"""Fewest pixels of an object that a person draws."""
REGION = 20.0
"""An area without a class, so many times as large as the median object, is a region and no object."""


@dataclass(frozen=True, eq=False)
class Known:
    """An object that is there.

    Attributes
    ----------
    label : int
    class_ : str
    outline : list of rings
        Closed or not; filled by the even-odd rule.
    id : str
        Of its GeoJSON feature.
    """

    label: int
    class_: str
    outline: Sequence[Ring]
    id: str


@dataclass(frozen=True, eq=False)
class Returned:
    """An object of the file that came back; `label` is what its measurements say, 0 for nothing."""

    class_: str
    outline: Sequence[Ring]
    id: str = ""
    label: int = 0


@dataclass
class Changes:
    """What a person changed.

    Attributes
    ----------
    removed : list of int
        Labels that are not in the file any more.
    classes : dict
        Label -> another class than it had.
    drawn : list of dict
        ``outline`` (rings), ``class``, and ``label`` where it is a new outline of an object that is there.
    kept : int
        Objects that are the same.
    small : int
        Outlines left out, of fewer than `SMALLEST` pixels.
    """

    removed: list[int] = field(default_factory=list)
    classes: dict[int, str] = field(default_factory=dict)
    drawn: list[dict[str, Any]] = field(default_factory=list)
    kept: int = 0
    small: int = 0

    @property
    def any(self) -> bool:
        """Whether there is a change."""
        return bool(self.removed or self.classes or self.drawn)

    def counts(self) -> dict[str, int]:
        """Count the changes by kind."""
        redrawn = sum("label" in one for one in self.drawn)
        return {
            "added": len(self.drawn) - redrawn, "removed": len(self.removed), "redrawn": redrawn,
            "class": len(self.classes), "unchanged": self.kept,
        }  # fmt: skip


def compare_outlines(known: Sequence[Known], returned: Sequence[Returned]) -> Changes:
    """Match the objects of a file with those that are there: by id, then by label where they overlap, then by overlap.

    Parameters
    ----------
    known : sequence of Known
    returned : sequence of Returned
        Without a class an object keeps the one it had.
    """
    changes = Changes()
    pairs = _matched(known, returned)
    for place, one in enumerate(returned):
        mask, _ = mask_of(one.outline)
        before = known[pairs[place]] if place in pairs else None
        if mask.sum() < SMALLEST and (before is None or not _same(before.outline, one.outline)):
            changes.small += 1
            continue
        if before is None:
            changes.drawn.append({"outline": _plain(one.outline), "class": one.class_})
            continue
        moved = not _same(before.outline, one.outline)
        renamed = bool(one.class_) and one.class_ != before.class_
        if moved:
            changes.drawn.append({"label": before.label, "outline": _plain(one.outline), "class": ""})
        if renamed:
            changes.classes[before.label] = one.class_
        changes.kept += not moved and not renamed
    there = set(pairs.values())
    changes.removed = [one.label for place, one in enumerate(known) if place not in there]
    return changes


def _matched(known: Sequence[Known], returned: Sequence[Returned]) -> dict[int, int]:
    """Give the place in `returned` -> the place in `known`."""
    ids = {one.id: place for place, one in enumerate(known)}
    labels = {one.label: place for place, one in enumerate(known)}
    pairs: dict[int, int] = {}
    taken: set[int] = set()

    def take(place: int, other: int) -> None:
        pairs[place] = other
        taken.add(other)

    for place, one in enumerate(returned):
        if one.id in ids and ids[one.id] not in taken:
            take(place, ids[one.id])
    for place, one in enumerate(returned):  # a copy keeps the measurements of what it was copied from
        other = labels.get(one.label)
        if place in pairs or other is None or other in taken:
            continue
        if _overlap(known[other].outline, one.outline) > 0:
            take(place, other)
    for _, place, other in _by_overlap(known, returned, taken, pairs):
        if place not in pairs and other not in taken:
            take(place, other)
    return pairs


def _by_overlap(
    known: Sequence[Known], returned: Sequence[Returned], taken: set[int], pairs: Mapping[int, int]
) -> list[tuple[float, int, int]]:
    """List what is unmatched and overlaps by `SAME`, best first."""
    left = [place for place in range(len(known)) if place not in taken]
    new = [place for place in range(len(returned)) if place not in pairs]
    if not left or not new:
        return []
    boxes, own = (np.array([_box(one.outline) for one in them]) for them in (
        [known[place] for place in left], [returned[place] for place in new],
    ))  # fmt: skip
    tree = cKDTree((boxes[:, :2] + boxes[:, 2:]) / 2)
    reach = float(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T).max()) / 2
    found = []
    for place, box in zip(new, own, strict=True):
        radius = reach + float(np.hypot(*(box[2:] - box[:2]))) / 2
        for near in tree.query_ball_point((box[:2] + box[2:]) / 2, radius):
            other = boxes[near]
            if (box[:2] < other[2:]).all() and (other[:2] < box[2:]).all():
                share = _overlap(known[left[near]].outline, returned[place].outline)
                if share >= SAME:
                    found.append((share, place, left[near]))
    return sorted(found, key=lambda one: (-one[0], one[1], one[2]))


def _box(outline: Sequence[Ring]) -> np.ndarray:
    points = np.concatenate([np.asarray(ring, float) for ring in outline])
    return np.concatenate([points.min(0), points.max(0)])


def _both(first: Sequence[Ring], second: Sequence[Ring]) -> tuple[np.ndarray, np.ndarray]:
    """Draw two outlines on one canvas."""
    masks = [mask_of(first), mask_of(second)]
    low = np.min([place for _, place in masks], 0)
    high = np.max([np.add(place, mask.shape) for mask, place in masks], 0)
    canvases = []
    for mask, place in masks:
        canvas = np.zeros(high - low, bool)
        row, column = np.subtract(place, low)
        canvas[row : row + mask.shape[0], column : column + mask.shape[1]] = mask
        canvases.append(canvas)
    return canvases[0], canvases[1]


def _overlap(first: Sequence[Ring], second: Sequence[Ring]) -> float:
    boxes = _box(first), _box(second)
    if (boxes[0][:2] >= boxes[1][2:]).any() or (boxes[1][:2] >= boxes[0][2:]).any():
        return 0.0
    mine, other = _both(first, second)
    return float((mine & other).sum() / max(int((mine | other).sum()), 1))


def _same(first: Sequence[Ring], second: Sequence[Ring]) -> bool:
    if _points(first) == _points(second):
        return True
    if (np.abs(_box(first) - _box(second)) > 100).any():
        return False
    mine, other = _both(first, second)
    return bool((mine ^ other).sum() <= TOLERANCE * mine.sum())


def _points(outline: Sequence[Ring]) -> set[tuple[float, float]]:
    return {(round(float(x), 2), round(float(y), 2)) for ring in outline for x, y in ring}


def _plain(outline: Sequence[Ring]) -> list[Ring]:
    return [[[round(float(x), 2), round(float(y), 2)] for x, y in ring] for ring in outline]


def is_region(outline: Sequence[Ring], typical: float) -> bool:
    """Tell an area that was looked at from an object, by its size; `typical` is the area of an object, pixels."""
    low, high = np.split(_box(outline), 2)
    return bool(np.prod(high - low) > REGION * typical)
