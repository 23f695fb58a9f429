"""Single chromosomes for the classifier: from class folders and out of annotated metaphases, as upright views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import single_chromosome
from cellscope.assays.karyotype.classify.views import view_of, view_settings
from cellscope.assays.karyotype.datasets.metaphase import load_metaphase
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.training.box_cutouts import BoxCutouts
from cellscope.assays.karyotype.training.box_masks import draw_masks
from cellscope.assays.karyotype.training.detector_data import vary_tone
from cellscope.imaging.tone import foreground
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read

UNKNOWN = -1
PAD = 6


@dataclass
class Chromosome:
    """One chromosome of known class.

    Attributes
    ----------
    image : (H, W) float16
        Normalised, bright on dark, a little larger than the mask. Half precision, since all of them are held at once.
    mask : (H, W) bool
    label : int
        Index into `CLASSES`.
    short_arm_up : int
        1 where the source says so, `UNKNOWN` elsewhere.
    source, group : str
    """

    image: np.ndarray
    mask: np.ndarray
    label: int
    short_arm_up: int
    source: str
    group: str


def collect_chromosomes(
    dataset: PreparedDataset,
    split: str,
    *,
    metaphases: bool = True,
    singles: bool = True,
    limit: int | None = None,
    painter: ChrRender | None = None,
) -> list[Chromosome]:
    """Gather every chromosome of known class in a split, or the first `limit` of them.

    Boxes without masks get the mask that `painter` draws into them, and are left out where it leaves the box
    (`cellscope.assays.karyotype.training.box_masks`). Without a painter they give the foreground that fits them, or
    the part of it that no other box shares; boxes of which neither can be told are left out
    (`cellscope.assays.karyotype.training.box_cutouts`), which are most of those in tangles.
    """
    rows = dataset.split(split).rename(columns={"class": "class_"})
    upright = {source["name"] for source in dataset.info["sources"] if source.get("short_arm_up")}
    found: list[Chromosome] = []
    for row in rows.itertuples():
        if limit is not None and len(found) >= limit:
            break
        source = str(row.id).split("/", 1)[0]
        if row.target:
            if metaphases:
                metaphase = load_metaphase(dataset.root, row, tight=painter is not None)
                if painter is not None:
                    (metaphase,) = draw_masks([metaphase], painter)
                found.extend(dataset.keep(_from_metaphase(metaphase, str(row.group))))
        elif singles and row.class_:
            image, mask = single_chromosome(read(dataset.root / str(row.image)).pixels[..., 0].astype(np.float32))
            up = 1 if source in upright else UNKNOWN
            label = CLASSES.index(str(row.class_))
            one = Chromosome(image.astype(np.float16), mask, label, up, source, str(row.group))
            found.append(dataset.keep(one))
    return found[:limit]


def _from_metaphase(metaphase: Any, group: str) -> list[Chromosome]:
    found = []
    height, width = metaphase.image.shape
    cutouts = None
    for index, class_ in enumerate(metaphase.classes):
        if class_ is None or (metaphase.believed is not None and not metaphase.believed[index]):
            continue
        mask, (x, y) = metaphase.masks[index], metaphase.offsets[index]
        if mask is None:
            if cutouts is None:
                cutouts = BoxCutouts(foreground(metaphase.image), metaphase.boxes)
            mask = cutouts.mask(index)
            if mask is None:
                continue
        h, w = mask.shape
        x0, y0, x1, y1 = max(x - PAD, 0), max(y - PAD, 0), min(x + w + PAD, width), min(y + h + PAD, height)
        full = np.zeros((y1 - y0, x1 - x0), bool)
        full[y - y0 : y - y0 + h, x - x0 : x - x0 + w] = mask > 0
        if full.sum() < 12:
            continue
        image = metaphase.image[y0:y1, x0:x1].astype(np.float16)
        found.append(Chromosome(image, full, CLASSES.index(class_), UNKNOWN, metaphase.source, group))
    return found


class ChromosomeViews(Dataset):
    """Views of chromosomes: varied in training (`seed` given), plain otherwise.

    Each item is ``(view (1, H, W) float32, label int64, polarity float32)``; polarity is 1 where the short arm is up
    in the view, 0 where it is down, -1 where it is not known.

    Parameters
    ----------
    chromosomes : list of Chromosome
    seed : int or None
    settings : mapping, optional
        From `cellscope.assays.karyotype.classify.views.view_settings`.
    vary : str
        ``full``: pose, shape, mask and tone; ``flips``: half turns and mirror images alone, as in the paper.
    """

    def __init__(
        self,
        chromosomes: list[Chromosome],
        *,
        seed: int | None,
        settings: Mapping[str, Any] | None = None,
        vary: str = "full",
    ):
        self.chromosomes, self.seed = chromosomes, seed
        self.settings, self.vary = settings or view_settings(), vary

    def __len__(self) -> int:
        return len(self.chromosomes)

    def __getitem__(self, key: Any) -> tuple[torch.Tensor, int, float]:
        """Give one view; in training the key is (index, draw)."""
        if self.seed is None:
            chromosome = self.chromosomes[key]
            view = view_of(chromosome.image.astype(np.float32), chromosome.mask, self.settings)
            return torch.from_numpy(view)[None], chromosome.label, polarity_of(chromosome)
        index, draw = key
        chromosome = self.chromosomes[index]
        image = chromosome.image.astype(np.float32)
        rng = np.random.default_rng([self.seed, draw])
        half_turn, mirror = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
        up = polarity_of(chromosome)
        if self.vary == "flips":
            view = view_of(image, chromosome.mask, self.settings, half_turn=half_turn, mirror=mirror)
        else:
            view = view_of(
                image,
                vary_mask(chromosome.mask, rng),
                self.settings,
                half_turn=half_turn,
                mirror=mirror,
                extra_angle=float(rng.normal(0, 0.12)),
                zoom=float(np.exp(rng.normal(-0.03, 0.08))),
                shift=(float(rng.normal(0, 1.5)), float(rng.normal(0, 1.5))),
            )
            view = bend(view, rng) if rng.random() < 0.5 else view
            inside = view > 0
            view = vary_tone(view, rng) * inside
        if up >= 0 and half_turn:
            up = 1.0 - up
        return torch.from_numpy(view)[None], chromosome.label, up


def polarity_of(chromosome: Chromosome) -> float:
    """Tell whether the short arm is up in the plain view: 1 or 0, -1 where it is not known.

    `main_axis` points its axis downwards in the image, so the view shows a chromosome as it was stored.
    """
    return float(chromosome.short_arm_up) if chromosome.short_arm_up != UNKNOWN else -1.0


def vary_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grow, shrink or bite a mask as an imperfect segmentation does; never to less than half."""
    choice = rng.random()
    if choice < 0.5:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    padded = mask.astype(np.uint8)
    if choice < 0.65:
        varied = cv2.dilate(padded, kernel)
    elif choice < 0.8:
        varied = cv2.erode(padded, kernel)
    else:
        rows, columns = np.nonzero(mask)
        pick = rng.integers(len(rows))
        radius = max(1, round(rng.uniform(0.05, 0.2) * np.sqrt(mask.sum())))
        varied = cv2.circle(padded.copy(), (int(columns[pick]), int(rows[pick])), radius, int(rng.random() < 0.5), -1)
    return varied.astype(bool) if varied.sum() > 0.5 * mask.sum() else mask


def bend(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift rows sideways along a smooth curve and stretch them a little: chromosomes bend and contract unevenly."""
    height, width = view.shape
    t = np.linspace(-1, 1, height, dtype=np.float32)
    sideways = rng.normal(0, 3.0) * (t**2 - 1 / 3) + rng.normal(0, 1.0) * t**3
    along = rng.normal(0, 2.5) * (1 - t**2)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        view, columns + sideways[:, None].astype(np.float32), rows + along[:, None].astype(np.float32), cv2.INTER_LINEAR
    )
