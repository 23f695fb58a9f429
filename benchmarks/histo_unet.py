"""How hard held-back tiles are: a plain U-Net after a few minutes, Otsu and the built-in network on the same ones.

usage: python benchmarks/histo_unet.py DATASET [--steps 300] [--seed 0] [--splits test]

DATASET comes from `cellscope histo prepare`. The U-Net (Ronneberger et al. 2015) has a ResNet-18 from nothing as its
encoder and the nucleus, distance and type outputs of the others, learns from the training split by their losses for
some minutes on a CPU, and is post-processed as the built-in network is. It is a measure of the tiles, not a rival: what
such a network reaches on one set of tiles and on another tells which is harder, and by how much.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness import environment
from torch import nn

from cellscope.assays.histo.datasets.tiles import Tile, Windows, load_tiles, stratum_weights
from cellscope.assays.histo.networks.compact import conv_block, registered
from cellscope.assays.histo.networks.registry import build_network, normalise
from cellscope.assays.histo.nuclei.baseline import otsu_nuclei
from cellscope.assays.histo.nuclei.postprocess import find_nuclei
from cellscope.assays.histo.options import TrainOptions
from cellscope.assays.histo.slides.stage import TUNED
from cellscope.assays.histo.slides.whole import whole_maps
from cellscope.assays.histo.training.losses import branch_losses
from cellscope.assays.histo.training.train import window_batches
from cellscope.engine.train.data import source_weights
from cellscope.io.prepared import PreparedDataset
from cellscope.metrics.instance_counts import count_types, panoptic
from cellscope.metrics.instances import aji, dice, overlaps, pairs_by_overlap
from cellscope.models.file import load_model
from cellscope.models.registry import locate
from cellscope.nn.pretrained import timm_network

WIDTHS = (256, 128, 64, 64)


class UNet(nn.Module):
    """A U-Net on ResNet-18 with the outputs of the histo networks, at half resolution like the built-in one."""

    core, margin, fixed = 640, 64, False

    def __init__(self, types: int):
        super().__init__()
        self.encoder = timm_network("resnet18", pretrained=False, features_only=True)
        info: Any = self.encoder.feature_info
        *skips, channels = info.channels()
        self.blocks = nn.ModuleList()
        for skip, width in zip(reversed(skips), WIDTHS, strict=True):
            self.blocks.append(nn.Sequential(conv_block(channels + skip, width), conv_block(width, width)))
            last, channels = channels + skip, width
        self.distance = nn.Sequential(conv_block(last, channels), conv_block(channels, channels))
        self.np, self.hv, self.tp = (nn.Conv2d(channels, out, 1) for out in (2, 2, types + 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, s + 2 margin, same) -> (N, 4 + types + 1, s, s)."""
        *skips, x = self.encoder(images)
        joined = x
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            joined = torch.cat([enlarged, skip], 1)
            x = block(joined)
        return registered(torch.cat([self.np(x), self.hv(self.distance(joined)), self.tp(x)], 1), self.margin)


def trained(tiles: list[Tile], classes: tuple[str, ...], steps: int, seed: int) -> UNet:
    """Train the U-Net, with milder changes of the windows than the default: it does not train for long."""
    options = TrainOptions(seed=seed, steps=steps, augment="strong")
    torch.manual_seed(seed)
    network = UNet(len(classes)).to(memory_format=torch.channels_last)
    network.margin = options.margin
    windows = Windows(tiles, options.core, options.margin, options)
    weights = stratum_weights(windows.strata, options.sampling, source_weights(""))
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=steps + 1, pct_start=0.1)
    for batch in window_batches(windows, weights, options)(0):
        outputs = network(normalise(batch["image"]).contiguous(memory_format=torch.channels_last))
        parts = branch_losses(
            outputs, batch, np_loss="bce+dice", tp_loss="bce+dice", gamma_positive=1, gamma_negative=4, focal_gamma=2
        )
        loss = parts["np"] + parts["hv_mse"] + parts["hv_msge"] + 2 * parts["tp"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.margin = UNet.margin
    return network.eval()


def agreement(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Give Dice, AJI and PQ."""
    table = overlaps(truth, found)
    return dice(table), aji(table), float(panoptic(count_types(table, pairs_by_overlap(table))[0])[2])


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", default="test")
    arguments = parser.parse_args()
    print(environment())
    prepared = PreparedDataset.open(arguments.dataset, assay="histo")
    classes = tuple(prepared.info["classes"])
    began = time.monotonic()
    unet = trained(load_tiles(prepared, "train", classes, limit=None), classes, arguments.steps, arguments.seed)
    print(f"U-Net: {arguments.steps} steps in {time.monotonic() - began:.0f} s")
    card, tensors = load_model(locate("histo-nuclei"), assay="histo", part="nuclei")
    ours = build_network(card.arch_args)
    ours.load_state_dict(tensors)
    ours.eval().to(memory_format=torch.channels_last)
    settings: dict[str, Any] = {name: card.thresholds[name] for name in TUNED if name in card.thresholds}
    rows: dict[tuple[str, str], list[list[tuple[float, float, float]]]] = {}
    for split in arguments.splits.split(","):
        for tile in load_tiles(prepared, split, classes, limit=None):
            found = [
                otsu_nuclei(tile.image).labels,
                find_nuclei(whole_maps(unet, tile.image), **settings).labels,
                find_nuclei(whole_maps(ours, tile.image, views=2), **settings).labels,
            ]
            rows.setdefault((split, tile.source), []).append([agreement(tile.labels, labels) for labels in found])
    print("\n| split | source | tiles | Otsu: Dice, AJI, PQ | U-Net | built-in |\n|---|---|---:|---|---|---|")
    for (split, source), values in rows.items():
        shown = [", ".join(f"{value:.3f}" for value in way) for way in np.mean(values, 0)]
        print(f"| {split} | {source} | {len(values)} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
