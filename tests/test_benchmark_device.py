"""The benchmarks of devices and of shares: what overlaps counts once, time goes to the function that took it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from device import link, union, watched_kernels, watched_networks
from shares import Clock

from cellscope.engine.find import find_assay


@pytest.mark.parametrize(
    ("intervals", "length"),
    [([], 0), ([(1, 3)], 2), ([(4, 6), (0, 1), (0.5, 2)], 4), ([(0, 9), (1, 2), (8, 10)], 10), ([(2, 2)], 0)],
)
def test_what_overlaps_counts_once(intervals: list[tuple[float, float]], length: float) -> None:
    assert union(intervals) == length


def test_networks_are_watched_and_let_go() -> None:
    assay = find_assay("mitosis")
    assay = replace(assay, stages=tuple(replace(stage) for stage in assay.stages))
    stage = assay.stages[1]
    before = stage.forward
    network: Any = SimpleNamespace(tracks=torch.nn.Linear(2, 2))  # what the stage asks for
    watched = watched_networks(assay)
    with watched as intervals, watched_kernels(torch.device("cpu")) as kernels, torch.inference_mode():
        assert len(stage.forward(network, [torch.zeros(1, 1, 2)])) == 1
    assert len(intervals) == 1
    assert intervals[0][1] > intervals[0][0]
    assert kernels == []
    assert stage.forward is before


def test_images_are_linked_until_there_are_enough(tmp_path: Path) -> None:
    images = [tmp_path / "a.png", tmp_path / "b.png"]
    for image in images:
        image.write_text(image.stem)
    folder = link(images, 3, tmp_path / "many")
    assert [path.read_text() for path in sorted(folder.iterdir())] == ["a", "b", "a"]


def test_time_goes_to_the_function_that_took_it() -> None:
    clock = Clock()

    def work(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    inner = clock.wrap(lambda: work(0.03), "inner")

    def both() -> int:
        work(0.01)
        inner()
        return 7

    assert clock.wrap(both, "outer")() == 7
    assert clock.spent["inner"] == pytest.approx(0.03, abs=0.008)
    assert clock.spent["outer"] == pytest.approx(0.01, abs=0.008)
