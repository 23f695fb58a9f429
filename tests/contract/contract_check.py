"""Check an output folder of ``predict`` against the contract of the design, section 4: ``check`` lists the breaches.

Usable from tests and by hand: ``python contract_check.py ASSAY OUT``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import re
import sys
import uuid
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import tifffile

LAST = ["familiarity", "unfamiliar", "read", "warnings"]
IMAGES = ["image", "status", "error", "kind", "n_objects", "seconds"]
OBJECTS = ["image", "label", "class", "score", "review"]
SUMMARY = {
    "micronucleus": [
        *["n_nuclei", "n_micronucleated", "n_micronuclei"],
        *["mn_frequency", "mn_frequency_low", "mn_frequency_high", "mn_per_nucleus"],
    ],
    "karyotype": [
        *["n_chromosomes", "sex", "iscn_draft", "flags", "probability"],
        *["quality", "spread", "overlap", "focus", "completeness", "certainty", "evidence"],
    ],
    "mitosis": ["n_abnormal", "abnormal_fraction", "abnormal_fraction_low", "abnormal_fraction_high"],
    "nucleus-seg": [
        *["n_review", "n_dropped", "nucleus_diameter", "area_median", "circularity_median"],
        *["nucleus_cell_ratio_median", "shifted_grid_dice", "shifted_grid_count"],
    ],
    "histo": ["n_review", "area_mm2", "density_per_mm2", "shifted_grid_dice", "shifted_grid_count"],
}
PER_CLASS = {"histo": ["n_{}", "{}_per_mm2"]}
"""More columns of images.csv, one of each for every class that has a p_ column."""
BEHIND = {"histo": ["n_unsure"]}
"""Columns of images.csv behind those."""
PLACE = ["centroid-0", "centroid-1", "bbox-0", "bbox-1", "bbox-2", "bbox-3"]
SHAPE = [
    *["area", "axis_major_length", "axis_minor_length", "perimeter", "eccentricity", "solidity", "orientation"],
]
PHYSICAL = ["area_um2", "axis_major_length_um", "axis_minor_length_um", "perimeter_um"]
MEASURES = {
    ("micronucleus", "field"): [
        *["scorable", "n_micronuclei", "corrected", "classifier_probability", "finder_probability"],
        *[*PLACE, *SHAPE, "intensity_mean", *PHYSICAL],
    ],
    ("karyotype", "metaphase"): [
        *[*PLACE[2:], *PLACE[:2], *SHAPE, "intensity_mean", "confidence", "odd_size", "angle_degrees"],
        *["short_arm_up", "touching", "cut_off", "reasons", *PHYSICAL],
    ],
    ("karyotype", "chromosome"): [
        *[*PLACE[2:], *PLACE[:2], *SHAPE, "intensity_mean", "angle_degrees", "short_arm_up", *PHYSICAL],
    ],
    ("mitosis", "sequence"): ["n_frames", "reasons"],
    ("mitosis", "movie"): ["n_frames", "frame", "centroid-0", "centroid-1", "drift", "reasons"],
    ("nucleus-seg", "image"): [
        *[*PLACE, *SHAPE, "intensity_mean_red", "intensity_mean_green", "intensity_mean_blue", "circularity"],
        *["roughness", "n_lobes", "n_parts", "density_mean", "density_std", "texture_contrast"],
        *["texture_homogeneity", "texture_energy", "texture_correlation", "texture_entropy", "cell_area"],
        *["nucleus_cell_ratio", "cut_by_border", *PHYSICAL, "cell_area_um2", "reasons"],
    ],
    ("histo", "image"): [
        *[*PLACE, *SHAPE, "circularity", "haematoxylin_mean", "haematoxylin_std", "eosin_mean", "eosin_std"],
        *["haematoxylin_contrast", "cut_by_border", "reasons", *PHYSICAL],
    ],
}
"""Columns of objects.csv behind the p_ columns, by what an input with objects was taken for."""
MEASURES["nucleus-seg", "slide"] = MEASURES["nucleus-seg", "image"]
MEASURES["histo", "slide"] = MEASURES["histo", "image"]
KINDS = {
    "karyotype": {"metaphase", "chromosome"},
    "micronucleus": {"field", "crop"},
    "mitosis": {"sequence", "movie"},
    "nucleus-seg": {"image", "slide"},
    "histo": {"image", "slide"},
}
ARTEFACTS = {
    ("nucleus-seg", "image"): {".labels.tif", ".overlay.png", ".geojson"},
    ("histo", "image"): {".labels.tif", ".overlay.png", ".geojson"},
    ("nucleus-seg", "slide"): {".overlay.png"},
    ("histo", "slide"): {".overlay.png"},
    ("micronucleus", "field"): {".labels.tif", ".micronuclei.tif", ".overlay.png", ".geojson"},
    ("micronucleus", "crop"): set(),
    ("karyotype", "metaphase"): {".labels.tif", ".overlay.png", ".coco.json", ".karyogram.png", ".karyotype.json"},
    ("karyotype", "chromosome"): set(),
    ("mitosis", "sequence"): {".filmstrip.png"},
}
ONE_OBJECT = {("karyotype", "chromosome"), ("micronucleus", "crop"), ("mitosis", "sequence")}
LOSSY = {("karyotype", "metaphase")}
"""Objects may overlap: the label image cannot show all of every one."""
RUN_KEYS = {
    *["schema", "assay", "argv", "version", "status", "started", "finished", "models", "device", "precision"],
    *["threads", "seed", "options", "environment", "inputs", "counts", "missing"],
}
INPUT_KEYS = {"image", "path", "index", "status", "error", "seconds", "outputs", "warnings"}
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")


def check(assay: str, out: Path, *, artefacts: Path | None = None) -> list[str]:
    """Return the breaches of the contract in a folder, empty when it is kept.

    Parameters
    ----------
    assay
        Its name; an assay this file does not know is checked for what all assays share.
    out
        The folder of the tables.
    artefacts
        OUT itself when `out` is a shard's folder.
    """
    return _Check(assay, Path(out), Path(artefacts or out)).all()


class _Check:
    def __init__(self, assay: str, out: Path, root: Path):
        self.assay, self.out, self.root = assay, out, root
        self.bad: list[str] = []

    def say(self, condition: object, text: str) -> bool:
        if not condition:
            self.bad.append(text)
        return bool(condition)

    def all(self) -> list[str]:
        for name in ("images.csv", "objects.csv", "run.json", "report.html"):
            self.say((self.out / name).is_file(), f"missing {name}")
        if self.bad:
            return self.bad
        self.images, self.columns = _rows(self.out / "images.csv")
        self.objects, self.object_columns = _rows(self.out / "objects.csv")
        try:
            text = (self.out / "run.json").read_text(encoding="utf-8")
            self.run = json.loads(text, parse_constant=lambda name: self.bad.append(f"run.json holds {name}"))
        except ValueError as error:
            return [*self.bad, f"run.json is not JSON: {error}"]
        for part in (self.tables, self.record, self.report, self.files):
            part()
        if not self.bad:
            for row in self.images:
                self.one(row)
        return self.bad

    # ---- the tables

    def tables(self) -> None:
        self.say(self.object_columns[:5] == OBJECTS, f"objects.csv starts with {self.object_columns[:5]}")
        probabilities = [name for name in self.object_columns if name.startswith("p_")]
        self.image_columns([name[2:] for name in probabilities])
        self.say(
            self.object_columns[5 : 5 + len(probabilities)] == probabilities,
            "p_ columns do not follow `review` at once",
        )
        self.measure_columns(self.object_columns[5 + len(probabilities) :])
        for name in (self.columns, self.object_columns):
            self.say(len(set(name)) == len(name), f"a column comes twice: {name}")
        if self.bad:
            return
        names = [row["image"] for row in self.images]
        self.say(len(set(names)) == len(names), "images.csv names an image twice")
        for name in names:
            path = PurePosixPath(name)
            self.say(
                not path.is_absolute() and ".." not in path.parts and "\\" not in name, f"{name!r} is no image name"
            )
        self.numbers = Counter(row["image"] for row in self.objects)
        for row in self.images:
            self.image_row(row)
        order = list(dict.fromkeys(row["image"] for row in self.objects))
        wanted = [name for name in names if name in set(order)]
        self.say(order == wanted, "objects.csv is not in the order of images.csv")
        pairs = [(row["image"], row["label"]) for row in self.objects]
        self.say(len(set(pairs)) == len(pairs), "objects.csv holds an (image, label) twice")
        allowed = {name[2:] for name in probabilities} | ({"unassigned"} if self.assay == "karyotype" else set())
        for row in self.objects:
            self.object_row(row, probabilities, allowed)

    def image_columns(self, classes: list[str]) -> None:
        ends = IMAGES + LAST
        found = [name for name in self.columns if name != "group"]  # only with --group-by
        if self.assay not in SUMMARY:
            self.say(found[: len(IMAGES)] + found[-len(LAST) :] == ends, f"images.csv has columns {found}")
            return
        per_class = [form.format(name) for form in PER_CLASS.get(self.assay, []) for name in classes]
        expected = IMAGES + SUMMARY[self.assay] + per_class + BEHIND.get(self.assay, []) + LAST
        self.say(found == expected, f"images.csv has columns {found}, not {expected}")

    def measure_columns(self, found: list[str]) -> None:
        """Check that every kind has its columns, in their order, and new ones come behind them."""
        with_objects = {row["image"] for row in self.objects}
        kinds = sorted({row["kind"] for row in self.images if row["image"] in with_objects})
        known = [MEASURES[self.assay, kind] for kind in kinds if (self.assay, kind) in MEASURES]
        for columns in known:
            order = [name for name in found if name in columns]
            self.say(order == columns, f"objects.csv has {order} behind the probabilities, not {columns}")
        every = {name for columns in known for name in columns}
        last = max((found.index(name) for name in every if name in found), default=-1)
        between = [name for name in found[: last + 1] if name not in every]
        self.say(not between or not known, f"objects.csv has new columns between those it had: {between}")

    def image_row(self, row: dict[str, str]) -> None:
        name = row["image"]
        self.say(row["status"] in ("ok", "failed"), f"{name}: status {row['status']!r}")
        ok = row["status"] == "ok"
        self.say(ok != bool(row["error"]), f"{name}: {row['status']} with error {row['error']!r}")
        self.say("\n" not in row["error"], f"{name}: the error is more than one line")
        if kinds := KINDS.get(self.assay):
            self.say(row["kind"] in kinds | (set() if ok else {""}), f"{name}: kind {row['kind']!r}")
        self.say(_number(row["seconds"]) >= 0, f"{name}: seconds {row['seconds']!r}")
        if ok:
            mine = self.numbers[name]
            self.say(row["n_objects"] == str(mine), f"{name}: n_objects {row['n_objects']} but {mine} rows")
            if (self.assay, row["kind"]) in ONE_OBJECT:
                self.say(mine == 1, f"{name}: {mine} rows for one object")
        else:
            self.say(row["n_objects"] in ("", "0"), f"{name}: failed, yet n_objects {row['n_objects']}")
            self.say(not self.numbers[name], f"{name}: failed, yet in objects.csv")

    def object_row(self, row: dict[str, str], probabilities: list[str], allowed: set[str]) -> None:
        name = f"{row['image']} {row['label']}"
        self.say(re.fullmatch(r"[1-9]\d*", row["label"]), f"{name}: label {row['label']!r}")
        self.say(row["class"], f"{name}: no class")
        self.say(row["review"] in ("True", "False"), f"{name}: review {row['review']!r}")
        self.say(0 <= _number(row["score"]) <= 1, f"{name}: score {row['score']!r}")
        if probabilities:
            values = [_number(row[column]) for column in probabilities]
            self.say(all(-1e-6 <= value <= 1 + 1e-6 for value in values), f"{name}: a probability outside 0..1")
            self.say(abs(sum(values) - 1) <= 1e-3, f"{name}: probabilities sum to {sum(values):.5f}")
            self.say(row["class"] in allowed, f"{name}: class {row['class']!r} has no p_ column")
        for column, value in row.items():
            self.say(value.lower() not in ("nan", "inf", "-inf", "none"), f"{name}: {column} is {value}")

    # ---- run.json, report, files

    def record(self) -> None:
        run = self.run
        self.say(run.get("schema") == "cellscope.run/1", f"run.json schema {run.get('schema')!r}")
        if not self.say(set(run) >= RUN_KEYS, f"run.json lacks {sorted(RUN_KEYS - set(run))}"):
            return
        self.say(run["assay"] == self.assay, f"run.json is of {run['assay']}")
        for key in ("started", "finished"):
            self.say(ISO.fullmatch(run[key]), f"run.json {key} is {run[key]!r}, not ISO 8601 in UTC")
        self.say(run["started"] <= run["finished"], "run.json finished before it started")
        self.say(run["status"] in ("complete", "interrupted"), f"run.json status {run['status']!r}")
        self.say((run["status"] == "complete") == (not run["missing"]), "run.json status and missing disagree")
        self.say(isinstance(run["argv"], list), "run.json argv is no list")
        for model in run["models"]:
            self.say(re.fullmatch(r"[0-9a-f]{64}", model.get("sha256", "")), f"model without sha256: {model}")
            path = Path(model.get("path", ""))
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                self.say(digest == model["sha256"], f"{path.name}: sha256 in run.json is another file's")
        inputs = run["inputs"]
        self.say([_shown(entry["image"]) for entry in inputs] == [row["image"] for row in self.images], "inputs differ")
        self.say([entry["index"] for entry in inputs] == sorted({entry["index"] for entry in inputs}), "index order")
        for entry, row in zip(inputs, self.images, strict=False):
            name = entry["image"]
            self.say(set(entry) == INPUT_KEYS, f"{name}: run.json entry has {sorted(entry)}")
            status = "ok" if entry["status"] == "skipped" else entry["status"]
            self.say(status == row["status"], f"{name}: {entry['status']} in run.json, {row['status']} in images.csv")
            self.say(entry["error"] == row["error"], f"{name}: errors differ between run.json and images.csv")
            self.say(abs(entry["seconds"] - _number(row["seconds"])) < 1e-6, f"{name}: seconds differ")
            self.say(status == "ok" or not entry["outputs"], f"{name}: failed, yet with outputs")
        found = [entry["status"] for entry in inputs]
        for status in ("ok", "failed", "skipped"):
            self.say(run["counts"][status] == found.count(status), f"counts of {status} are wrong")
        self.say(run["counts"]["objects"] == len(self.objects), "count of objects is wrong")

    def report(self) -> None:
        text = (self.out / "report.html").read_text(encoding="utf-8")
        self.say(text.rstrip().endswith("</html>"), "report.html is cut short")
        tiles = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", text))
        record = json.loads((self.out / "run.json").read_text(encoding="utf-8"))
        images = len(self.images) + len(record.get("missing") or ())  # a run that was stopped tells of all it was given
        for name, count in (("images", images), ("objects", len(self.objects))):
            told = tiles.get(name, "").replace(",", "")
            self.say(told == str(count), f"report.html tells of {told or 'no'} {name}, not {count}")
        for model in self.run.get("models", []):
            self.say((model.get("sha256") or "") in text, f"report.html does not name the model of {model.get('part')}")
        for pattern in (
            r"<script[^>]+src=",
            r"<link[^>]+href=(?![\"']?data:)",
            r"\ssrc=(?![\"']?data:)",
            r"url\((?![\"']?(data:|#))",
            r"@import",
        ):
            if found := re.search(pattern, text):
                self.bad.append(f"report.html reaches outside itself: {text[found.start() : found.start() + 60]!r}")
        for row in self.images[:100]:
            plain = row["image"].replace("&", "&amp;").replace("<", "&lt;")
            self.say(plain in text or not plain.isprintable(), f"report.html does not name {row['image']}")

    def files(self) -> None:
        written = {name for entry in self.run.get("inputs", []) for name in entry["outputs"]}
        self.say(len(written) == sum(len(entry["outputs"]) for entry in self.run["inputs"]), "an output listed twice")
        there = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()}
        self.say(written <= there, f"outputs that are not there: {sorted(written - there)[:5]}")
        odd = [name for name in there if name.rsplit("/", 1)[-1].startswith((".cellscope", "journal."))]
        self.say(not odd or self.root != self.out, f"left behind: {odd}")
        if self.root == self.out:
            tables = {name for name in there if "/" not in name and name.endswith((".csv", ".json", ".html"))}
            rest = there - written - tables - {name for name in there if name.startswith("shards/")}
            self.say(not rest, f"files that run.json does not list: {sorted(rest)[:5]}")
        last = (self.out / "run.json").stat().st_mtime_ns
        for name in [*written, "images.csv", "objects.csv", "report.html"]:
            path = (self.root if name in written else self.out) / name
            self.say(not path.exists() or path.stat().st_mtime_ns <= last, f"{name} is younger than run.json")

    # ---- artefacts of one input

    def one(self, row: dict[str, str]) -> None:
        name = row["image"]
        entry = next(entry for entry in self.run["inputs"] if _shown(entry["image"]) == name)
        stem = str(PurePosixPath(entry["image"]).with_suffix(""))
        for output in entry["outputs"]:
            self.say(output.startswith(f"{stem}."), f"{name}: output {output} is not <stem><suffix>")
        if row["status"] != "ok":
            return
        suffixes = {output[len(stem) :] for output in entry["outputs"]}
        missing = ARTEFACTS.get((self.assay, row["kind"]), set()) - suffixes
        self.say(not missing, f"{name}: no {', '.join(sorted(missing))}")
        mine = {int(each["label"]): each for each in self.objects if each["image"] == name}
        base = self.root / stem
        if ".labels.tif" in suffixes and row["kind"] != "slide":
            self.labels(name, Path(f"{base}.labels.tif"), mine, lossy=(self.assay, row["kind"]) in LOSSY)
        for suffix in (".geojson", ".geojson.gz"):
            if suffix in suffixes:
                self.geojson(name, Path(f"{base}{suffix}"), mine)
        if ".coco.json" in suffixes:
            self.coco(name, Path(f"{base}.coco.json"), mine)
        for suffix in suffixes:
            if suffix.endswith(".png"):
                head = Path(f"{base}{suffix}").read_bytes()[:8]
                self.say(head == b"\x89PNG\r\n\x1a\n", f"{name}: {suffix} is no PNG")

    def labels(self, name: str, path: Path, mine: dict[int, dict[str, str]], *, lossy: bool) -> None:
        labels = tifffile.imread(path)
        self.say(labels.dtype in (np.uint16, np.uint32) and labels.ndim == 2, f"{name}: labels {labels.dtype}")
        numbers, counts = np.unique(labels[labels > 0], return_counts=True)
        found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        if lossy:
            self.say(set(found) <= set(mine), f"{name}: labels without a row: {sorted(set(found) - set(mine))[:5]}")
            return
        self.say(set(found) == set(mine), f"{name}: label image and objects.csv disagree")
        for label in sorted(set(found) & set(mine)):
            row = mine[label]
            if row.get("area"):
                self.say(
                    _number(row["area"]) == found[label], f"{name} {label}: area {row['area']}, not {found[label]}"
                )
            rows, columns = np.nonzero(labels == label) if len(mine) <= 200 else (None, None)
            if rows is not None and row.get("centroid-0"):
                centre = (rows.mean(), columns.mean())
                given = (_number(row["centroid-0"]), _number(row["centroid-1"]))
                self.say(np.allclose(centre, given, atol=0.01, rtol=1e-5), f"{name} {label}: centroid {given}")

    def geojson(self, name: str, path: Path, mine: dict[int, dict[str, str]]) -> None:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=lambda c: self.bad.append(f"{name}: GeoJSON holds {c}"))
        features = content["features"] if isinstance(content, dict) else content
        self.say(len(features) == len(mine), f"{name}: {len(features)} features, {len(mine)} objects")
        ids = {feature.get("id") for feature in features}
        self.say(len(ids) == len(features), f"{name}: a GeoJSON id comes twice")
        for feature in features:
            properties = feature.get("properties", {})
            self.say(_is_uuid(feature.get("id")), f"{name}: GeoJSON id {feature.get('id')!r} is no UUID")
            lacking = {"objectType", "classification", "measurements"} - set(properties)
            self.say(not lacking, f"{name}: GeoJSON properties lack {sorted(lacking)}")
            geometry = feature.get("geometry", {})
            polygons = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}
            for polygon in polygons.get(geometry.get("type"), [[[]]]) or []:
                closed = all(len(ring) >= 4 and ring[0] == ring[-1] for ring in polygon)
                self.say(closed, f"{name}: a GeoJSON ring is not closed")

    def coco(self, name: str, path: Path, mine: dict[int, dict[str, str]]) -> None:
        content = json.loads(path.read_text(), parse_constant=lambda c: self.bad.append(f"{name}: COCO holds {c}"))
        categories = {category["id"]: category["name"] for category in content["categories"]}
        annotations = {annotation["id"]: annotation for annotation in content["annotations"]}
        self.say(set(annotations) == set(mine), f"{name}: COCO ids and labels differ")
        for number, annotation in annotations.items():
            row = mine.get(number, {})
            called = categories.get(annotation["category_id"])
            self.say(
                called == row.get("class"), f"{name} {number}: COCO class {called!r}, {row.get('class')!r} in the table"
            )
            self.say(0 <= annotation["score"] <= 1, f"{name} {number}: COCO score {annotation['score']}")
            size = annotation["segmentation"]["size"]
            picture = content["images"][0]
            self.say(size == [picture["height"], picture["width"]], f"{name} {number}: RLE of size {size}")


def _rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        return list(reader), list(reader.fieldnames or [])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_uuid(text: object) -> bool:
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    breaches = check(sys.argv[1], Path(sys.argv[2]))
    print("\n".join(breaches[:40]) or "contract kept")
    sys.exit(bool(breaches))
