"""Generated metaphases with known truth, and writers for the layouts that ``cellscope karyotype prepare`` reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

AUTOSOMES = tuple(map(str, range(1, 23)))
CLASSES = (*AUTOSOMES, "X", "Y")
SHAPE = (256, 320)
WIDTH = 7.0


@dataclass
class Generated:
    """A metaphase: ``pixels`` (H, W) uint8, one whole-image mask (H, W) bool and one class name per chromosome."""

    name: str
    pixels: np.ndarray
    masks: list[np.ndarray]
    classes: list[str]
    inverted: bool

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) x0, y0, x1, y1."""
        found = []
        for mask in self.masks:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        return np.array(found, float)


def karyotype(sex: str = "XY") -> list[str]:
    """The 46 classes of a normal cell."""
    return [name for name in AUTOSOMES for _ in range(2)] + list(sex)


def length_of(class_: str) -> float:
    """Length in pixels: the first chromosome is the longest."""
    return {"X": 27.0, "Y": 13.0}.get(class_) or 35.0 - int(class_)


def rod(
    shape: tuple[int, int],
    centre: tuple[float, float],
    angle: float,
    length: float,
    width: float = WIDTH,
    bands: int | None = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a rod with round ends.

    Parameters
    ----------
    centre : (x, y)
    angle : radians from the vertical (down) towards the right
    bands : seed of the band pattern along it; None draws it plain

    Returns
    -------
    mask : (H, W) bool
    brightness : (H, W) float32 in [0, 1], 0 outside the mask
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = columns - centre[0], rows - centre[1]
    along = x * np.sin(angle) + y * np.cos(angle)
    across = x * np.cos(angle) - y * np.sin(angle)
    reach = max(length / 2 - width / 2, 0)
    mask = np.hypot(np.maximum(np.abs(along) - reach, 0), across) <= width / 2
    level = np.ones(shape)
    if bands is not None:
        profile = np.random.default_rng(bands).uniform(0.5, 1.0, max(int(length / 4), 2))
        level = np.interp(along, np.linspace(-length / 2, length / 2, len(profile)), profile)
    return mask, (level * mask).astype(np.float32)


def metaphase(
    seed: int,
    *,
    sex: str = "XY",
    classes: list[str] | None = None,
    inverted: bool = False,
    crossing: int = 2,
    touching: int = 2,
    shape: tuple[int, int] = SHAPE,
) -> Generated:
    """Scatter banded chromosomes over an image; the first ones cross or touch their neighbours.

    `inverted` gives dark chromosomes on a bright background.
    """
    rng = np.random.default_rng(seed)
    names = list(classes if classes is not None else karyotype(sex))
    rng.shuffle(names)
    rows, columns = 6, 8
    assert len(names) <= rows * columns
    step = np.array([shape[1] / columns, shape[0] / rows])
    centres = [
        step * (column + 0.5, row + 0.5) + rng.uniform(-1.5, 1.5, 2) for row in range(rows) for column in range(columns)
    ]
    angles = rng.uniform(0, np.pi, len(names))
    for pair in range(crossing + touching):
        first, second = 2 * pair, 2 * pair + 1
        if second >= len(names):
            break
        if pair < crossing:
            angles[second] = angles[first] + np.pi / 2
            centres[second] = centres[first] + rng.uniform(-1, 1, 2)
        else:
            angles[second] = angles[first]
            aside = np.array([np.cos(angles[first]), -np.sin(angles[first])])
            centres[second] = centres[first] + aside * (WIDTH + 0.5)
    image = np.zeros(shape, np.float32)
    masks = []
    for name, centre, angle in zip(names, centres, angles, strict=False):
        mask, level = rod(shape, tuple(centre), float(angle), length_of(name), bands=CLASSES.index(name))
        masks.append(mask)
        image = np.maximum(image, 0.35 * mask + 0.65 * level)
    image = cv2.GaussianBlur(image, (0, 0), 0.6) * 190 + 25 + rng.normal(0, 2.0, shape)
    pixels = np.clip(np.rint(255 - image if inverted else image), 0, 255).astype(np.uint8)
    return Generated(f"cell{seed:02d}", pixels, masks, names, inverted)


def single(class_: str, seed: int = 0, *, inverted: bool = False, shape: tuple[int, int] = (48, 32)) -> np.ndarray:
    """Draw an image of one chromosome: (H, W) uint8."""
    rng = np.random.default_rng([seed, CLASSES.index(class_)])
    centre = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    mask, level = rod(shape, centre, float(rng.normal(0, 0.15)), length_of(class_), bands=CLASSES.index(class_))
    image = cv2.GaussianBlur(0.35 * mask + 0.65 * level, (0, 0), 0.6) * 190 + 25 + rng.normal(0, 2.0, shape)
    return np.clip(np.rint(255 - image if inverted else image), 0, 255).astype(np.uint8)


def write_coco(
    folder: Path,
    metaphases: list[Generated],
    *,
    style: str = "rle",
    singles: int = 0,
    per_cell: int = 46,
    groups: list[str] | None = None,
) -> None:
    """Write COCO annotation, images and, for the first `singles` metaphases, single chromosomes as BioImLab has them.

    Parameters
    ----------
    style : ``rle``, ``polygon`` or ``boxes``
    per_cell : how many of a cell's single chromosomes, spread over the classes
    groups : the ``group`` of each image; by default each its own
    """
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, each in enumerate(metaphases, 1):
        cv2.imwrite(str(folder / "images" / f"{each.name}.png"), each.pixels)
        entry = {
            "id": number,
            "file_name": f"{each.name}.png",
            "height": each.pixels.shape[0],
            "width": each.pixels.shape[1],
        }
        if groups is not None:
            entry["group"] = groups[number - 1]
        if singles:
            entry["patient_cell"] = str(number) if number <= singles else None
        images.append(entry)
        for mask, class_, box in zip(each.masks, each.classes, each.boxes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CLASSES.index(class_) + 1,
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "segmentation": encode(mask, style),
                }
            )
        if 0 < number <= singles:
            cell = folder / "single" / str(number)
            cell.mkdir(parents=True)
            names = karyotype("XY" if "Y" in each.classes else "XX")
            for index in np.unique(np.linspace(0, len(names) - 1, per_cell).round().astype(int)).tolist():
                class_ = names[index]
                cv2.imwrite(
                    str(cell / f"{number} {class_}{'ab'[index % 2]}.bmp"), single(class_, seed=100 * number + index)
                )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def encode(mask: np.ndarray, style: str) -> object:
    """Give a mask as COCO's ``segmentation``."""
    if style == "boxes":
        return []
    if style == "polygon":
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        # COCO's polygons run along pixel edges, OpenCV's contours through pixel centres.
        return [(contour.reshape(-1, 2) + 0.5).ravel().tolist() for contour in contours]
    coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": coded["counts"].decode("ascii")}


