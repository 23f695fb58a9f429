"""A finished run as exports see it: its tables, and of every image the outlines, the pixels and the pixel size.

Where a person corrected the run, tables and outlines are the corrected ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.errors import InputError, UsageError
from cellscope.imaging.polygons import outline, outlines
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.rle import check_size, decode, parse_counts
from cellscope.io.corrections import FOLDER, artefact, read_corrections
from cellscope.io.document import read_json
from cellscope.io.inputs import stem
from cellscope.results import Run

COCO, LABELS, CELLS, MICRONUCLEI = ".coco.json", ".labels.tif", ".cells.tif", ".micronuclei.tif"
FIRST = {"karyotype": "chromosomes"}
"""What the objects of an assay are called; of the others, ``nuclei``."""

SINGULAR = {"chromosomes": "chromosome", "nuclei": "nucleus", "cells": "cell", "micronuclei": "micronucleus"}


@dataclass(frozen=True, eq=False)
class Mask:
    """One object's pixels.

    Attributes
    ----------
    row, column : int
        Of the first pixel of `pixels` in the image.
    pixels : (h, w) bool
    """

    row: int
    column: int
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Layer:
    """The outlined objects of one sort in an image.

    Attributes
    ----------
    name : str
        ``nuclei``, ``cells``, ``micronuclei`` or ``chromosomes``.
    labels : (H, W) uint16 or uint32
        0 is background. Where objects overlap, the smaller one.
    rows : DataFrame
        What is known of them, with a column ``label``.
    masks : mapping of int to Mask
        Label -> the whole mask, of objects that may overlap; empty for others, whose pixels `labels` has.
    """

    name: str
    labels: np.ndarray
    rows: pd.DataFrame
    masks: Mapping[int, Mask] = field(default_factory=dict)

    @property
    def singular(self) -> str:
        """What one of them is called."""
        return SINGULAR[self.name]

    def outlines(self) -> dict[int, dict[str, Any]]:
        """Trace every object: label -> GeoJSON geometry, x right and y down, pixel (0, 0) spans 0 to 1."""
        if self.masks:
            return {label: outline(mask.pixels, (mask.row, mask.column)) for label, mask in self.masks.items()}
        return outlines(self.labels)


@dataclass(frozen=True, eq=False)
class ExportedImage:
    """One image of a run; those that failed are none.

    Attributes
    ----------
    name : str
        The contract's ``image``.
    path : Path
        Where the image was when the run read it.
    kind : str
    rows : DataFrame
        Its rows of ``objects.csv``.
    pixel_size_um : float, optional
        What the measurements in µm were made with.
    """

    name: str
    path: Path
    kind: str
    rows: pd.DataFrame
    pixel_size_um: float | None
    results: Results

    def file(self, suffix: str) -> Path | None:
        """Find an artefact, the corrected one where there is one; None for none."""
        return self.results.file(self.name, suffix)

    def layers(self) -> list[Layer]:
        """Read the outlined objects, those of ``objects.csv`` first; nothing where nothing is outlined.

        Raises
        ------
        InputError, UsageError
            A file is damaged, or too large to be held.
        """
        path = self.file(LABELS)
        if path is None:
            return []
        first = FIRST.get(self.results.assay, "nuclei")
        labels = read_label_image(path).values
        coco = self.file(COCO)
        found = [Layer(first, labels, self.rows, {} if coco is None else _masks(coco))]
        for suffix, name in ((CELLS, "cells"), (MICRONUCLEI, "micronuclei")):
            if (beside := self.file(suffix)) is not None:
                rows = self.rows if suffix == CELLS else self.results.rows_of(name, self.name)
                found.append(Layer(name, read_label_image(beside).values, rows))
        return found

    def pixels(self) -> np.ndarray:
        """Read the image as the run read it: (H, W, C) uint8, uint16 or float32.

        Raises
        ------
        InputError
            It is not where it was, or cannot be read.
        """
        return self.results.pixels(self)


class Results:
    """A finished run of ``predict`` (or ``measure``, ``render``), with its corrections.

    Parameters
    ----------
    out : Path
    images : Path, optional
        Folder of the images, or the image, if they were moved.

    Raises
    ------
    UsageError
        No finished run.
    """

    def __init__(self, out: Path, images: Path | None = None):
        self.run = Run(out)
        if not isinstance(self.run.record.get("inputs"), list) or not (out / "objects.csv").is_file():
            hint = "merge its shards first" if (out / "shards").is_dir() else "give the output folder of `predict`"
            raise UsageError(f"{out} holds no results of images; {hint}")
        self.out = out
        self.assay: str = self.run.record["assay"]
        self._images = images
        edited = {image for image, one in read_corrections(out).items() if one.edits}
        self.corrected = sorted(edited)
        tables = out / FOLDER
        if edited and not (tables / "objects.csv").is_file():
            raise UsageError(f"{out}: corrections are not written yet; open it once more with cellscope review")
        self._tables = Run(tables) if edited else self.run

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the run by its name, ``images`` and ``objects`` first; ``images`` with a column ``path``."""
        there = sorted(found.stem for found in self._tables.out.glob("*.csv"))
        names = ["images", "objects", *(name for name in there if name not in ("images", "objects"))]
        found = {name: self._tables.table(name) for name in names}
        paths = {entry["image"]: entry["path"] for entry in self.run.record["inputs"]}
        found["images"]["path"] = found["images"]["image"].map(paths)
        found["images"]["pixel_size_um"] = [
            self._pixel_size(rows) for rows in map(self._objects_of, found["images"]["image"])
        ]
        return found

    @property
    def classes(self) -> list[str]:
        """The classes of the run's objects, in the order of its models, then those only a person or a rule gives."""
        told = [name for model in self.run.record["models"] for name in model["classes"]]
        seen = set(self._tables.table("objects")["class"].dropna())
        ordered = [name for name in dict.fromkeys(told) if name in seen]
        return [*ordered, *sorted(seen - set(ordered))]

    def __iter__(self) -> Iterator[ExportedImage]:
        """Give the images one by one, without those that failed."""
        kinds = self._tables.table("images").set_index("image")["kind"].fillna("")
        for entry in self.run.record["inputs"]:
            if entry["status"] == "failed":
                continue
            image = entry["image"]
            rows = self._objects_of(image)
            yield ExportedImage(
                image, Path(entry["path"]), str(kinds[image]), rows, self._pixel_size(rows), results=self
            )  # fmt: skip

    def file(self, image: str, suffix: str) -> Path | None:
        """Find an artefact of an image; None for none."""
        return artefact(self.out / FOLDER if image in self.corrected else self.out, self.out, image, suffix)

    def rows_of(self, table: str, image: str) -> pd.DataFrame:
        """Give the rows of another table that are an image's."""
        frame = self._tables.table(table)
        return frame[frame["image"] == image].reset_index(drop=True)

    @cached_property
    def _by_image(self) -> dict[str, pd.DataFrame]:
        return dict(iter(self._tables.table("objects").groupby("image", sort=False)))

    def _objects_of(self, image: str) -> pd.DataFrame:
        rows = self._by_image.get(image)
        return self._tables.table("objects").iloc[:0] if rows is None else rows.reset_index(drop=True)

    def _pixel_size(self, rows: pd.DataFrame) -> float | None:
        """Give the pixel size behind the measurements in µm, from the largest object: tables hold six digits."""
        if "area_um2" in rows and rows["area_um2"].notna().any():
            largest = rows.loc[rows["area_um2"].idxmax()]
            return float(f"{math.sqrt(largest['area_um2'] / largest['area']):.5g}")
        given = self.run.record["options"].get("run", {}).get("pixel_size")
        return float(given) if given else None

    def pixels(self, image: ExportedImage) -> np.ndarray:
        """Read an image again; errors as of `ExportedImage.pixels`."""
        from cellscope.engine.predict.again import read_again

        entry = next(one for one in self.run.record["inputs"] if one["image"] == image.name)
        pixels: np.ndarray = read_again(self.run.record, entry, images=self._images).pixels
        return pixels if pixels.ndim == 3 else pixels[..., None]


def _masks(path: Path) -> dict[int, Mask]:
    """Read the whole masks of a ``coco.json`` of `predict`."""
    found = {}
    for one in read_json(path)["annotations"]:
        try:
            height, width = check_size(one["segmentation"]["size"])
            whole = decode(parse_counts(one["segmentation"]["counts"]), height, width)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}); run predict again") from None
        rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
        if len(rows):
            part = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            found[int(one["id"])] = Mask(int(rows[0]), int(columns[0]), part.copy())
    return found


def part_names(results: Results, ending: str) -> dict[str, str]:
    """Name a file or folder per image, below the export's: ``day1/a.tif`` -> ``day1/a<ending>``."""
    return {image.name: f"{stem(image.name)}{ending}" for image in results}
