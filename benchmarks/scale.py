"""Many small inputs in one command, and one large slide: time, memory, and whether workers write what one process does.

    python benchmarks/scale.py inputs [--count 10000] [--workers 4] [--browser chromium]
    python benchmarks/scale.py slide [--side 20000] [--workers 4]

Inputs are drawn: smears of white blood cells of 60 x 60 pixels, and a slide whose tiles repeat one drawn field of H&E
nuclei. Both are segmented without a network (``-m otsu``), so that what is measured is the way of inputs through
cellscope. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(ROOT / "tests" / "contract")]

from same_run import hashes  # noqa: E402

DIFFERENT = 200
"""Smears that are drawn; more are the same again under other names."""
TILE = 512


def draw_inputs(folder: Path, count: int) -> list[str]:
    """Draw `count` images in folders of a thousand."""
    import cv2
    from drawn.nucleus_seg import smear

    if (folder / "in").exists():
        return ["nucleus-seg", "predict", str(folder / "in"), "-m", "otsu"]
    drawn = [cv2.imencode(".bmp", smear(seed, (60, 60))[0][..., ::-1])[1].tobytes() for seed in range(DIFFERENT)]
    for number in range(count):
        path = folder / "in" / f"{number // 1000:02}" / f"cell{number:05}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn[number % DIFFERENT])
    return draw_inputs(folder, count)


def draw_slide(folder: Path, side: int) -> list[str]:
    """Draw a pyramid of tiles whose first level is `side` pixels wide and high."""
    import cv2
    import tifffile
    from drawn.histo import tissue

    path = folder / "slide.tif"
    words = ["histo", "predict", str(path), "-m", "otsu"]
    if path.exists():
        return words
    whole = np.ascontiguousarray(tissue(1, TILE, 60)[0])
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        level = 0
        while (width := side >> level) >= TILE:
            small = cv2.resize(whole, None, fx=0.5**level, fy=0.5**level, interpolation=cv2.INTER_AREA)
            repeats = -(-TILE // small.shape[0])
            shown = np.tile(small, (repeats, repeats, 1))[:TILE, :TILE]
            rows = -(-width // TILE)
            writer.write(
                (shown for _ in range(rows * rows)), shape=(width, width, 3), dtype=np.uint8, tile=(TILE, TILE),
                photometric="rgb", compression="jpeg", compressionargs={"level": 90}, subfiletype=int(level > 0),
                resolution=(1e4 / 0.5 / 2**level, 1e4 / 0.5 / 2**level), resolutionunit="CENTIMETER",
            )  # fmt: skip
            level += 1
    return words


def run(words: list[str], out: Path) -> str:
    """Run a command; say its seconds, its processor time, and the most GiB that it and its processes held together."""
    command = [sys.executable, "-m", "cellscope", *words, "-o", str(out), "-q", "--skip-existing"]
    began_before = " (the rest)" if out.exists() else ""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    most = 0.0

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, held_by(process.pid))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    said = process.communicate()[1]
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{said}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.monotonic() - began:.0f}{began_before} | {worked:.0f} | {most:.2f}"


def held_by(pid: int) -> float:
    """Give the GiB that a process and those it started hold, pages they share counted once (PSS)."""
    total = 0
    for each in (pid, *children_of(pid)):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 2**20


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            own = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for each in own:
            found += [each, *children_of(each)]
    return found


def opens(browser: str, page: Path, folder: Path) -> str:
    """Open a report in a browser without a window; give the seconds that took, and its table's rows."""
    began = time.monotonic()
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000",
         f"--user-data-dir={folder / 'browser'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    rows = done.stdout.count("<tr")
    return f"{page.stat().st_size / 1e6:.1f} MB, {time.monotonic() - began:.0f} s, {rows} rows of tables"


def main() -> None:
    """Draw, run, compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("inputs", "slide"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--browser", default="")
    parser.add_argument("--folder", type=Path, help="keep everything here, and go on with what is there")
    parser.add_argument("--runs", default="one,many")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cellscope-scale-"))
    folder.mkdir(exist_ok=True)
    try:
        words = draw_inputs(folder, given.count) if given.what == "inputs" else draw_slide(folder, given.side)
        print("| run | s | processor time, s | memory, GiB | same as one process |\n|---|---|---|---|---|", flush=True)
        if "one" in given.runs:
            took = run([*words, "--device", "cpu", "--num-workers", "0"], folder / "one")
            print(f"| one process | {took} | |", flush=True)
            if given.browser:
                print(f"report: {opens(given.browser, folder / 'one' / 'report.html', folder)}", flush=True)
        if "many" in given.runs:
            took = run([*words, "--devices", f"cpu:{given.workers}"], folder / "many")
            expected, found = hashes(folder / "one"), hashes(folder / "many")
            odd = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            same = f"no: {', '.join(odd[:5])}" if odd else f"yes, {len(expected)} files"
            print(f"| {given.workers} workers | {took} | {same} |", flush=True)
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
