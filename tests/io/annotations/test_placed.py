"""Outlines that lie anywhere are doubted; those that lie on nuclei are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn.histo import write_tiles

from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.options import HistoPrepareOptions
from cellscope.io.annotations.placed import FEWEST, misplaced, standing_out
from cellscope.io.annotations.tally import Tally


def scene(*, dark: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sparse discs in noise, as different from the background as the noise is strong."""
    labels, rng = np.zeros((320, 320), np.int32), np.random.default_rng(0)
    for number, (y, x) in enumerate(rng.integers(12, 308, (70, 2)), 1):
        cv2.circle(labels, (int(x), int(y)), 5, number, -1)
    image = rng.normal(120, 20, labels.shape) + np.where(labels > 0, -20 if dark else 20, 0)
    return np.clip(image, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("dark", [True, False])
def test_nuclei_stand_out_and_what_is_turned_does_not(dark: bool) -> None:
    image, labels = scene(dark=dark)
    right, compared = standing_out(image, labels, dark=dark)
    assert compared > 50
    assert right > 0.9 * compared
    assert not misplaced(right, compared)
    for wrong in (labels.T, labels[::-1], np.roll(labels, 40, 1)):
        assert misplaced(*standing_out(image, np.ascontiguousarray(wrong), dark=dark))
    assert misplaced(*standing_out(image, labels, dark=not dark))


def test_colours_are_taken_together_and_crowded_nuclei_have_no_ring() -> None:
    image, labels = scene(dark=True)
    assert standing_out(np.dstack([image] * 3), labels, dark=True) == standing_out(image, labels, dark=True)
    everywhere = np.arange(1, 65, dtype=np.int32).reshape(8, 8)
    assert standing_out(np.zeros((8, 8)), everywhere, dark=True) == (0, 0)
    assert standing_out(image, np.zeros_like(labels), dark=True) == (0, 0)


def test_few_objects_are_doubted_only_together() -> None:
    tally = Tally()
    for number in range(FEWEST):
        tally.placed(f"{number}.png", 0, 1)
    assert tally.astray == []
    assert any("taken together" in line for line in tally.lines())
    tally = Tally()
    tally.placed("good", 90, 100)
    tally.placed("bad", 50, 100)
    tally.placed("small", 1, FEWEST - 1)
    (line,) = (line for line in tally.lines() if "do not lie on" in line)
    assert line.startswith("warning: in 1 images (bad) the outlines")
    tally = Tally()
    tally.placed("good", 90, 100)
    tally.placed("small", 0, 3)
    assert not any("do not lie on" in line for line in tally.lines())


def test_prepare_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_tiles(tmp_path / "own", 2, typed=False)
    prepare([source], tmp_path / "right", HistoPrepareOptions())
    assert "do not lie on" not in capsys.readouterr().err
    path = next(path for path in source.rglob("*tile1*") if path.parent.name != "images")
    turned = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[::-1, ::-1]
    cv2.imwrite(str(path), np.ascontiguousarray(turned))
    prepare([source], tmp_path / "wrong", HistoPrepareOptions())
    assert "in 1 images (tile1) the outlines do not lie on" in capsys.readouterr().err
