"""Networks of another scale: the sizes of the post-processing follow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from drawn.histo import tissue, write_tiles
from drawn.histo_sources import opened
from drawn.nuclei import perfect_maps

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.datasets.tiles import Tile
from cellscope.assays.histo.networks.registry import arguments_of, build_network
from cellscope.assays.histo.nuclei.postprocess import find_nuclei
from cellscope.assays.histo.nuclei.sizes import KEPT, sizes_at
from cellscope.assays.histo.options import HistoPrepareOptions, PredictOptions, TrainOptions
from cellscope.assays.histo.slides import stage
from cellscope.assays.histo.training import tune as tuning
from cellscope.assays.histo.training import validation
from cellscope.assays.histo.training.train import Learner


def test_sizes_are_the_same_in_micrometres() -> None:
    assert sizes_at(None) == sizes_at(0.25) == sizes_at(0.26) == {}
    half = sizes_at(0.5)
    assert half == {"sigma": 0.75, "opening": 1, "min_marker": 2, "min_area": 6}
    assert sizes_at(0.125) == {"sigma": 2.5, "opening": 5, "min_marker": 40, "min_area": 96}
    assert set(KEPT) < set(half)


def small_nuclei() -> tuple[np.ndarray, np.ndarray]:
    """Discs of 4 pixels across, 2 um at 0.5: 12 pixels each, fewer than the least area at 0.25."""
    labels = np.zeros((64, 64), np.int32)
    for number, (y, x) in enumerate([(10, 10), (10, 30), (30, 10), (30, 30), (50, 50)], 1):
        cv2.circle(labels, (x, y), 2, number, -1)
    assert 6 < np.bincount(labels.ravel())[1:].max() < 24
    return labels, perfect_maps(labels, dict.fromkeys(range(1, 6), 0), 1)


def test_small_nuclei_stay_at_a_coarser_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, maps = small_nuclei()
    assert find_nuclei(maps).labels.max() == 0
    assert find_nuclei(maps, **sizes_at(0.5)).labels.max() == 5  # type: ignore[arg-type]
    tile = Tile("a/x", "a", np.zeros((64, 64, 3), np.uint8), labels, np.r_[0, np.full(5, -1)])
    for module in (tuning, validation):
        monkeypatch.setattr(module, "whole_maps", lambda *_, **__: maps)
    assert validation.score_tiles(torch.nn.Identity(), [tile], ("nucleus",))["val_f1"] == 0
    assert validation.score_tiles(torch.nn.Identity(), [tile], ("nucleus",), "named", 0.5)["val_f1"] == 1
    found = tuning.tune(torch.nn.Identity(), [tile], 0.5)
    assert {*KEPT, *tuning.TRIED} <= set(found)
    assert tuning.agreement([tile], [maps], {name: found[name] for name in (*KEPT, *tuning.TRIED)}) == 1


@pytest.mark.parametrize("tuned", [True, False])
def test_a_model_without_validation_images_holds_the_sizes_of_its_scale(tuned: bool) -> None:
    network = build_network(arguments_of("histonext-test", 1))
    options = TrainOptions(tune_thresholds=tuned)
    for pixel in (0.25, 0.5):
        assert Learner(network, options, [], ("nucleus",), pixel_size_um=pixel).calibrated() == sizes_at(pixel)


def test_datasets_at_another_scale(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1, typed=False)
    prepare([source], tmp_path / "out", HistoPrepareOptions(at_pixel_size=0.5, pixel_size=0.25))
    dataset = opened(tmp_path / "out")
    assert dataset.info["pixel_size_um"] == 0.5
    image = cv2.imread(str(tmp_path / "out/images/own/tile1.png"))
    assert image.shape[:2] == tuple(side // 2 for side in tissue(1)[1].shape)


def test_predict_takes_the_sizes_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, object] = {}
    monkeypatch.setattr(stage, "find_nuclei", lambda _maps, **chosen: said.update(chosen))
    tuned = {"threshold": 0.4, "edge": 0.1, "min_score": 0.0, "temperature": 1.2, **sizes_at(0.5)}
    options = PredictOptions(min_area=9)
    subject = SimpleNamespace(options=options, cards={PART: SimpleNamespace(thresholds=tuned)})
    stage._nuclei(subject, np.zeros((4, 4, 4), np.float16))  # type: ignore[arg-type]
    wanted = {
        "threshold": 0.4,
        "edge": 0.1,
        "min_score": 0.0,
        "min_area": 9,
        "sigma": 0.75,
        "opening": 1,
        "min_marker": 2,
    }
    assert said == wanted | {"sigma": 0.75, "opening": 1, "min_marker": 2}
