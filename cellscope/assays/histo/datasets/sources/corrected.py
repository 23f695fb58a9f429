"""A run that a person reviewed: images, and regions of slides, with the nuclei and types that stand there now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.datasets.sources.tissue_record import (
    Annotated,
    Choices,
    Record,
    Source,
    colour,
    group_of,
    open_image,
)
from cellscope.errors import DatasetError, InputError
from cellscope.imaging.polygons import mask_of, rings
from cellscope.imaging.regions import Regions
from cellscope.io.annotations.geojson import class_of, features
from cellscope.io.corrections import Reviewed, is_corrected_run, reviewed_images, run_facts
from cellscope.io.wsi import Slide, open_slide

SLIDE = "slide"
LARGEST = 2048
"""Longest side of an item cut from a slide, its own pixels; larger regions become several items."""

Box = tuple[int, int, int, int]


def detect(folder: Path) -> bool:
    """Tell whether `folder` is a run of histo with corrections."""
    return is_corrected_run(folder, "histo")


def read(folder: Path, _choices: Choices) -> Source:
    """List the images that were marked as reviewed, and of slides the regions around what was looked at.

    The types are those of the run's model. A TCGA case in a name groups, else the images of one sub-folder, else the
    image.

    Raises
    ------
    DatasetError
        No image was reviewed, or one is not there; a slide has no region.
    """
    models, run = run_facts(folder)
    names = tuple(next((one["classes"] for one in models if one["part"] == PART), ()))
    typed = names if len(names) > 1 else ()
    records: list[Record] = []
    for one in reviewed_images(folder):
        inner = PurePosixPath(one.image).with_suffix("")
        group = group_of(inner.name)
        group = str(inner.parent) if group == inner.name and len(inner.parts) > 1 else group
        load = partial(_image, one, _outlines(one), typed)
        name = "-".join(inner.parts)
        if one.kind != SLIDE:
            records.append(Record(name, one.path, load, group))
            continue
        for number, (region, box) in enumerate(_boxes(one), 1):
            cut = partial(_window, one, _outlines(one), typed, region, box, run.get("pixel_size"))
            records.append(Record(f"{name}-{number}", one.path, cut, group))
    return Source(records, typed, run.get("pixel_size"))


def _outlines(one: Reviewed) -> Path:
    found = one.file(".geojson") or one.file(".geojson.gz")
    if found is None:
        raise DatasetError(f"{one.image}: its GeoJSON is not there")
    return found


def _boxes(one: Reviewed) -> Iterator[tuple[Regions, Box]]:
    """Cut the regions of a slide into boxes (top, left, bottom, right) within it."""
    regions = [outline for edit in one.edits for outline in edit.get("regions", ())]
    if not regions:
        raise DatasetError(
            f"{one.image}: no region says what was looked at; draw an annotation around it in QuPath and give the "
            "file to `cellscope review --corrections`"
        )
    slide = _slide(one)
    for outline in regions:
        polygon = tuple(np.asarray(ring, float) for ring in outline)
        low, high = polygon[0].min(0), polygon[0].max(0)
        left, top = (max(int(np.floor(edge)), 0) for edge in low)
        right, bottom = (
            min(int(np.ceil(edge)), size) for edge, size in zip(high, (slide.width, slide.height), strict=True)
        )
        if left >= right or top >= bottom:
            raise DatasetError(f"{one.image}: a region lies outside the slide ({slide.width} x {slide.height} pixels)")
        for y in range(top, bottom, LARGEST):
            for x in range(left, right, LARGEST):
                yield Regions([polygon]), (y, x, min(y + LARGEST, bottom), min(x + LARGEST, right))


def _slide(one: Reviewed) -> Slide:
    try:
        slide = open_slide(one.path)
    except InputError as error:
        raise DatasetError(str(error)) from error
    if slide is None:
        raise DatasetError(f"{one.path} is no slide any more")
    return slide


def _image(one: Reviewed, outlines: Path, classes: tuple[str, ...]) -> Annotated:
    picture = open_image(one.path)
    pixels = colour(picture, one.path)
    labels, types = _drawn(outlines, (0, 0, *pixels.shape[:2]), classes)
    return Annotated(pixels, labels, types, picture.pixel_size_um)


def _window(
    one: Reviewed, outlines: Path, classes: tuple[str, ...], region: Regions, box: Box, pixel_size_um: float | None
) -> Annotated:
    """Read a box of a slide."""
    top, left, bottom, right = box
    try:
        slide = _slide(one)
        reader = slide.open()
        try:
            pixels = reader.read(0, top, left, bottom - top, right - left)
        finally:
            reader.close()
    except InputError as error:
        raise DatasetError(str(error)) from error
    labels, types = _drawn(outlines, (top, left, bottom, right), classes)
    moved = Regions([tuple(ring - (left, top) for ring in polygon) for polygon in region.polygons])
    inside = moved.mask((bottom - top, right - left), 1.0)
    whole, kept = (np.bincount(each, minlength=int(labels.max()) + 1) for each in (labels.ravel(), labels[inside]))
    cut = (2 * kept < whole)[labels] & (labels > 0)
    labels[cut] = 0  # a nucleus that the region cuts is whole, or not there; what is inside of it is no background
    return Annotated(pixels, labels, types, pixel_size_um or slide.pixel_size_um, ~inside | cut)


def _drawn(path: Path, box: Box, classes: tuple[str, ...]) -> tuple[np.ndarray, dict[int, str] | None]:
    """Draw the nuclei that reach into a box, numbered 1..N; their types, None without `classes`."""
    top, left, bottom, right = box
    labels = np.zeros((bottom - top, right - left), np.int32)
    types: dict[int, str] = {}
    number = 0
    for one in features(path):
        outline: list[Any] = rings(one["geometry"])
        points = np.concatenate([np.asarray(ring, float) for ring in outline])
        if (points.min(0) >= (right, bottom)).any() or (points.max(0) <= (left, top)).any():
            continue
        mask, (row, column) = mask_of(outline)
        row, column = row - top, column - left
        window = labels[max(row, 0) : max(row + mask.shape[0], 0), max(column, 0) : max(column + mask.shape[1], 0)]
        inside = mask[max(-row, 0) :, max(-column, 0) :][: window.shape[0], : window.shape[1]]
        if inside.any():
            number += 1
            window[inside] = number
            if class_of(one) in classes:
                types[number] = class_of(one)
    return labels, types if classes else None
