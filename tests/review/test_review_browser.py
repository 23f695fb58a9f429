"""The room of nuclei in a real Chromium: each change by mouse and by key. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.hands import Hands
from drawn.reviewing import CHROMIUM, DRIVER, chromium, serving

from cellscope.cli.root import app
from cellscope.io.corrections import read_corrections

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver found"),
]
pytest.importorskip("selenium")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run of two smears with 36 nuclei each."""
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        random = np.random.default_rng(number)
        image = np.full((264, 264, 3), (235, 225, 235), np.uint8)
        for place in np.ndindex(6, 6):
            x, y = 44 * np.array(place) + 22
            cv2.ellipse(image, (int(x), int(y)), (11, 13), float(random.uniform(0, 180)), 0, 360, (120, 40, 100), -1)
        cv2.imwrite(str(tmp_path / f"in/{number}.png"), image)
    with pytest.raises(SystemExit) as stopped:
        app(["nucleus-seg", "predict", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", "otsu", "-q"])
    assert stopped.value.code == 0
    return tmp_path / "out"


def test_each_change_of_nuclei_by_mouse_and_by_key(out: Path) -> None:
    with serving(out) as served, chromium() as driver:
        hands = Hands(driver, served.address, seconds=60)
        hands.load()
        for changes in (hands.by_mouse(), hands.by_key()):
            for _ in changes:
                pass
        assert not [one for one in driver.get_log("browser") if one["level"] == "SEVERE"]
        served.settle()
    found = read_corrections(out)["1.png"]
    by_mouse = ["remove", "add", "join", "split", "outline", "remove", "add", "confirm"]
    by_key = ["remove", "join", "split", "outline", "remove", "add", "remove", "add", "confirm"]
    assert [edit["do"] for edit in found.edits] == [*by_mouse, *by_key]
    table = pd.read_csv(out / "corrections/objects.csv")
    assert (table.image == "1.png").sum() == 35  # of 36: either hand joins two and cuts one, and one stays removed
