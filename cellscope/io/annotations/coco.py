"""COCO annotation files: one or several, beside ``images`` or in ``annotations``, from whatever exported them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import DatasetError
from cellscope.io.annotations import checks, rle
from cellscope.io.annotations.boxes import refuse_corners
from cellscope.io.annotations.checks import Fault, TooFew
from cellscope.io.annotations.document import load_json
from cellscope.io.annotations.names import Images
from cellscope.io.annotations.outline import AnnotatedImage, CocoPolygons, Geometry, Outline, Runs
from cellscope.io.annotations.places import image_files, json_files
from cellscope.io.annotations.tally import drop, note
from cellscope.io.text import one_line

KEYS = frozenset({"images", "annotations", "categories"})
NAME_KEYS = ("file_name", "filename", "path")


def is_coco(content: Any) -> bool:
    """Tell whether JSON is COCO."""
    return isinstance(content, dict) and content.keys() >= KEYS


def detect(source: Path) -> bool:
    """Tell whether `source` holds COCO annotations."""
    return bool(json_files(source, is_coco, '"annotations"'))


def read(source: Path) -> list[AnnotatedImage]:
    """Read all COCO files of a folder.

    Returns
    -------
    list of AnnotatedImage
        In the files' order. Crowds are marked; boxes are kept beside masks.

    Raises
    ------
    DatasetError
        Naming the file and, where it is one, the annotation.
    """
    files = json_files(source, is_coco, '"annotations"')
    folder = source if source.is_dir() else source.parent
    images = Images(folder, image_files(folder))
    found: list[AnnotatedImage] = []
    first: dict[Path, Path] = {}
    for path in files:
        for one in _read_file(path, images):
            if first.get(one.path) == path:
                raise DatasetError(f"{one_line(path)}: lists the image {one_line(one.path.name)} twice; keep one")
            if one.path in first:
                raise DatasetError(
                    f"{one_line(one.path.name)} is annotated twice, in {one_line(first[one.path].name)} and in "
                    f"{one_line(path.name)}; keep one of the two"
                )
            first[one.path] = path
            found.append(one)
    if len(files) > 1:
        note(f"{len(files)} COCO files are read together: {', '.join(one_line(path.name) for path in files)}")
    if images.unnamed and found:
        names = ", ".join(one_line(path.name) for path in images.unnamed[:3])
        note(f"{len(images.unnamed)} images are in no COCO file and left out: {names}")
    return found


def _read_file(path: Path, images: Images) -> list[AnnotatedImage]:
    content = load_json(path)
    if not is_coco(content) or not all(isinstance(content[name], list) for name in KEYS):
        raise DatasetError(f"{one_line(path)}: is not COCO, which has lists of images, annotations and categories")
    names = _categories(content["categories"], path)
    listed = _images(content["images"], path)
    belonging: dict[Any, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    orphans: list[Any] = []
    for place, annotation in enumerate(content["annotations"], 1):
        if not isinstance(annotation, dict):
            raise DatasetError(f"{one_line(path)}: annotation number {place} is not an object")
        name = f"annotation {one_line(str(annotation.get('id', f'number {place}')))[:40]}"
        image = _id(annotation.get("image_id"))
        if image is None:
            held = ", ".join(sorted(map(str, annotation))[:8])
            raise DatasetError(f"{one_line(path)}: {name} has no image_id (it has {one_line(held)})")
        if image in listed:
            belonging[image].append((name, annotation))
        else:
            orphans.append(annotation.get("image_id"))
            drop("annotations of an image_id that is not among the file's images", path, f"{name}, image_id {image}")
    if orphans and not belonging:
        known = ", ".join(map(str, list(listed)[:3]))
        raise DatasetError(
            f"{one_line(path)}: no annotation belongs to an image of the file: their image_id is "
            f"{one_line(str(orphans[0]))}, the images' ids are {one_line(known)}"
        )
    refuse_corners(content["annotations"], listed, path)
    return [_image(facts, belonging[number], names, images, path) for number, facts in listed.items()]


def _id(value: Any) -> int | str | None:
    """Give an id as what it is compared by: 7, "7" and 7.0 are the same."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 20 else text or None


def _categories(listed: list[Any], path: Path) -> dict[int | str, str]:
    names: dict[int | str, str] = {}
    for one in listed:
        number = _id(one.get("id")) if isinstance(one, dict) else None
        if number is None or not str(one.get("name") or "").strip():
            raise DatasetError(f"{one_line(path)}: a category has no id or no name: {one_line(str(one))[:80]}")
        if names.setdefault(number, str(one["name"])) != str(one["name"]):
            raise DatasetError(
                f"{one_line(path)}: the category id {number} stands for {one_line(names[number])} and "
                f"{one_line(str(one['name']))}; give each its own"
            )
    return names


def _images(listed: list[Any], path: Path) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for one in listed:
        number = _id(one.get("id")) if isinstance(one, dict) else None
        name = next((one[key] for key in NAME_KEYS if one.get(key)), None) if isinstance(one, dict) else None
        if number is None or not isinstance(name, str):
            raise DatasetError(f"{one_line(path)}: an image has no id or no file_name: {one_line(str(one))[:80]}")
        if number in found:
            raise DatasetError(
                f"{one_line(path)}: two images have the id {number} ({one_line(found[number]['file_name'])} and "
                f"{one_line(name)}); their annotations cannot be told apart"
            )
        found[number] = {**one, "file_name": name}
    return found


