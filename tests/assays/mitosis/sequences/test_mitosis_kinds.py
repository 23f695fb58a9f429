"""What a file is taken for: one division, or a movie whose divisions a person must name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cellscope.assays.mitosis.sequences.inputs import MOVIE, SEQUENCE, admit, kind_of
from cellscope.errors import InputError


def movie(frames: int, side: int = 96, **notes: list) -> SimpleNamespace:
    return SimpleNamespace(name="a.tif", frames=frames, height=side, width=side, notes=notes)


@pytest.mark.parametrize(("frames", "kind"), [(1, SEQUENCE), (12, SEQUENCE), (18, SEQUENCE), (19, MOVIE), (24, MOVIE)])
def test_twice_the_frames_of_a_division_are_not_one_in_silence(frames: int, kind: str) -> None:
    found = movie(frames)
    assert kind_of(found) == kind
    if kind == MOVIE:
        with pytest.raises(InputError, match=rf"{frames} frames of 96 x 96 .* --events .* --input sequence"):
            admit(found, kind)
    admit(found, SEQUENCE)  # as a person said with --input sequence


def test_events_and_size_make_a_movie() -> None:
    assert kind_of(movie(12, 1024)) == MOVIE
    with_events = movie(24, events=[])
    assert kind_of(with_events) == MOVIE
    admit(with_events, MOVIE)
