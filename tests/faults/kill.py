"""Kill a command at random moments, go on, and compare what comes out with a run that nobody touched.

``python tests/faults/kill.py --times 100 --what predict-histo,merge,train`` kills the process group of each that many
times (SIGKILL). After each kill the command goes on (``--skip-existing``, ``--resume auto``; `prepare` and `merge`
begin again) and is killed again, until it ends by itself or was killed `--in-a-row` times; then it may end. Commands
are forked from a process that has imported cellscope (`faults.forked`), so that all kills fall where they work.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.forked import run

TESTS = Path(__file__).resolve().parents[1]
TIMES = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.+-]+|\"(seconds|started|finished|duration_s)\": [^,\n]*")
ALONE = ["--device", "cpu", "--num-workers", "0"]
LASTING = ("journal.jsonl", "journal.parts", "progress.json", "best.ckpt", "running", "merging")
"""Files that are there while a command runs."""
LEFT_OUT = ("run.json", "report.html", "last.ckpt", "curves.png", "plan.json", "metrics.csv", "config.toml")
"""What tells times or how the command was asked for, or holds the steps before and after a kill."""


def environment() -> dict[str, str]:
    paths = map(str, (TESTS.parent, TESTS, TESTS / "engine", TESTS / "contract"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def contents(out: Path) -> dict[str, str]:
    """Hash what a command made; what tells times, and the report and the record that show them, is left out."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if not path.is_file() or path.name in LEFT_OUT:
            continue
        data = path.read_bytes().replace(str(out).encode(), b"OUT")
        if path.name == "images.csv":
            data = b"\n".join(b",".join(line.split(b",")[:5]) for line in data.splitlines())
        found[name] = hashlib.sha256(TIMES.sub(b"", data)).hexdigest()
    return found


class Case:
    """A command that is killed.

    Parameters
    ----------
    first
        The command, given OUT.
    again
        The command that goes on.
    before
        Makes what the command needs in OUT, before each trial.
    """

    def __init__(
        self,
        first: Callable[[Path], list[str]],
        again: Callable[[Path], list[str]] | None = None,
        before: Callable[[Path], None] = lambda out: None,
    ):
        self.first, self.again, self.before = first, again or first, before
        self.length = math.inf

    def undisturbed(self, out: Path) -> dict[str, str]:
        """Run the command with nobody touching it, and hash what it makes; it then knows how long it takes."""
        code, said = run(["--version"])  # the libraries are imported by the first that runs
        assert code == 0, said
        self.before(out)
        began = time.monotonic()
        code, said = run(self.first(out))
        assert code == 0, said
        self.length = time.monotonic() - began
        return contents(out)


def draw(folder: Path) -> dict[str, list[str]]:
    """Draw inputs of every assay; give the words that say what `predict` takes."""
    import cv2
    from drawn.karyotype import metaphase
    from drawn.micronucleus import draw_field
    from drawn.mitosis import write_source
    from drawn.nucleus_seg import write_wbc
    from drawn.slides import draw_slide, write_pyramid

    write_wbc(folder / "wbc", 8, 4)
    write_pyramid(folder / "slide.tif", draw_slide(1))
    write_source(folder / "divisions", 2)
    images = sorted(path for path in (folder / "wbc").rglob("*.bmp"))[:12]
    (folder / "list.txt").write_text("\n".join(map(str, images)))
    for name in ("metaphases", "fields"):
        (folder / name).mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "metaphases" / f"{number}.png"), metaphase(number).pixels)
        cv2.imwrite(str(folder / "fields" / f"{number}.png"), draw_field(number).grey)
    return {
        "nucleus-seg": [f"@{folder / 'list.txt'}", "-m", "otsu"],
        "histo": [str(folder / "slide.tif"), "-m", "otsu", "--set", "block=64"],
        "karyotype": [str(folder / "metaphases")],
        "micronucleus": [str(folder / "fields")],
        "mitosis": [str(folder / "divisions")],
    }


