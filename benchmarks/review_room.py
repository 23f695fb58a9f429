"""How long `cellscope review` takes with many images of many objects: to start, list, switch, save, write tables.

    python benchmarks/review_room.py --images 200 --objects 2000

Draws one smear, predicts it with the Otsu baseline, makes a run of copies of it, and asks the server as the page does.
With `--browser` a Chromium opens the page too (selenium and its driver are needed).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

SIDE = 44
"""Pixels from one nucleus to the next."""


def draw(objects: int) -> np.ndarray:
    """Draw a smear with so many nuclei, (H, W, 3) uint8, blue, green, red."""
    across = int(np.ceil(np.sqrt(objects)))
    random = np.random.default_rng(0)
    image = np.full((across * SIDE, across * SIDE, 3), (235, 225, 235), np.uint8)
    for number in range(objects):
        row, column = divmod(number, across)
        x, y = (np.array([column, row]) + 0.5) * SIDE + random.uniform(-4, 4, 2)
        axes = random.uniform(9, 14, 2)
        cv2.ellipse(image, ((x, y), tuple(2 * axes), random.uniform(0, 180)), (120, 40, 100), -1, cv2.LINE_AA)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def make_run(folder: Path, images: int, objects: int) -> Path:
    """Predict one image and make a run of copies."""
    cv2.imwrite(str(folder / "0000.png"), draw(objects))
    out = folder / "out"
    words = [
        sys.executable,
        "-m",
        "cellscope",
        "nucleus-seg",
        "predict",
        folder / "0000.png",
        "-o",
        out,
        "-m",
        "otsu",
        "-q",
    ]
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
    names = [f"{number:04}.png" for number in range(images)]
    for table in ("images", "objects"):
        with (out / f"{table}.csv").open(newline="") as stream:
            header, *rows = list(csv.reader(stream))
        with (out / f"{table}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header)
            writer.writerows([name, *row[1:]] for name in names for row in rows)
    record = json.loads((out / "run.json").read_text())
    (entry,) = record["inputs"]
    stems = [(name, Path(name).stem) for name in names]
    record["inputs"] = [
        {**entry, "image": name, "index": number, "outputs": [one.replace("0000", stem) for one in entry["outputs"]]}
        for number, (name, stem) in enumerate(stems)
    ]
    for _, stem in stems[1:]:
        for one in entry["outputs"]:
            os.link(out / one, out / one.replace("0000", stem))
    (out / "run.json").write_text(json.dumps(record))
    return out


@contextmanager
def reviewing(out: Path) -> Iterator[str]:
    """Serve the run in a process of its own."""
    words = [sys.executable, "-m", "cellscope", "review", str(out), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield address
        finally:
            process.terminate()


def measure(out: Path, browser: bool) -> list[tuple[str, float]]:
    """Ask the server as the page does; seconds."""
    found: list[tuple[str, float]] = []
    began = time.perf_counter()

    def note(what: str) -> None:
        nonlocal began
        found.append((what, time.perf_counter() - began))
        began = time.perf_counter()

    with reviewing(out) as address, httpx.Client(timeout=600) as client:
        note("start, until the address is printed")
        client.headers["Origin"] = address.split("/", 3)[0] + "//" + address.split("/")[2]

        def get(path: str) -> Any:
            return client.get(address + path).raise_for_status()

        get("api/run")
        note("list of images")
        get("api/run")
        note("list of images, again")
        for number in (0, 1, 2):
            shown = get(f"api/image/{number}").json()
            note(f"image {number}: objects and outlines")
            get(f"api/image/{number}/picture")
            note(f"image {number}: picture")
        edits = [{"do": "confirm", "label": 1}, {"do": "remove", "label": 2}, {"do": "join", "labels": [3, 4]}]
        for edit in edits:
            body = {"revision": shown["revision"], "edit": edit}
            shown = client.post(address + "api/image/2", json=body).raise_for_status().json()
            note(f"change: {edit['do']}")
        while not get("api/run").json()["saved"]:
            time.sleep(0.1)
        note("until files and tables of all images are written")
        if browser:
            found += in_browser(address)
        began = time.perf_counter()
    note("end of the review, with the report")
    return found


def in_browser(address: str) -> list[tuple[str, float]]:
    """Open the page, switch images, confirm one object."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from drawn.reviewing import chromium, wait

    with chromium(1280, 800) as driver:

        def until(condition: str) -> None:
            wait(lambda: driver.execute_script(f"return {condition}"), 120, 0.02)

        began = time.perf_counter()
        driver.get(address)
        until("document.getElementById('status').textContent.includes('to review')")
        opened = time.perf_counter()
        driver.find_element("id", "next").click()
        until("document.getElementById('status').textContent.startsWith('0001')")
        switched = time.perf_counter()
        driver.find_element("css selector", "body").send_keys("n\ue007")
        until("document.getElementById('history').children.length === 1")
        saved = time.perf_counter()
    return [("browser: page with its first image", opened - began), ("browser: next image", switched - opened),
            ("browser: an object confirmed by key", saved - switched)]  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = make_run(Path(folder), given.images, given.objects)
        for what, seconds in measure(out, given.browser):
            print(f"{what:55} {seconds:7.2f} s")


if __name__ == "__main__":
    main()
