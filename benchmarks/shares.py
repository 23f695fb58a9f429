"""Where the processor time of `predict` goes, and what a change to the code did to it.

    python benchmarks/shares.py nucleus-seg SMEAR [--repeats 5] [--before CHECKOUT]

One thread of the CPU, no worker processes; Python has imported everything and a first run, which is not counted, has
warmed it up. Each group has the processor time of its own functions, without that of functions of other groups that
they call, whichever thread runs them. With ``--before`` another checkout does the same in turn with this one (A B A B
...), and the ratios are medians of pairs. What both write is the business of `same_outputs.py`.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Functions by what they do; those that the assay has not are left out.
GROUPS: dict[str, tuple[str, ...]] = {
    "network": ("engine.predict.stages:_Runner._call",),
    "models": ("engine.loading:load_models",),
    "reading": ("engine.predict.read:Reader._read",),
    "PNG": ("io.write:encode_png",),
    "JSON": ("io.write:write_json",),
    "tables": ("engine.predict.recorder:to_sheet", "engine.predict.finish:write_sheets"),
    "report": ("engine.predict.finish:_write_report",),
    "provenance": ("engine.provenance:environment",),
    "outlines": ("imaging.polygons:outlines", "imaging.polygons:outline"),
    "measuring": (
        "assays.nucleus_seg.measure.morphometry:measure_nuclei",
        "assays.histo.measure.rows:measure_nuclei",
        "imaging.labels:label_table",
        "imaging.measure:measure_mask",
        "assays.mitosis.sequences.tracks:measure",
    ),
    "drawing": (
        "assays.histo.measure.figures:draw_overlay",
        "assays.histo.measure.figures:draw_density",
        "assays.nucleus_seg.measure.figures:draw_overlay",
        "assays.micronucleus.count.figures:draw_overlay",
        "assays.micronucleus.count.figures:gallery_of",
        "assays.karyotype.karyogram.drawing:draw_karyogram",
        "assays.karyotype.karyogram.figures:draw_overlay",
        "assays.mitosis.report.figures:draw_filmstrip",
    ),
}
REST = "rest"


class Clock:
    """Gives the processor time of each thread to the group whose function it is in."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.stacks = threading.local()

    def wrap(self, function: Callable[..., Any], group: str) -> Callable[..., Any]:
        """Make a function that does the same and is timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            stack = self.stacks.__dict__.setdefault("stack", [])
            start = time.thread_time()
            stack.append(0.0)  # what timed functions called from this one take
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.thread_time() - start
                self.spent[group] += whole - stack.pop()
                if stack:
                    stack[-1] += whole

        return timed

    def install(self, assay: Any) -> None:
        """Put timed functions in the place of all that are named, and of those of the assay's stages."""
        for group, names in GROUPS.items():
            for name in names:
                module, _, path = name.partition(":")
                try:
                    holder: Any = importlib.import_module(f"cellscope.{module}")
                    *outer, last = path.split(".")
                    for part in outer:
                        holder = getattr(holder, part)
                    found = getattr(holder, last)
                except (ImportError, AttributeError):
                    continue
                self.replace(holder, last, found, self.wrap(found, group))
        for stage in assay.stages:
            object.__setattr__(stage, "cut", self.wrap(stage.cut, "cut"))
            object.__setattr__(stage, "finish", self.wrap(stage.finish, "finish"))
        object.__setattr__(assay, "conclude", self.wrap(assay.conclude, "conclude"))

    def replace(self, holder: Any, name: str, old: Any, new: Any) -> None:
        """Replace a function where it is defined and where modules have imported it by name."""
        setattr(holder, name, new)
        for module in [each for key, each in sys.modules.items() if key.startswith("cellscope")]:
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)


def serve(assay: str, images: list[str]) -> None:
    """Run `predict` each time a line comes in; answer with a line of JSON, seconds by group."""
    import torch

    import cellscope.api
    from cellscope.engine.find import find_assay

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            cellscope.api.predict(
                assay, images, Path(folder) / "out", device="cpu", num_workers=0, overwrite=True, quiet=True
            )

        work()
        clock = Clock()
        clock.install(find_assay(assay))
        for _ in sys.stdin:
            clock.spent.clear()
            start = time.process_time()
            work()
            whole = time.process_time() - start
            print(json.dumps({**clock.spent, REST: whole - sum(clock.spent.values()), "whole": whole}), flush=True)


def start(tree: Path, assay: str, images: list[str]) -> subprocess.Popen[str]:
    """Start a process that serves a checkout."""
    settings = {**dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(tree), "CELLSCOPE_DEVICE": "cpu"}
    command = [sys.executable, __file__, assay, *images, "--serve"]
    return subprocess.Popen(
        command, cwd=tree, env={**os.environ, **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen[str]) -> dict[str, float]:
    """Have one run done."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("predict failed")
    found: dict[str, float] = json.loads(answer)
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assay")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    images = [str(Path(image).absolute()) for image in wanted.images]
    if wanted.serve:
        serve(wanted.assay, images)
        return
    trees = [ROOT] if wanted.before is None else [wanted.before.resolve(), ROOT]
    processes = [start(tree, wanted.assay, images) for tree in trees]
    rounds = [[ask(process) for process in processes] for _ in range(wanted.repeats)]
    for process in processes:
        process.communicate()
    median = [
        {name: statistics.median(each[side].get(name, 0.0) for each in rounds) for name in rounds[0][side]}
        for side in range(len(trees))
    ]
    last = median[-1]
    names = sorted({name for side in median for name in side}, key=lambda name: -median[0].get(name, 0.0))
    heads = ["ms", "share"] if len(trees) == 1 else ["ms before", "ms now", "ratio"]
    print(f"| {wanted.assay} | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for name in names:
        cells = [f"{1e3 * side.get(name, 0.0):.0f}" for side in median]
        if len(trees) == 1:
            cells.append(f"{100 * last[name] / last['whole']:.0f} %")
        else:
            pairs = [(old.get(name, 0.0), new.get(name, 0.0)) for old, new in rounds]
            cells.append(f"{statistics.median(old / new if new > 0 else float('inf') for old, new in pairs):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
