"""Whether two checkouts write the same bytes: `predict`, `eval`, `prepare` of all assays, and the help pages.

    python benchmarks/same_outputs.py record old.json --tree ../checkout-of-before
    python benchmarks/same_outputs.py record new.json
    python benchmarks/same_outputs.py compare old.json new.json

`record` draws a small set of inputs, runs ``python -m cellscope`` on them with the built-in models, on one thread of
the CPU, and writes the SHA-256 of every output file, of what each command prints on stdout, and its exit code. What
cannot be the same twice, such as times, is taken out first: `same_outputs_hashes.py` says what. Progress and notes on
stderr are not compared. `compare` prints what differs, command by command and with the columns or sections that do, and
exits with 1 if anything does. ``--reasons FILE.csv`` names the differences that are meant: columns command, file and
part, which are patterns, and reason; only what none of them explains is then listed. Both recordings are to be made by
the same script on the same machine.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from same_outputs_commands import Command, roads, write_inputs
from same_outputs_compare import compare, read_reasons
from same_outputs_hashes import Hashes, digest, of_weights

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = "cellscope.same-outputs/2"
#: One thread, no display, no colours, no variables of the user's, and the same time in every figure.
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    **{"CELLSCOPE_DEVICE": "cpu", "CELLSCOPE_NUM_WORKERS": "0", "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"},
    **{"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    **{"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", "SOURCE_DATE_EPOCH": "0"},
}
DROPPED = ("CELLSCOPE_", "PYTHONDONTWRITEBYTECODE", "FORCE_COLOR", "CLICOLOR_FORCE")
#: A line of the panel of commands in a help page; lines that go on with a text begin with more spaces.
LISTED = re.compile(r"^│ ([a-z][\w-]*) ", re.MULTILINE)


class Recording:
    """Runs commands of one checkout in a folder and hashes what they leave.

    Parameters
    ----------
    tree : Path
        The checkout.
    folder : Path
        An empty folder, where inputs and outputs go.
    """

    def __init__(self, tree: Path, folder: Path):
        self.tree, self.folder = tree, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
        self.environment = {**kept, **SETTINGS, "PYTHONPATH": str(tree)}
        place = self.python("-c", "import cellscope; print(cellscope.__file__)").stdout.strip()
        if not Path(place).is_relative_to(tree):
            sys.exit(f"{place} is not in {tree}")
        version = self.python("-m", "cellscope", "--version").stdout.split()[-1]
        weights = sorted((tree / "cellscope").rglob("*.safetensors"))
        self.weights = {path.name: of_weights(path) for path in weights}
        models = {digest(path.read_bytes()): f"SHA-256 of {path.stem}" for path in weights}
        self.hashes = Hashes({str(tree): "TREE", str(folder): "FOLDER", version: "VERSION", **models})

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python on this checkout, in the folder."""
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)

    def files(self, place: str) -> dict[str, dict[str, str]]:
        """Return the hashes of all files below a folder, by their paths in it."""
        found = sorted(path for path in (self.folder / place).rglob("*") if path.is_file())
        return {path.relative_to(self.folder / place).as_posix(): self.hashes.of_file(path) for path in found}

    def run(self, command: Command) -> dict[str, object]:
        """Run a command; say how it ended, what it printed and what its folder holds."""
        start = time.perf_counter()
        if command.before is not None:
            command.before(self.folder)
        ended = self.python("-m", "cellscope", *command.words)
        seconds = time.perf_counter() - start
        if "Traceback" in ended.stderr or ended.returncode not in (0, 3):
            print(f"{command.name}: exit code {ended.returncode}\n{ended.stderr}", file=sys.stderr)
        print(f"{seconds:5.1f} s  {command.name}", file=sys.stderr, flush=True)
        said = re.sub(r'("seconds": )[\d.]+', r"\g<1>0", self.hashes.plain(ended.stdout))
        files = {"(exit code)": {"": str(ended.returncode)}, "(stdout)": {"": digest(said)}}
        written = {} if command.out is None else self.files(command.out)
        return {"words": list(command.words), "files": files | written}

    def help_pages(self) -> dict[str, dict[str, str]]:
        """Return the hash of every help page, found by the commands that each lists."""
        pages: dict[str, dict[str, str]] = {}
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            words = waiting.pop()
            page = self.python("-m", "cellscope", *words, "--help").stdout
            pages[" ".join(("cellscope", *words))] = {"": digest(page)}
            waiting += [(*words, name) for name in LISTED.findall(page.partition("─ Commands ─")[2])]
        return pages


def record(out: Path, tree: Path, folder: Path, *, jobs: int, only: str) -> None:
    """Run everything on a checkout, in an empty folder, and write the hashes."""
    start = time.perf_counter()
    recording = Recording(tree.resolve(), folder.resolve())
    write_inputs(folder)
    weights = {name: {"": value} for name, value in recording.weights.items()}
    found: dict[str, Any] = {"(inputs)": {"files": recording.files("in")}, "(weights)": {"files": weights}}
    chosen = [road for name, road in roads().items() if fnmatch.fnmatch(name, only)]
    with ThreadPoolExecutor(jobs) as pool:
        pages = pool.submit(recording.help_pages)
        for results in pool.map(lambda road: {command.name: recording.run(command) for command in road}, chosen):
            found |= results
        found["(help)"] = {"files": pages.result()}
    out.write_text(json.dumps({"schema": SCHEMA, "only": only, "commands": found}, indent=1) + "\n", "utf-8")
    files = sum(len(each["files"]) for each in found.values())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = f"{time.perf_counter() - start:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of the processor"
    print(f"{out}: {files} files of {len(found)} commands in {times}")


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, dest="verb")
    recorder = verbs.add_parser("record", help="run the commands and write the hashes")
    recorder.add_argument("out", type=Path, help="JSON file to write")
    recorder.add_argument("--tree", type=Path, default=ROOT, help="a checkout; this one when not given")
    recorder.add_argument("--jobs", type=int, default=2, help="assays that run at a time")
    recorder.add_argument("--only", default="*", help="only the assays whose name matches, such as 'histo'")
    recorder.add_argument("--keep", type=Path, help="a new folder where inputs and outputs stay, for a look")
    comparer = verbs.add_parser("compare", help="print what differs; exit code 1 if anything does")
    comparer.add_argument("old", type=Path)
    comparer.add_argument("new", type=Path)
    comparer.add_argument("--reasons", type=Path, help="CSV file of differences that are meant")
    arguments = parser.parse_args()
    if arguments.verb == "record":
        with tempfile.TemporaryDirectory(prefix="same-outputs-") as temporary:
            folder = arguments.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=arguments.keep is None)
            record(arguments.out, arguments.tree, folder, jobs=arguments.jobs, only=arguments.only)
    elif not compare(arguments.old, arguments.new, read_reasons(arguments.reasons) if arguments.reasons else None):
        sys.exit(1)


if __name__ == "__main__":
    main()
