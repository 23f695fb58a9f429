"""How long `cellscope review` takes with many images of many objects: to start, list, switch, save, write tables.

    python benchmarks/review_room.py --images 200 --objects 2000

Draws one smear, predicts it with the Otsu baseline, makes a run of copies of it, and asks the server as the page does;
at the end the server is killed after a change and started again. With `--browser` a Chromium opens the page too, makes
each change by mouse and by key, loads the page again and opens a second tab (selenium and its driver are needed);
`--shots FOLDER` keeps pictures of it, light, dark and printed. Times of day, and processor time of the server.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import os
import signal
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
import psutil

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
def reviewing(out: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the run in a process of its own."""
    words = [sys.executable, "-m", "cellscope", "review", str(out), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield address, process
        finally:
            process.terminate()


class Clock:
    """Notes how long each step took, in seconds of the day and of the server's processor time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.server = psutil.Process(process.pid)
        self.began = time.perf_counter(), 0.0

    def note(self, what: str) -> None:
        """Print the time since the last note."""
        used = sum(self.server.cpu_times()[:2])
        now = time.perf_counter(), used
        print(f"{what:55} {now[0] - self.began[0]:7.2f} s {used - self.began[1]:7.2f} s", flush=True)
        self.began = now


def measure(out: Path, browser: bool, shots: Path | None) -> None:
    """Ask the server as the page does."""
    began = time.perf_counter()
    with reviewing(out) as (address, process), httpx.Client(timeout=3600) as client:
        clock = Clock(process)
        clock.began = began, 0.0
        clock.note("start, until the address is printed")
        client.headers["Origin"] = origin(address)

        def get(path: str) -> Any:
            return client.get(address + path).raise_for_status()

        get("api/run")
        clock.note("list of images")
        get("api/run")
        clock.note("list of images, again")
        for number in (0, 1, 2):
            shown = get(f"api/image/{number}").json()
            clock.note(f"image {number}: objects and outlines")
            get(f"api/image/{number}/picture")
            clock.note(f"image {number}: picture")
        edits: list[dict[str, Any]] = [
            {"do": "confirm", "label": 1},
            {"do": "remove", "label": 2},
            {"do": "join", "labels": [3, 4]},
        ]
        for edit in edits:
            body = {"revision": shown["revision"], "edit": edit}
            shown = client.post(address + "api/image/2", json=body).raise_for_status().json()
            clock.note(f"change: {edit['do']}")
        written(client, address)
        clock.note("until files and tables of all images are written")
        if browser:
            in_browser(address, clock, shots)
            clock.note("browser: closed")
            written(client, address)
            clock.note("until files and tables of all images are written")
        process.send_signal(signal.SIGINT)
        process.wait()
    print(f"{'end of the review, with the report':55} {time.perf_counter() - clock.began[0]:7.2f} s")
    killed(out)


def written(client: httpx.Client, address: str) -> None:
    """Wait until all is on the disk."""
    while not client.get(f"{address}api/run").raise_for_status().json()["saved"]:
        time.sleep(0.2)


def origin(address: str) -> str:
    """Give what the page's requests say of where they come from."""
    return address.split("/", 3)[0] + "//" + address.split("/")[2]


def killed(out: Path) -> None:
    """Kill the server right after a change, and start it again: the change is there, and its files follow."""
    with reviewing(out) as (address, process), httpx.Client(timeout=3600) as client:
        client.headers["Origin"] = origin(address)
        before = client.get(f"{address}api/image/3").raise_for_status().json()
        label = before["objects"][0]["label"]
        body = {"revision": before["revision"], "edit": {"do": "remove", "label": label}}
        client.post(f"{address}api/image/3", json=body).raise_for_status()
        process.kill()
        process.wait()
    began = time.perf_counter()
    with reviewing(out) as (address, process), httpx.Client(timeout=3600) as client:
        clock = Clock(process)
        clock.began = began, 0.0
        after = client.get(f"{address}api/image/3").raise_for_status().json()
        clock.note("killed: started again, the image with its change")
        if len(after["objects"]) != len(before["objects"]) - 1:
            raise SystemExit("the change that was made before the kill is lost")
        written(client, address)
        clock.note("killed: until its files are written")
    with (out / "corrections/objects.csv").open(newline="") as stream:
        rows = sum(row["image"] == "0003.png" for row in csv.DictReader(stream))
    if rows != len(after["objects"]):
        raise SystemExit(f"objects.csv has {rows} rows of an image with {len(after['objects'])} objects")


def in_browser(address: str, clock: Clock, shots: Path | None) -> None:
    """Open the page, switch images, make each change by mouse and key, load it again, open a second tab."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from drawn.hands import Hands
    from drawn.reviewing import chromium

    with chromium(1280, 800) as driver:
        clock.began = time.perf_counter(), sum(clock.server.cpu_times()[:2])
        hands = Hands(driver, address)
        hands.load()
        clock.note("browser: page with its first image")
        hands.one("#next").click()
        hands.until("document.getElementById('status').textContent.startsWith('0001')")
        clock.note("browser: next image")
        for by, changes in (("mouse", hands.by_mouse()), ("key", hands.by_key())):
            for what in changes:
                clock.note(f"browser: {what} by {by}")
        if shots:
            take(driver, hands, shots)
            clock.began = time.perf_counter(), sum(clock.server.cpu_times()[:2])
        done = hands.changes
        driver.refresh()
        hands.shows(done)
        clock.note("browser: page loaded again")
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(f"{address}#0001.png")
        hands.shows(done)
        hands.press(hands.keys.ESCAPE, hands.keys.ARROW_RIGHT, hands.keys.ENTER)
        hands.shows(done + 1)
        driver.switch_to.window(first)
        hands.shows(done + 1)
        clock.note("browser: a second tab's change is in the first")
        if wrong := [one for one in driver.get_log("browser") if one["level"] == "SEVERE"]:
            raise SystemExit(f"the browser complains: {wrong}")


def take(driver: Any, hands: Any, folder: Path) -> None:
    """Keep pictures of the page: light, dark, and printed."""
    folder.mkdir(parents=True, exist_ok=True)
    for mode in ("light", "dark"):
        driver.execute_script(f"document.documentElement.classList.toggle('dark', {str(mode == 'dark').lower()})")
        time.sleep(1)
        driver.save_screenshot(str(folder / f"{mode}.png"))
    (folder / "print.pdf").write_bytes(base64.b64decode(driver.print_page()))
    for _ in range(5):
        hands.one("#closer").click()
    time.sleep(1)
    driver.save_screenshot(str(folder / "near.png"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--shots", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(make_run(Path(folder), given.images, given.objects), given.browser or bool(given.shots), given.shots)


if __name__ == "__main__":
    main()