def cases(folder: Path) -> dict[str, Case]:
    """Draw inputs; give the commands by name."""
    words = draw(folder)
    dataset = folder / "dataset"

    def predict(assay: str) -> Case:
        def command(out: Path, *more: str) -> list[str]:
            return [assay, "predict", *words[assay], "-o", str(out), *ALONE, *more]

        return Case(command, lambda out: command(out, "--skip-existing"))

    def prepare(out: Path) -> list[str]:
        return ["nucleus-seg", "prepare", str(folder / "wbc"), "-o", str(out), "--overwrite"]

    def shards(out: Path) -> None:
        for part in ("1/2", "2/2"):
            code, said = run([*predict("nucleus-seg").first(out), "--shard", part])
            assert code == 0, said

    def prepared(out: Path) -> None:
        if not dataset.exists():
            code, said = run(prepare(dataset))
            assert code == 0, said

    def train(out: Path) -> list[str]:
        settings = ["crop=64", "save_every=1", "val_every=2", "describe=0", "precision=32"]
        sets = [word for setting in settings for word in ("--set", setting)]
        return ["nucleus-seg", "train", str(dataset), "-o", str(out), "--steps", "6", "--batch-size", "2",
                "--resume", "auto", *ALONE, *sets]  # fmt: skip

    def evaluate(out: Path) -> list[str]:
        return ["nucleus-seg", "eval", str(dataset), "-o", str(out), "-m", "otsu", "--split", "train",
                "--skip-existing", *ALONE]  # fmt: skip

    return {
        **{f"predict-{assay}": predict(assay) for assay in words},
        "prepare": Case(prepare),
        "merge": Case(lambda out: ["merge", str(out)], before=shards),
        "eval": Case(evaluate, before=prepared),
        "train": Case(train, before=prepared),
    }


def trial(case: Case, out: Path, in_a_row: int, random_: random.Random) -> int:
    """Kill and go on until the command ends; give how often it was killed."""
    case.before(out)
    kills = 0
    words = case.first(out)
    while True:
        after = None if kills == in_a_row else random_.uniform(0.02, 1.0) * case.length
        began = time.monotonic()
        code, said = run(words, after)
        if code == 0:
            if not kills:  # on a computer less busy than before, kills would come when all is over
                case.length = min(case.length, time.monotonic() - began)
            return kills
        assert code == -signal.SIGKILL, f"exit code {code}: {said}"
        kills += 1
        words = case.again(out)


def main() -> int:
    """Run; the exit code is 1 where an output differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="kills of each command")
    parser.add_argument("--what", default="", help="comma-separated; all when not given")
    parser.add_argument("--minutes", type=float, default=600, help="after which a command is not killed any more")
    parser.add_argument("--in-a-row", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path[:0] = environment()["PYTHONPATH"].split(os.pathsep)
    os.environ.update(environment())
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = cases(folder)
        for what in given.what.split(",") if given.what else known:
            case, random_ = known[what], random.Random(f"{what}/{given.seed}")
            whole = case.undisturbed(folder / "whole")
            began = time.monotonic()
            kills = trials = differ = left = 0
            while kills < given.times and time.monotonic() - began < 60 * given.minutes:
                out = folder / "out"
                kills += trial(case, out, given.in_a_row, random_)
                trials += 1
                found = contents(out)
                differ += found != whole
                left += sum(path.name.startswith(".") or path.name in LASTING for path in out.rglob("*"))
                if found != whole:
                    odd = sorted(n for n in {*found, *whole} if found.get(n) != whole.get(n))
                    print(f"{what}: differs in {odd[:5]}")
                shutil.rmtree(out)
            shutil.rmtree(folder / "whole")
            failed |= bool(differ or left)
            print(f"{what}: {kills} kills, {trials} runs, {differ} differ, {left} temporary files left", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