def _image(
    facts: dict[str, Any],
    annotations: list[tuple[str, dict[str, Any]]],
    names: dict[int | str, str],
    images: Images,
    path: Path,
) -> AnnotatedImage:
    image = images.find(facts["file_name"], path)
    width, height = facts.get("width"), facts.get("height")
    stated = (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None
    outlines = []
    for name, annotation in annotations:
        try:
            outlines.append(_outline(name, annotation, names, stated))
        except TooFew as error:
            drop(str(error), path, f"{name} of {one_line(image.name)}")
        except Fault as error:
            raise DatasetError(f"{one_line(path)}: {name} ({one_line(image.name)}): {error}; correct it") from error
    stem = Path(facts["file_name"].replace("\\", "/")).stem
    facts = {
        **facts,
        "categories": [class_ for _, class_ in sorted(names.items(), key=lambda one: str(one[0]).zfill(20))],
    }
    return AnnotatedImage(image, path, _once(outlines, path), stem, stated, facts)


def _once(outlines: list[Outline], path: Path) -> list[Outline]:
    """Keep one of several annotations that are the same: the others would lie hidden below it."""
    seen: set[Any] = set()
    kept = []
    for outline in outlines:
        shape = outline.geometry
        same: Any = shape.polygons if isinstance(shape, CocoPolygons) else (outline.box if shape is None else None)
        if isinstance(shape, Runs):
            same = shape.runs.tobytes()
        if same is not None and (same, outline.class_) in seen:
            drop("the same object twice", path, outline.name)
            continue
        seen.add((same, outline.class_))
        kept.append(outline)
    return kept


def _outline(
    name: str, annotation: dict[str, Any], names: dict[int | str, str], stated: tuple[int, int] | None
) -> Outline:
    category = annotation.get("category_id")
    class_ = ""
    if category is not None:
        number = _id(category)
        if number not in names:
            known = ", ".join(map(str, list(names)[:30]))
            raise Fault(f"has the category {one_line(str(category))}, but declared are {one_line(known)}")
        class_ = names[number]
    crowd = annotation.get("iscrowd") in (1, "1", True)
    box = None
    if annotation.get("bbox"):
        given = annotation["bbox"]
        if not isinstance(given, list) or len(given) != 4:
            raise Fault("its bbox is not a list of x, y, width and height")
        x, y, width, height = (checks.number(value, "bbox") for value in given)
        box = (x, y, width, height)
    geometry = _geometry(annotation.get("segmentation"), stated)
    if geometry is None and box is not None and (box[2] <= 0 or box[3] <= 0):
        raise Fault("its bbox has no width or no height")
    if geometry is None and box is None:
        raise Fault("has neither an outline (segmentation) nor a bbox")
    return Outline(name, class_, geometry, box, crowd)


def _geometry(segmentation: Any, stated: tuple[int, int] | None) -> Geometry | None:
    """Check a segmentation: polygons, run lengths, or either as a JSON text; None where there is none."""
    if isinstance(segmentation, str):
        try:
            segmentation = json.loads(segmentation)
        except (ValueError, RecursionError) as error:
            raise Fault("its segmentation is a text that is no JSON") from error
    if isinstance(segmentation, dict):
        try:
            height, width = rle.check_size(segmentation.get("size"))
            runs = rle.parse_counts(segmentation.get("counts"))
            if stated is not None and stated != (width, height):
                raise ValueError(f"are those of an image of {width} x {height} pixels, not {stated[0]} x {stated[1]}")
            if int(runs.sum()) != height * width:
                raise ValueError(f"add up to {int(runs.sum())} pixels, but its size is {width} x {height}")
        except ValueError as error:
            raise Fault(f"its run lengths {error}") from error
        return Runs(runs, (height, width))
    if not segmentation:
        return None
    if not isinstance(segmentation, list):
        raise Fault(f"its segmentation is neither a list of polygons nor run lengths but {str(segmentation)[:40]!r}")
    if all(isinstance(value, (int, float)) for value in segmentation):
        segmentation = [segmentation]  # one flat list in place of a list of polygons
    elif all(isinstance(value, list) and len(value) == 2 and not _nested(value) for value in segmentation):
        segmentation = [segmentation]  # one polygon as pairs
    kept = []
    for polygon in segmentation:
        if not isinstance(polygon, list):
            raise Fault("its segmentation mixes lists and numbers")
        flat = polygon if not _nested(polygon) else [value for point in polygon for value in _pair(point)]
        if len(flat) % 2:
            raise Fault("its outline has an odd number of values; x and y belong together")
        if len(flat) < 6:
            continue
        kept.append(tuple(checks.numbers(flat).tolist()) if any(map(_odd, flat)) else tuple(_checked(flat)))
    if not kept:
        raise TooFew
    return CocoPolygons(tuple(kept))


def _nested(values: list[Any]) -> bool:
    return any(isinstance(value, (list, dict)) for value in values)


def _pair(point: Any) -> list[Any]:
    if isinstance(point, dict) and {"x", "y"} <= point.keys():
        return [point["x"], point["y"]]
    if isinstance(point, list) and len(point) == 2 and not _nested(point):
        return point
    raise Fault("its outline holds something other than points with x and y")


def _odd(value: Any) -> bool:
    return not isinstance(value, (int, float)) or isinstance(value, bool)


def _checked(flat: list[Any]) -> list[float]:
    checks.numbers(flat)
    return [float(value) for value in np.asarray(flat, float)]
