"""Sequences and movies: frames of one size over time, read when they are asked for, never all at once.

TIFF stacks (whatever their first axis is called), AVI and MP4. A movie of 721 frames of a megapixel does not fit where
its divisions do, so a `Movie` holds no pixels; it knows its file and hands out frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cellscope.io.convert import Refused, check_size, standard_type
from cellscope.io.read import MAX_PIXELS, one_line_errors, open_regular
from cellscope.io.text import one_line

MOVIE_SUFFIXES: frozenset[str] = frozenset({".tif", ".tiff", ".btf", ".tf8", ".avi", ".mp4"})
"""Suffixes of the files `open_movie` understands, lower case."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Frames(Protocol):
    """What a decoder of movies offers; open until closed."""

    shape: tuple[int, int, int, int]
    """Frames, height, width, channels."""
    pixel_size_um: float | None
    interval_s: float | None
    warnings: tuple[str, ...]

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (H, W, C), of any number type; Refused if it is not wholly there."""

    def close(self) -> None:
        """Let go of the file."""


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
        with one_line_errors(self.path), closing(_open(self.path)) as source:
            for index in wanted:
                try:
                    pixels, _ = standard_type(source.read(index))
                except MemoryError:
                    raise
                except (
                    Exception
                ) as error:  # decoders fail in more ways than can be listed; each is a fault of the frame
                    why = one_line(str(error) or type(error).__name__)[:200]
                    raise Refused(f"frame {index} of {self.frames} cannot be read ({why}); copy it again") from error
                yield index, np.ascontiguousarray(pixels)


def open_movie(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Movie:
    """Look at a sequence or movie without decoding it.

    Parameters
    ----------
    path : path
        A TIFF whose frames are its T axis or, without one, its Z axis or its pages; AVI or MP4.
    max_pixels : int
        Largest number of pixels of one frame.

    Returns
    -------
    Movie

    Raises
    ------
    InputError
        One line for all that can be wrong: missing, empty, damaged, not a movie, frames too large, more axes than
        time, channel, row and column.
    """
    path = Path(path)
    with one_line_errors(path), closing(_open(path)) as source:
        frames, height, width, channels = source.shape
        check_size(width, height, channels, max_pixels)
        if frames < 1:
            raise Refused("holds no frame")
        name = one_line(path.name)
        facts = (source.pixel_size_um, source.interval_s, name, source.warnings)
        return Movie(path, frames, height, width, channels, *facts)


def _open(path: Path) -> Frames:
    with open_regular(path) as handle:
        start = handle.read(12)
    if start[:4] in _TIFF_MAGIC:
        from cellscope.io.movie_tiff import TiffFrames

        return TiffFrames(path)
    if start[8:12] == b"AVI " or start[4:8] == b"ftyp":
        from cellscope.io.movie_video import VideoFrames

        return VideoFrames(path)
    raise Refused(f"is not a TIFF stack, AVI or MP4 (it starts with {start[:8]!r})")
