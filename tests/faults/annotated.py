"""The same two nuclei in every format of outlines."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellscope.io.write import write_png

BOXES = {"tumour": (10, 10, 30, 26), "stroma": (40, 8, 52, 40)}
SHAPE = (48, 64)


def _ring(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def write(name: str, folder: Path) -> list[Path]:
    """Write images and annotations; give the annotations."""
    if name == "coco-karyotype":
        from drawn.karyotype import metaphase, write_coco

        write_coco(folder, [metaphase(1), metaphase(2)], per_cell=4)
        return sorted(folder.rglob("*.json"))
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    for image in ("a", "b"):
        write_png(folder / f"images/{image}.png", pixels[:: 1 if image == "a" else -1])
    return [path for image in ("a", "b") for path in _WRITERS[name](folder, image)]


def _json(path: Path, content: Any) -> list[Path]:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return [path]


def _geojson(folder: Path, image: str) -> list[Path]:
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*_ring(*box), _ring(*box)[0]]]},
         "properties": {"objectType": "annotation", "classification": {"name": name}}}
        for name, box in BOXES.items()
    ]  # fmt: skip
    text = json.dumps({"type": "FeatureCollection", "features": features})
    if image == "a":
        (folder / "images/a.geojson.gz").write_bytes(gzip.compress(text.encode()))
        return [folder / "images/a.geojson.gz"]
    (folder / "images/b.geojson").write_text(text)
    return [folder / "images/b.geojson"]


def _labelme(folder: Path, image: str) -> list[Path]:
    (first, one), (second, two) = BOXES.items()
    mask = cv2.imencode(".png", np.ones((33, 13), np.uint8) * 255)[1].tobytes()
    shapes = [
        {"label": first, "points": _ring(*one), "shape_type": "polygon"},
        {"label": second, "points": [[two[0], two[1]], [two[2], two[3]]], "shape_type": "mask",
         "mask": base64.b64encode(mask).decode()},
        {"label": "round", "points": [[5, 40], [8, 40]], "shape_type": "circle"},
    ]  # fmt: skip
    content = {"version": "5.4", "shapes": shapes, "imagePath": f"{image}.png", "imageWidth": 64, "imageHeight": 48}
    return _json(folder / f"images/{image}.json", content)


def _via(folder: Path, image: str) -> list[Path]:
    points = np.array(_ring(*BOXES["tumour"]))
    shapes = [
        {"name": "polygon", "all_points_x": points[:, 0].tolist(), "all_points_y": points[:, 1].tolist()},
        {"name": "rect", "x": 40, "y": 8, "width": 12, "height": 32},
        {"name": "ellipse", "cx": 8, "cy": 38, "rx": 4, "ry": 3, "theta": 0.5},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"type": "x"}} for shape in shapes]
    project = {f"{image}.png1": {"filename": f"{image}.png", "size": 1, "regions": regions}}
    return _json(folder / f"via-{image}.json", {"_via_settings": {}, "_via_img_metadata": project})


def _cvat(folder: Path, image: str) -> list[Path]:
    points = ";".join(f"{x}.0,{y}.0" for x, y in _ring(*BOXES["tumour"]))
    path = folder / f"annotations-{image}.xml"
    path.write_text(
        f'<annotations><image id="0" name="{image}.png" width="64" height="48"><polygon label="x" points="{points}"/>'
        '<mask label="y" rle="0, 384" left="40" top="8" width="12" height="32"/><ellipse label="z" cx="8" cy="38" '
        'rx="4" ry="3"/><box label="z" xtl="1" ytl="1" xbr="6" ybr="6"/></image></annotations>'
    )
    return [path]


def _aperio(folder: Path, image: str) -> list[Path]:
    rings = ("".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in _ring(*box)) for box in BOXES.values())
    regions = "".join(f"<Region><Vertices>{ring}</Vertices></Region>" for ring in rings)
    path = folder / f"images/{image}.xml"
    path.write_text(
        f'<Annotations MicronsPerPixel="0.25"><Annotation><Regions>{regions}</Regions></Annotation></Annotations>'
    )
    return [path]


def _imagej(folder: Path, image: str) -> list[Path]:
    import roifile

    rois = [roifile.ImagejRoi.frompoints(np.array(_ring(*box), np.float32)) for box in BOXES.values()]
    roifile.roiwrite(folder / f"images/{image}.zip", rois)
    return [folder / f"images/{image}.zip"]


def _coco(folder: Path, image: str, *, runs: bool) -> list[Path]:
    from pycocotools import mask as pyc

    annotations = []
    for number, (x0, y0, x1, y1) in enumerate(BOXES.values(), 1):
        drawn = np.zeros(SHAPE, np.uint8, order="F")
        drawn[y0:y1, x0:x1] = 1
        encoded = pyc.encode(drawn)
        compressed = {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}
        lengths = [x0 * SHAPE[0] + y0]
        for _ in range(x0, x1):
            lengths += [y1 - y0, SHAPE[0] - (y1 - y0)]
        lengths[-1] += SHAPE[0] * SHAPE[1] - sum(lengths)
        plain = {"size": list(SHAPE), "counts": lengths}
        polygon = [[value for point in _ring(x0, y0, x1, y1) for value in point]]
        annotations.append(
            {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x0, y0, x1 - x0, y1 - y0],
             "area": (x1 - x0) * (y1 - y0),
             "segmentation": (compressed if number == 1 else plain) if runs else polygon}
        )  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": f"{image}.png", "width": SHAPE[1], "height": SHAPE[0]}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "nucleus"}],
    }
    return _json(folder / f"{image}.coco.json", content)


_WRITERS = {
    "geojson": _geojson,
    "labelme": _labelme,
    "via": _via,
    "cvat": _cvat,
    "aperio": _aperio,
    "imagej": _imagej,
    "coco-polygons": lambda folder, image: _coco(folder, image, runs=False),
    "coco-runs": lambda folder, image: _coco(folder, image, runs=True),
}
