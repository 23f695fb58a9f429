"""Figures 8, 9, 10 and 12 and the memory rows of Table 1 of the MSFF-SegNeXt paper, from trainings and evaluations.

usage: python benchmarks/nucleus_figures.py bars EVAL... -o FIGURE.png         IoU and Dice of evaluations (Figure 8)
       python benchmarks/nucleus_figures.py curves RUN... -o FIGURE.png        loss and IoU of trainings (Figure 9)
       python benchmarks/nucleus_figures.py panels DATASET MODEL... -o FIGURE.png [--images 4]
                                                     models side by side on the same images (Figures 10 and 12)
       python benchmarks/nucleus_figures.py memory                             Table 1, by torchinfo's rule

EVAL is what `cellscope nucleus-seg eval` wrote, RUN and MODEL what `train` wrote. Panels show the network's own mask.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE, find
from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.networks.registry import arguments_of, build_network
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.segment.state import State
from cellscope.engine.assay import Subject
from cellscope.engine.loading import load_models
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.report.plots import new_figure, render_figure

SIDE = 350


def bars(evals: list[Path]) -> np.ndarray:
    """Draw IoU and Dice of evaluations side by side: (H, W, 3) uint8."""
    figure = new_figure(1.6 + 1.1 * len(evals), 3.6)
    axes = figure.subplots()
    for place, name in enumerate(("iou", "dice")):
        values = []
        for folder in evals:
            overall = json.loads((folder / "eval.json").read_text())["metrics"]["overall"]
            values.append(overall.get(f"folds.{name}_mean", overall[name])["value"])
        found = axes.bar(
            np.arange(len(evals)) + 0.38 * (place - 0.5), values, 0.36, label={"iou": "IoU"}.get(name, "Dice")
        )
        axes.bar_label(found, fmt="%.3f", fontsize=7)
    axes.set_xticks(range(len(evals)), [folder.name for folder in evals], rotation=20, ha="right", fontsize=8)
    axes.set(ylim=(0, 1.18))
    figure.legend(frameon=False, loc="upper right", ncols=2, fontsize=8)
    return render_figure(figure)


def curves(runs: list[Path]) -> np.ndarray:
    """Draw training loss and validation IoU of several trainings in one figure: (H, W, 3) uint8."""
    figure = new_figure(9.0, 3.6)
    left, right = figure.subplots(1, 2)
    for run in runs:
        table = pd.read_csv(run / "metrics.csv")
        loss, score = (table[table["name"] == name] for name in ("loss_entropy", "val_miou"))
        left.plot(loss["step"], loss["value"].rolling(5, min_periods=1).mean(), label=run.name, lw=1.2)
        right.plot(score["step"], score["value"], label=run.name, lw=1.2, marker="o", ms=3)
    left.set(xlabel="step", ylabel="training loss (cross entropy)")
    right.set(xlabel="step", ylabel="validation IoU", ylim=(0, 1))
    left.legend(frameon=False, fontsize=8)
    return render_figure(figure)


def mask_of(image: Any, loaded: Any, name: str) -> np.ndarray:
    """Run a model on one image: its own mask, (H, W) bool."""
    subject = Subject(name, image, IMAGE, PredictOptions(raw=True), loaded.cards, State())
    for stage in ASSAY.stages:
        items = stage.cut(subject)
        with torch.inference_mode():
            outputs = [
                one for item in items for one in stage.forward(loaded.modules[stage.part], [torch.from_numpy(item)])
            ]
        stage.finish(subject, outputs)
    return find(subject).labels > 0


def panels(dataset: Path, models: list[str], count: int) -> np.ndarray:
    """Draw images, truth and the masks of models below one another: (H, W, 3) uint8."""
    prepared = PreparedDataset.open(dataset, assay="nucleus-seg")
    loaded = [load_models(ASSAY, [model], torch.device("cpu")) for model in models]
    rows = prepared.split("test").head(count)
    lines = []
    for row in rows.itertuples():
        image = read(prepared.root / str(row.image))
        truth = read(prepared.root / str(row.target)).pixels[..., 0] == NUCLEUS
        masks = [truth, *(mask_of(image, one, str(row.id)) for one in loaded)]
        shown = [image.pixels, *(np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255 for mask in masks)]
        lines.append(
            np.hstack(
                [
                    cv2.copyMakeBorder(cv2.resize(one, (SIDE, SIDE)), 3, 3, 3, 3, 0, value=(255, 255, 255))
                    for one in shown
                ]
            )
        )
    head = np.full((40, lines[0].shape[1], 3), 255, np.uint8)
    for place, name in enumerate(("image", "truth", *(Path(model).name for model in models))):
        cv2.putText(
            head, name, (place * (SIDE + 6) + 8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (20, 24, 33), 1, cv2.LINE_AA
        )
    return np.vstack([head, *lines])


def memory() -> pd.DataFrame:
    """Count Table 1 by torchinfo's rule: megabytes of the outputs of all layers with parameters, twice, and in all."""
    rows = []
    for arch in ("unet", "r2unet", "deeplabv3", "segnext", "msff-segnext"):
        network = build_network(arch, arguments_of(arch, 1 if "unet" in arch else 2)).to("meta").eval()
        numbers = 0

        def count(_module: nn.Module, _given: Any, output: Any) -> None:
            nonlocal numbers
            numbers += math.prod(output.shape) if isinstance(output, torch.Tensor) else 0

        hooks = [
            module.register_forward_hook(count)
            for module in network.modules()
            if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None
        ]
        with torch.no_grad():
            network(torch.zeros(1, 3, 512, 512, device="meta"))
        for hook in hooks:
            hook.remove()
        parameters = sum(value.numel() for value in network.parameters())
        passed, held, given = 8 * numbers / 1e6, 4 * parameters / 1e6, 4 * 3 * 512 * 512 / 1e6
        rows.append({"arch": arch, "parameters": parameters, "pass MB": passed, "total MB": passed + held + given})
    return pd.DataFrame(rows).round(2)


def main() -> None:
    """Draw or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("bars", "curves", "panels", "memory"))
    parser.add_argument("given", nargs="*")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "memory":
        print(memory().to_string(index=False))
        return
    folders = [Path(one) for one in arguments.given]
    if arguments.what == "panels":
        drawn = panels(folders[0], arguments.given[1:], arguments.images)
    else:
        drawn = (bars if arguments.what == "bars" else curves)(folders)
    cv2.imwrite(str(arguments.out), drawn[..., 2::-1])
    print(arguments.out)


if __name__ == "__main__":
    main()
