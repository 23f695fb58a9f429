"""Sequences and movies: frames of one size over time, read when they are asked for, never all at once.

Any file with a time axis; without one, its slices or its pages are the frames. A movie of 721 frames of a megapixel
does not fit where its divisions do, so a `Movie` holds no pixels; it knows its file and hands out frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.io.choice import FOCUS, Choice, Selection, Wants
from cellscope.io.convert import Refused
from cellscope.io.open import MAX_PIXELS, one_line_errors, open_source
from cellscope.io.planes import check_scene, frame_count, sharpest, take, told
from cellscope.io.read import STACK_SUFFIXES
from cellscope.io.scene import COLOUR, TIME, Scene
from cellscope.io.select import select
from cellscope.io.text import one_line, reason

MOVIE_SUFFIXES: frozenset[str] = STACK_SUFFIXES | {".avi", ".mp4"}
"""Suffixes of the files `open_movie` understands, lower case."""


@dataclass(frozen=True, eq=False)
class Movie:
    """A file of frames. Holds no pixels and no open file, so it can be kept, copied and pickled.

    Attributes
    ----------
    path : Path
    frames, height, width, channels : int
        ``channels`` is 3 for colour files, whatever the colours mean.
    pixel_size_um : float or None
        Side of a pixel in micrometres.
    interval_s : float or None
        Seconds between frames.
    name : str
        To show, usually the file's.
    warnings : tuple of str
    notes : dict
        What the caller wants to travel with the movie, such as the events to look at.
    taken : str
        What was taken of the file.
    selection : Selection
    pixel_size_given : bool
        By the user, not by the file.
    """

    path: Path
    frames: int
    height: int
    width: int
    channels: int
    pixel_size_um: float | None = None
    interval_s: float | None = None
    name: str = "movie"
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    taken: str = ""
    selection: Selection = field(default_factory=lambda: Selection(0))
    pixel_size_given: bool = False

    def read(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return frames as one array.

        Parameters
        ----------
        indices : sequence of int, optional
            Which frames, rising; all by default.

        Returns
        -------
        (T, H, W, C) uint8, uint16 or float32

        Raises
        ------
        InputError
            A frame is missing or damaged: which one, in one line.
        """
        return np.stack([frame for _, frame in self.iterate(indices)])

    def iterate(self, indices: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, (H, W, C) frame) one after the other; as `read`, with one frame in memory at a time."""
        wanted = range(self.frames) if indices is None else indices
        with one_line_errors(self.path), closing(open_source(self.path)) as source:
            for index in wanted:
                try:
                    if not 0 <= index < self.frames:
                        raise Refused("the file ends before it")
                    pixels = take(source, self.selection, frame=index).pixels
                except MemoryError:
                    raise
                except (
                    Exception
                ) as error:  # decoders fail in more ways than can be listed; each is a fault of the frame
                    why = reason(error)
                    raise Refused(f"frame {index} of {self.frames} cannot be read ({why}); copy it again") from error
                yield index, pixels


def open_movie(
    path: str | os.PathLike[str],
    *,
    choice: Choice = Choice(),  # noqa: B008  frozen
    max_pixels: int = MAX_PIXELS,
) -> Movie:
    """Look at a sequence or movie without decoding it.

    Parameters
    ----------
    path : path
        A file whose frames are its T axis or, without one, its Z axis or its pages.
    choice : Choice
        What the user chose of scenes, channels and slices.
    max_pixels : int
        Largest number of pixels of one frame.

    Returns
    -------
    Movie

    Raises
    ------
    InputError
        One line for all that can be wrong: missing, empty, damaged, not a movie, frames too large, something that only
        a person can choose.
    """
    path = Path(path)
    with one_line_errors(path), closing(open_source(path, max_pixels)) as source:
        chosen = select(source.scenes, choice, Wants.MOVIE)
        scene = source.scenes[chosen.scene]
        frames = frame_count(scene, chosen)
        _same_size(source.scenes)
        check_scene(scene, chosen, max_pixels)
        if chosen.z == FOCUS:  # one slice for all frames, judged where cells are halfway
            at = {chosen.time or TIME: frames // 2}
            chosen = replace(chosen, z=sharpest(source, chosen, at))
        colours = len(chosen.samples) or scene.size(COLOUR)
        facts = (scene.pixel_size_um, scene.interval_s, one_line(path.name), chosen.warnings + scene.warnings)
        read = told(scene, chosen, len(source.scenes))
        channels = len(chosen.channels) * colours
        return Movie(path, frames, scene.height, scene.width, channels, *facts, taken=read, selection=chosen)


def _same_size(scenes: Sequence[Scene]) -> None:
    """Refuse pages of several sizes: frames of a movie are of one size, and which are meant is not said."""
    plain = [scene for scene in scenes if not scene.overview and not scene.name]
    sizes = sorted({(scene.height, scene.width) for scene in plain})
    if len(plain) == len(scenes) and len(sizes) > 1:
        shown = " and ".join(f"{width} x {height}" for height, width in sizes[:2])
        raise Refused(f"its frames differ in size ({shown} pixels); frames of a movie are of one size")
