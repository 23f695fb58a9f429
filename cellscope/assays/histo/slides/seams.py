"""Joining windows: which window keeps a nucleus found by two, and one label image of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellscope.engine.assay import Result

#: Two nuclei of which one covers this share of the other are one nucleus, found in two windows.
SAME = 0.5


def label_type(count: int) -> np.dtype:
    """Give the smallest type that holds labels up to `count`."""
    return np.dtype(np.uint16 if count < 2**16 else np.uint32)


class Canvas:
    """A label image from top to bottom of which only the rows still needed are in memory.

    Parameters
    ----------
    shape : (height, width) of the whole
    dtype : numpy dtype, optional
        int32 by default.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype | None = None):
        self.shape = shape
        self.first = 0
        self.rows = np.zeros((0, shape[1]), dtype or np.int32)

    def advance(self, row: int) -> np.ndarray:
        """Give the rows above `row`, which no window will touch any more, and let go of them."""
        row = min(row, self.shape[0])
        count = row - self.first
        if count > len(self.rows):
            self._reach(row)
        done, self.rows = self.rows[:count].copy(), self.rows[count:]
        self.first = row
        return done

    def place(self, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
        """Give a place of the image to write to."""
        self._reach(top + shape[0])
        return self.rows[top - self.first : top - self.first + shape[0], left : left + shape[1]]

    def _reach(self, bottom: int) -> None:
        lacking = min(bottom, self.shape[0]) - self.first - len(self.rows)
        if lacking > 0:
            self.rows = np.concatenate([self.rows, np.zeros((lacking, self.shape[1]), self.rows.dtype)])


@dataclass
class Resolved:
    """What became of the nuclei of every window.

    Attributes
    ----------
    numbers : list of (n + 1,) int32
        Per window: its labels to those of the whole image; 0 for a nucleus that another window has.
    cut : list of dict
        Per window: label -> the pixels it keeps, (rows, columns) in the window's patch, of a nucleus that gave some to
        a neighbour.
    count : int
        Nuclei of the whole image.
    """

    numbers: list[np.ndarray] = field(default_factory=list)
    cut: list[dict[int, tuple[np.ndarray, np.ndarray]]] = field(default_factory=list)
    count: int = 0

    def patch(self, number: int, labels: np.ndarray) -> np.ndarray:
        """Give a window's own labels with what is no longer theirs taken out; the numbers are still the window's."""
        kept = self.numbers[number] > 0
        found = np.where(kept[labels], labels, 0).astype(np.int32)
        for label, places in self.cut[number].items():
            found[found == label] = 0
            found[places] = label
        return found


def resolve(results: Sequence[Result], tops: Sequence[int], shape: tuple[int, int]) -> Resolved:
    """Resolve the seams: windows in their order, and what comes first stays.

    A nucleus of which a kept one covers `SAME` (of the smaller of the two) is that nucleus again and goes; any other
    gives up the pixels the two share. The rule knows nothing of batches or workers.

    Parameters
    ----------
    results : sequence of Result
        With the artefacts ``labels``, a patch of the whole image, and ``place``, its first row and column.
    tops : sequence of int
        First row that each window may touch, rising.
    shape : (height, width) of the whole
    """
    canvas = Canvas(shape)
    resolved = Resolved()
    areas = np.zeros(1024, np.int64)
    for top, result in zip(tops, results, strict=True):
        labels, (row, column) = result.artefacts["labels"], result.artefacts["place"].tolist()
        canvas.advance(top)
        view = canvas.place(row, column, labels.shape)
        own = np.bincount(labels.ravel(), minlength=len(result.objects) + 1)
        taken = (labels > 0) & (view > 0)
        gone, shared = set(), set()
        if taken.any():
            both, counts = np.unique(
                np.stack([labels[taken], view[taken]]).astype(np.int64), axis=1, return_counts=True
            )
            for (label, other), count in zip(both.T.tolist(), counts.tolist(), strict=True):
                shared.add(label)
                if count >= SAME * min(own[label], areas[other]):
                    gone.add(label)
        cut: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for label in sorted(shared - gone):
            rows, columns = np.nonzero((labels == label) & (view == 0))
            cut[label] = (rows, columns)
        gone |= {label for label, (rows, _) in cut.items() if len(rows) < (1 - SAME) * own[label]}  # taken by several
        cut = {label: places for label, places in cut.items() if label not in gone}
        keep = own > 0
        keep[0] = False
        keep[list(gone)] = False
        numbers = np.zeros(len(own), np.int32)
        numbers[keep] = resolved.count + 1 + np.arange(int(keep.sum()))
        resolved.numbers.append(numbers)
        resolved.cut.append(cut)
        resolved.count += int(keep.sum())
        if resolved.count >= len(areas):
            areas = np.concatenate([areas, np.zeros(max(len(areas), resolved.count), np.int64)])
        areas[numbers[keep]] = own[keep]
        for label, (rows, _) in cut.items():
            areas[numbers[label]] = len(rows)
        free = keep[labels] & (view == 0)
        view[free] = numbers[labels[free]]
    return resolved


def bands(
    results: Sequence[Result], tops: Sequence[int], shape: tuple[int, int], resolved: Resolved
) -> Callable[[], Iterator[np.ndarray]]:
    """Give the label image of the whole, band by band, for `cellscope.io.stream.Bands`."""

    def draw() -> Iterator[np.ndarray]:
        canvas = Canvas(shape, label_type(resolved.count))
        for number, (top, result) in enumerate(zip(tops, results, strict=True)):
            if top > canvas.first:
                yield canvas.advance(top)
            patch = resolved.patch(number, result.artefacts["labels"])
            row, column = result.artefacts["place"].tolist()
            view = canvas.place(row, column, patch.shape)
            found = patch > 0
            view[found] = resolved.numbers[number][patch[found]]
        while canvas.first < shape[0]:  # what is below the last window holds nothing, and is not made all at once
            yield canvas.advance(canvas.first + max(len(canvas.rows), 1024))

    return draw
