"""Windows around divisions of a movie: which frames, which pixels, and following the cell as it drifts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellscope.errors import InputError

MARGIN = 0.5
"""Pixels kept around a window for following the cell, as a share of its side."""


@dataclass
class Window:
    """The pixels around one event, gathered while a movie goes by.

    Attributes
    ----------
    frames : (T,) int64
        Frames of the movie; where the movie begins or ends inside the window, its first or last is repeated.
    centre : (y, x)
        Of the event, in the movie.
    side : int
        Of the window, pixels.
    at_event : int
        Place of the event's frame in `frames`.
    patches : (T, P, P, C) array
        Square patches around `centre`, larger than the window by `MARGIN` on each side; edge pixels are repeated
        outside the movie.
    """

    frames: np.ndarray
    centre: tuple[float, float]
    side: int
    at_event: int
    patches: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def cut_short(self) -> bool:
        """Whether the movie begins or ends inside the window."""
        return len(np.unique(self.frames)) < len(self.frames)


def window_frames(event: int, before: int, count: int, total: int) -> np.ndarray:
    """Return the frames of a window of `count` frames that begins `before` frames before the event.

    Raises
    ------
    InputError
        The event would not be among them.

    Examples
    --------
    >>> window_frames(1, 3, 6, 100).tolist()
    [0, 0, 0, 1, 2, 3]
    """
    if before >= count:
        raise InputError(
            f"--frames-before {before}: of each division {count} frames are shown, and it would not be among them; "
            f"give {count - 1} at most"
        )
    return np.clip(np.arange(event - before, event - before + count), 0, total - 1)


def gather(windows: Sequence[Window], movie: Iterable[tuple[int, np.ndarray]]) -> None:
    """Fill the patches of windows from frames that go by once.

    Parameters
    ----------
    windows : sequence of Window
    movie : iterable of (index, (H, W, C) frame)
        At least the frames that the windows name.
    """
    wanted: dict[int, list[tuple[Window, int]]] = {}
    for window in windows:
        for place, frame in enumerate(window.frames.tolist()):
            wanted.setdefault(frame, []).append((window, place))
    for index, frame in movie:
        for window, place in wanted.get(index, []):
            patch = cut_patch(frame, window.centre, patch_side(window.side))
            if not window.patches.size:
                window.patches = np.zeros((len(window.frames), *patch.shape), patch.dtype)
            window.patches[place] = patch


def patch_side(side: int) -> int:
    """Return the side of the patch kept for a window."""
    return side + 2 * round(MARGIN * side)


def cut_patch(frame: np.ndarray, centre: tuple[float, float], side: int) -> np.ndarray:
    """Cut a square out of a frame, repeating its edge outside.

    Parameters
    ----------
    frame : (H, W, C) array
    centre : (y, x)
    side : int

    Returns
    -------
    (side, side, C) array
    """
    rows, columns = (round(at) - side // 2 + np.arange(side) for at in centre)
    return frame[np.clip(rows, 0, frame.shape[0] - 1)][:, np.clip(columns, 0, frame.shape[1] - 1)]


def follow(nuclei: np.ndarray, start: int, side: int) -> np.ndarray:
    """Follow the dividing cell through the patches of its window by mean shift on the nuclear fluorescence.

    The weight of a pixel is its fluorescence above background, which is highest for condensed chromosomes, times a
    Gaussian around the last position; its width, a sixth of the window, takes in both daughters but not the neighbours.

    Parameters
    ----------
    nuclei : (T, P, P) float32
    start : int
        Frame in which the cell is in the middle of its patch.
    side : int
        Of the window. Steps are at most an eighth of it per frame, and the window stays inside the patch.

    Returns
    -------
    (T, 2) float64
        Row and column of the window's middle in each patch.
    """
    frames, extent = nuclei.shape[:2]
    rows, columns = np.mgrid[:extent, :extent].astype(np.float32)
    width = side / 6
    reach = (extent - side) / 2
    middle = np.full(2, (extent - 1) / 2)
    centres = np.tile(middle, (frames, 1))

    def shift(frame: np.ndarray, at: np.ndarray) -> np.ndarray:
        light = np.clip(frame - np.median(frame), 0, None)
        here = at.copy()
        for _ in range(5):
            weight = light * np.exp(-((rows - here[0]) ** 2 + (columns - here[1]) ** 2) / (2 * width**2))
            total = float(weight.sum())
            if total <= 0:
                return at
            here = np.array([(weight * rows).sum(), (weight * columns).sum()]) / total
        step = here - at
        length = float(np.hypot(*step))
        most = side / 8
        here = at + step * min(1.0, most / length) if length else here
        return np.clip(here, middle - reach, middle + reach)

    def walk(places: Iterator[int]) -> None:
        at = middle
        for place in places:
            at = centres[place] = shift(nuclei[place], at)

    walk(iter(range(start, frames)))
    walk(iter(range(start - 1, -1, -1)))
    return centres


def crop(patches: np.ndarray, centres: np.ndarray, side: int) -> np.ndarray:
    """Cut a window of `side` pixels out of each patch around its centre: (T, P, P, C) -> (T, side, side, C)."""
    return np.stack(
        [cut_patch(patch, (float(y), float(x)), side) for patch, (y, x) in zip(patches, centres, strict=True)]
    )
