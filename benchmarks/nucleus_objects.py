"""Fit and measure what tells nuclei from red cells and dirt that a network takes for nuclei.

usage: python benchmarks/nucleus_objects.py DATASET MODEL=SOURCE[,SOURCE...] [MODEL=SOURCE ...] [--pairs MODEL]

DATASET is one that `cellscope nucleus-seg prepare` made. Each MODEL should never have seen its SOURCEs: what it takes
for nuclei there is what another laboratory meets. Of a source every so many images are taken, as they are and with
their red cells stained anew. `--pairs` adds pasted pairs of nuclei of validation images, so that a pale nucleus beside
a dark one is known. Printed are `debris.WEIGHTS` and `BIAS` from all objects and, for each laboratory in turn, what
weights from the others do.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from road import CPU, through
from skimage.measure import label as components
from sklearn.linear_model import LogisticRegression

from cellscope.assays.nucleus_seg.assay import ASSAY, IMAGE
from cellscope.assays.nucleus_seg.classes import NUCLEUS
from cellscope.assays.nucleus_seg.options import PredictOptions
from cellscope.assays.nucleus_seg.segment.debris import beside, surest
from cellscope.assays.nucleus_seg.segment.instances import find_nuclei
from cellscope.assays.nucleus_seg.segment.subject import maps_of
from cellscope.assays.nucleus_seg.training.appearance import stain_red_cells
from cellscope.assays.nucleus_seg.training.crops import Crops, load_smear, load_smears
from cellscope.engine.assay import Subject
from cellscope.engine.loading import load_models
from cellscope.imaging.smear import stain_densities
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset

#: Pieces smaller than this share of an image's largest are no matter of stain.
CRUMB = 0.02


@dataclass
class Objects:
    """What a network takes for nuclei in one image: (N, 5) features, areas, the share of each that is nucleus."""

    laboratory: str
    features: np.ndarray
    areas: np.ndarray
    share: np.ndarray
    truth: int

    @property
    def counted(self) -> np.ndarray:
        """Those large enough to matter."""
        return self.areas >= CRUMB * self.areas.max(initial=0)


def objects_of(subject: Subject, truth: np.ndarray, laboratory: str) -> Objects:
    """Find the pieces of what the network says, nothing dropped."""
    shape = truth.shape
    nuclei = find_nuclei(maps_of(subject.state.maps, subject), shape, min_area=0, doubtful_area=0)
    pieces = components(nuclei.labels, connectivity=2).astype(np.int32)
    count = int(pieces.max(initial=0)) + 1
    owner = np.zeros(count, np.int64)
    owner[pieces] = nuclei.labels
    areas = np.bincount(pieces.ravel(), minlength=count).astype(float)[1:]
    inside = np.bincount(pieces.ravel(), weights=truth.ravel(), minlength=count)[1:]
    densities = stain_densities(pieces, subject.image.pixels)[1:]
    scores = nuclei.score[owner[1:] - 1]
    features = beside(surest(areas, densities, scores), areas, densities, scores) if count > 1 else np.zeros((0, 5))
    return Objects(laboratory, features, areas, inside / np.maximum(areas, 1), int(truth.sum()))


def gather(model: str, items: Iterator[tuple[str, str, np.ndarray, np.ndarray]]) -> list[Objects]:
    """Take (name, laboratory, image, truth) through a model."""
    loaded = load_models(ASSAY, [model], CPU)
    known: dict[str, tuple[str, np.ndarray]] = {}

    def subjects() -> Iterator[Subject]:
        for name, laboratory, image, truth in items:
            known[name] = laboratory, truth
            yield Subject(name, Image(image), IMAGE, PredictOptions(views=1), loaded.cards)

    def conclude(subject: Subject) -> Objects:
        laboratory, truth = known.pop(subject.name)
        return objects_of(subject, truth, laboratory)

    return [found for _, found in through(ASSAY, subjects(), loaded, conclude=conclude)]


def smears(prepared: PreparedDataset, source: str, every: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Give every so many images of a source, as they are and with their red cells stained anew."""
    rows = prepared.items[prepared.items["source"] == source].iloc[::every]
    for row in rows.itertuples():
        smear = load_smear(prepared.root, row)
        truth = smear.mask == NUCLEUS
        yield smear.name, row.laboratory, smear.image, truth
        rng = np.random.default_rng(zlib.crc32(smear.name.encode()))
        yield f"{smear.name} anew", row.laboratory, stain_red_cells(smear.image, smear.mask, rng), truth