def write_adir(folder: Path, metaphases: list[Generated]) -> None:
    """Write ``dapi/*.png`` and ``classmap/*.png``: 1..24, 255 where chromosomes overlap."""
    for name in ("dapi", "classmap"):
        (folder / name).mkdir(parents=True)
    for index, each in enumerate(metaphases):
        cv2.imwrite(str(folder / "dapi" / f"V{index:02d}01XY.png"), each.pixels)
        covered = np.sum(each.masks, axis=0)
        class_map = np.zeros(each.pixels.shape, np.uint8)
        for mask, class_ in zip(each.masks, each.classes, strict=True):
            class_map[mask] = CLASSES.index(class_) + 1
        class_map[covered > 1] = 255
        cv2.imwrite(str(folder / "classmap" / f"V{index:02d}01XY.png"), class_map)


def write_class_folders(folder: Path, cells: dict[str, list[str]], *, inverted: bool = True) -> None:
    """Write ``<cell>/<class>/<n>.png`` single chromosomes."""
    for number, (cell, names) in enumerate(cells.items()):
        for index, class_ in enumerate(names):
            place = folder / cell / class_
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f"{index}.png"), single(class_, seed=100 * number + index, inverted=inverted))


def write_karyonet(folder: Path) -> None:
    """Write single chromosomes named by cell, class and number, in ``Gband`` and ``Rband``, ``train`` and ``val``."""
    for band, cell in (("Gband", "001_A1_slide0_cel"), ("Rband", "18-1473.0013")):
        for class_ in ("7", "23"):
            place = folder / "singles" / band / "train" / class_
            place.mkdir(parents=True)
            cv2.imwrite(str(place / f"{cell}_{class_}_101.jpg"), single("X" if class_ == "23" else class_))
        place = folder / "singles" / band / "val" / f"{cell}5"
        place.mkdir(parents=True)
        cv2.imwrite(str(place / f"{cell}5_24_7.jpg"), single("Y"))


def write_clusters(folder: Path) -> None:
    """Write ``images/<case>/{chromosome,cluster}/1.TIF``."""
    for case, kind in (("case1", "chromosome"), ("case1", "cluster"), ("case2", "chromosome")):
        (folder / "images" / case / kind).mkdir(parents=True)
        cv2.imwrite(str(folder / "images" / case / kind / "1.TIF"), single("3"))
