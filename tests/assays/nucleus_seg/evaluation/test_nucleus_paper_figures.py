"""The figures of the MSFF-SegNeXt paper, and the network's mask alone, which its tables measure."""

from __future__ import annotations

import json
from pathlib import Path

import nucleus_figures
import numpy as np
import pandas as pd
import pytest

from cellscope.assays.nucleus_seg.segment.instances import Maps, raw_nuclei

# Table 1 of the paper: parameters, forward and backward pass, estimated total size (MB).
TABLE_1 = {
    "unet": (34_527_041, 2552.23, 2693.49),
    "r2unet": (39_091_393, 7157.58, 7317.09),
    "deeplabv3": (41_806_762, 2407.60, 2569.78),
}


@pytest.mark.slow
def test_the_memory_rows_of_table_1() -> None:
    table = nucleus_figures.memory().set_index("arch")
    for arch, (parameters, passed, total) in TABLE_1.items():
        assert table.loc[arch, "parameters"] == parameters
        assert table.loc[arch, "pass MB"] == passed
        unused = 8.2 if arch == "deeplabv3" else 0  # its 1000-way layer is never called, and torchinfo leaves it out
        assert table.loc[arch, "total MB"] == pytest.approx(total + unused, abs=0.02)


def test_a_bar_per_evaluation_and_a_line_per_training(tmp_path: Path) -> None:
    runs = []
    for number in range(3):
        run = tmp_path / f"run{number}"
        run.mkdir()
        overall = {name: {"value": 0.5 + 0.1 * number} for name in ("iou", "dice")}
        (run / "eval.json").write_text(json.dumps({"metrics": {"overall": overall}}))
        steps = np.arange(10)
        rows = [
            {"step": step, "name": name, "value": value}
            for step in steps
            for name, value in (("loss_entropy", 1 / (1 + step)), ("val_miou", 0.1 * number + step / 20))
        ]
        pd.DataFrame(rows).to_csv(run / "metrics.csv", index=False)
        runs.append(run)
    low, high = (nucleus_figures.bars([run]) for run in (runs[0], runs[2]))
    coloured = [int((np.ptp(figure[..., :3], axis=-1) > 60).sum()) for figure in (low, high)]
    assert coloured[1] / coloured[0] == pytest.approx(0.7 / 0.5, rel=0.1)
    assert nucleus_figures.bars(runs).shape[1] > 1.5 * low.shape[1]
    assert (nucleus_figures.curves(runs[:1]) != nucleus_figures.curves(runs[1:2])).any()


def test_panels_show_image_truth_and_each_models_own_mask(nucleus_dataset: Path) -> None:
    drawn = nucleus_figures.panels(nucleus_dataset, ["otsu", "otsu"], 2)
    side = nucleus_figures.SIDE + 6
    assert drawn.shape == (40 + 2 * side, 4 * side, 3)
    truth, first, second = (drawn[40 : 40 + side, k * side : (k + 1) * side, 0] > 127 for k in (1, 2, 3))
    assert (first == second).all()
    inner = (slice(3, -3), slice(3, -3))
    both = 2 * (truth[inner] & first[inner]).sum() / (truth[inner].sum() + first[inner].sum())
    assert both > 0.8


def test_the_raw_mask_keeps_what_the_rules_would_drop() -> None:
    probability = np.zeros((40, 40), np.uint8)
    probability[4:14, 4:14] = 200
    probability[14:18, 8:10] = 130  # a neck to the next, which the rules would cut
    probability[18:28, 4:14] = 255
    probability[35, 35] = 140  # a speck
    probability[30, 2] = 127  # not over one half
    found = raw_nuclei(Maps(probability, None, None), (40, 40), threshold=0.5)
    assert ((found.labels > 0) == (probability > 127)).all()
    assert found.labels.max() == 2
    assert found.dropped == 0
    assert found.score[1] == pytest.approx(140 / 255)