def pairs(prepared: PreparedDataset, count: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Paste nuclei of validation images beside one another."""
    kept = [smear for smear in load_smears(prepared, "val", limit=None, diameter=56) if smear.cells.max() > 0]
    options = SimpleNamespace(
        augment="geometry",
        seed=5,
        pair_rate=1.0,
        touch_rate=0.3,
        crop=256,
        diameter=56,
        scale_jitter=0.3,
        placing="cell",
    )
    laboratories = dict(zip(prepared.items["id"], prepared.items["laboratory"], strict=True))
    crops, rng = Crops(kept, options), np.random.default_rng(1)
    for draw in range(count):
        item = int(rng.integers(len(kept)))
        image, classes, *_ = crops[item, draw]
        pixels = (image.numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
        yield f"pair {draw}", laboratories[kept[item].name], np.ascontiguousarray(pixels), classes.numpy() == 2


def fitted(found: list[Objects]) -> tuple[np.ndarray, float]:
    """Fit weights and bias; a laboratory's nuclei weigh as much as what it has besides, and as any other's."""
    laboratory = np.concatenate([np.repeat(each.laboratory, each.counted.sum()) for each in found])
    features = np.concatenate([each.features[each.counted] for each in found])
    nucleus = np.concatenate([each.share[each.counted] > 0.5 for each in found])
    weight = np.zeros(len(nucleus))
    for name in np.unique(laboratory):
        for kind in (False, True):
            chosen = (laboratory == name) & (nucleus == kind)
            weight[chosen] = 1 / max(chosen.sum(), 1)
    scale = features.std(0)
    model = LogisticRegression(C=10, max_iter=5000).fit(features / scale, nucleus, weight * len(weight) / weight.sum())
    return model.coef_[0] / scale, float(model.intercept_[0])


def main() -> None:
    """Gather, fit, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("turns", nargs="+", metavar="MODEL=SOURCE[,SOURCE]")
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--pairs", metavar="MODEL", help="A model for the pasted pairs.")
    parser.add_argument("--count", type=int, default=80, help="Pasted pairs.")
    wanted = parser.parse_args()
    prepared = PreparedDataset.open(wanted.dataset, assay="nucleus-seg")
    found: list[Objects] = []
    for turn in wanted.turns:
        model, sources = turn.rsplit("=", 1)
        for source in sources.split(","):
            every = wanted.every if (prepared.items["source"] == source).sum() > 2 * wanted.every else 1
            found += gather(model, smears(prepared, source, every))
    beside = gather(wanted.pairs, pairs(prepared, wanted.count)) if wanted.pairs else []
    weights, bias = fitted(found + beside)
    print("weights", np.round(weights, 2).tolist(), "bias", round(bias, 2))
    print("| left out | nuclei lost | others kept | Dice (worst) | with nothing dropped |")
    print("|---|---|---|---|---|")
    for laboratory in sorted({each.laboratory for each in found}):
        rest = [each for each in found + beside if each.laboratory != laboratory]
        weights, bias = fitted(rest)
        lost = nuclei = kept = others = 0
        dices = []
        for each in (each for each in found if each.laboratory == laboratory and len(each.areas)):
            odds = each.features @ weights + bias
            taken = odds > 0
            taken[odds.argmax()] = True
            real = each.share > 0.5
            lost += int((real & ~taken)[each.counted].sum())
            nuclei += int(real[each.counted].sum())
            kept += int((~real & taken)[each.counted].sum())
            others += int((~real)[each.counted].sum())
            inside = each.areas * each.share
            dices.append(
                [2 * inside[some].sum() / (each.areas[some].sum() + each.truth) for some in (taken, each.areas > 0)]
            )
        mean, least = np.mean(dices, 0), np.min(dices, 0)
        print(
            f"| {laboratory} | {lost} of {nuclei} | {kept} of {others} | {mean[0]:.3f} ({least[0]:.3f}) "
            f"| {mean[1]:.3f} ({least[1]:.3f}) |"
        )


if __name__ == "__main__":
    main()
