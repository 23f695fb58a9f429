"""Run a command where the system fails it: bad folders, inputs that change, limits, odd surroundings.

``python tests/faults/conditions.py`` runs all; ``--only full-disk,locale-c`` some, ``--times 20`` repeats each, those
with a random moment or place at others. Mounts need root and are made in a name space of their own
(``unshare --mount``), so that nothing of them remains; those are left out without root. Each is a `predict` of drawn
images, compared with one that nothing disturbed. Commands whose surroundings are ordinary are forked from a process
that has imported cellscope (`faults.forked`).
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import forked
from faults.kill import contents, environment

SECONDS = 900.0
"""A command that takes longer hangs: many times what it takes on a busy computer."""
CELLSCOPE = [sys.executable, "-m", "cellscope"]
OPTIONS = ["-m", "otsu", "--device", "cpu", "--num-workers"]


@dataclass
class Done:
    """What a command came to."""

    code: int
    said: str

    @property
    def in_one_line(self) -> bool:
        """Whether it failed in one line: no traceback, one line that begins with ``error:``."""
        return self.code != 0 and "Traceback" not in self.said and self.said.count("error: ") == 1


@dataclass
class Place:
    """A folder with inputs and what an undisturbed run makes of them."""

    folder: Path
    inputs: Path
    whole: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def command(self, *more: str, workers: int = 0, out: Path | None = None) -> list[str]:
        words = [*CELLSCOPE, "nucleus-seg", "predict", str(self.inputs)]
        return [*words, "-o", str(out or self.out), *OPTIONS, str(workers), *more]


def run(words: list[str], *, patch: str = "") -> Done:
    """Run a command in ordinary surroundings; `patch` is Python that is run before it in its process."""
    return Done(*forked.run(words[3:], SECONDS, patch))


def start(words: list[str], *, env: dict[str, str] | None = None, **more: Any) -> Done:
    """Run a command in a new process, with other variables or limits (`subprocess.run`)."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            words, env={**environment(), **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=said, start_new_session=True, **more,
        )  # fmt: skip
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        return Done(process.returncode, said.read().decode(errors="replace"))


def mounted(place: Place, script: str) -> Done:
    """Run a shell script where it may mount what it likes: ``OUT`` and ``RUN`` are the folder and the command."""
    command = " ".join(f"'{word}'" for word in place.command())
    text = f"set -u; OUT='{place.out}'; RUN() {{ {command} \"$@\"; }}\n{script}"
    return start(["unshare", "--mount", "--propagation", "private", "bash", "-c", text])


def first_of(place: Place) -> Path:
    return sorted(place.inputs.glob("*.bmp"))[0]


def same(place: Place, out: Path | None = None) -> str:
    """Say which files differ from the undisturbed run's; nothing where none does."""
    found = contents(out or place.out)
    odd = sorted(name for name in {*found, *place.whole} if found.get(name) != place.whole.get(name))
    return f"differ: {odd[:4]}" if odd else ""


def goes_on(place: Place) -> str:
    """Go on with ``--skip-existing``; say what is wrong with the result."""
    done = run(place.command("--skip-existing"))
    return f"--skip-existing: {done.code} {done.said[-300:]}" if done.code else same(place)


# ---- folders


def full_disk(place: Place, rng: random.Random) -> str:
    """The disk is full at a random byte."""
    size = sum(path.stat().st_size for path in (place.folder / "whole").rglob("*"))
    pages = rng.randint(2, size // 4096 + 20)
    kept = place.folder / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    done = mounted(
        place,
        f"mkdir -p $OUT; mount -t tmpfs -o size={pages * 4}k none $OUT; RUN; code=$?; cp -a $OUT {kept}; exit $code",
    )
    if done.code == 0:
        return same(place, kept)
    if done.code != 1 or not done.in_one_line:
        return f"{pages} pages: {done.code} {done.said[-400:]}"
    found = contents(kept)
    odd = [name for name, digest in found.items() if place.whole.get(name, digest) != digest and "journal" not in name]
    left = [path.name for path in kept.rglob(".cellscope-*")]
    if odd or left:
        return f"{pages} pages: half-written {odd[:3]}, left {left[:3]}"
    shutil.rmtree(place.out, ignore_errors=True)  # where the file system was mounted
    shutil.move(kept, place.out)
    return goes_on(place)


def read_only(place: Place, _: random.Random) -> str:
    """OUT cannot be written."""
    done = mounted(place, "mkdir -p $OUT; mount --bind $OUT $OUT; mount -o remount,ro,bind $OUT; RUN")
    return "" if done.in_one_line and done.code in (1, 2) else f"{done.code} {done.said[-400:]}"


def unmounted(place: Place, _: random.Random) -> str:
    """OUT is unmounted while the command runs."""
    done = mounted(
        place,
        "mkdir -p $OUT; mount -t tmpfs none $OUT; RUN & p=$!\n"
        "until [ $(cat $OUT/journal.jsonl 2>/dev/null | wc -l) -gt 2 ]; do kill -0 $p || exit 77; sleep 0.01; done\n"
        'umount -l $OUT; wait $p; code=$?; [ -z "$(ls -A $OUT)" ] || exit 99; exit $code',
    )
    return "" if (done.code == 1 and done.in_one_line) or done.code == 77 else f"{done.code} {done.said[-400:]}"


def slow(place: Place, _: random.Random) -> str:
    """Every file takes a while to reach the disk."""
    patch = "import os, time; f = os.fsync; os.fsync = lambda n: (time.sleep(0.2), f(n))[1]"
    done = run(place.command(), patch=patch)
    return f"{done.code} {done.said[-400:]}" if done.code else same(place)


# ---- inputs


def changed(place: Place, _: random.Random) -> str:
    """Inputs are deleted, truncated, replaced by other files and by folders between listing and reading."""
    images = sorted(place.inputs.glob("*.bmp"))[:4]
    patch = f"""
import os, shutil
from cellscope.engine.predict import plan
listed = plan.plan_inputs
def then(*about, **more):
    found = listed(*about, **more)
    gone, short, text, folder = {[str(path) for path in images]!r}
    os.remove(gone); os.truncate(short, 100); open(text, "w").write("no image"); os.remove(folder); os.mkdir(folder)
    return found
plan.plan_inputs = then
"""
    copy = place.folder / "copy"
    shutil.copytree(place.inputs, copy)
    try:
        done = run(place.command(), patch=patch)
    finally:
        shutil.rmtree(place.inputs)
        copy.rename(place.inputs)
    rows = (place.out / "images.csv").read_text().splitlines()[1:]
    failed = [row.split(",")[0] for row in rows if ",failed," in row]
    if done.code != 3 or failed != [path.name for path in images] or "Traceback" in done.said:
        return f"{done.code}, failed: {failed}, {done.said[-400:]}"
    return goes_on(place)


def hostile_names(place: Place, _: random.Random) -> str:
    """Names with HTML, quotes, newlines, a formula, and bytes that are no UTF-8."""
    names = [b"=1+1.bmp", b"<img src=x onerror=alert(1)>.bmp", b"quo\"te's.bmp", b"new\nline.bmp", b"+-@.bmp"]
    names += [b"not\xff\xfeutf8.bmp", b"a" * 200 + b".bmp", "\u202egnp.bmp".encode(), b" space .bmp"]
    folder = place.folder / "hostile"
    folder.mkdir()
    first = first_of(place).read_bytes()
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(first)
    try:
        wrong = []
        for assay in ("nucleus-seg", "histo"):
            shutil.rmtree(place.out, ignore_errors=True)
            words = [*CELLSCOPE, assay, "predict", str(folder), "-o", str(place.out), *OPTIONS, "0"]
            done = run(words)
            page = (place.out / "report.html").read_text(encoding="utf-8") if done.code == 0 else ""
            with (place.out / "images.csv").open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            formulas = [row["image"] for row in rows if row["image"][:1] in ("=", "+", "-", "@")]
            if done.code or len(rows) != len(names) or formulas or "<img src=x onerror" in page:
                wrong.append(f"{assay}: {done.code}, {len(rows)} rows, formulas {formulas}, {done.said[-300:]}")
        return "; ".join(wrong)
    finally:
        shutil.rmtree(folder)


# ---- several at once


def two_at_once(place: Place, _: random.Random) -> str:
    """Two commands begin in one folder in the same second: one wins."""
    both = [forked.Command(place.command()[3:]) for _ in range(2)]
    codes, said = zip(*(each.wait(SECONDS) for each in both), strict=True)
    if sorted(codes) != [0, 2] or "Traceback" in "".join(said):
        return f"{codes}: {said}"
    return same(place)


def shards_at_once(place: Place, _: random.Random, count: int = 20) -> str:
    """Twenty shards begin in one folder in the same second: each has its part."""
    begun = [forked.Command(place.command("--shard", f"{number}/{count}")[3:]) for number in range(1, count + 1)]
    codes, said = zip(*(each.wait(SECONDS) for each in begun), strict=True)
    if any(codes):
        return f"{codes}: {[text[-200:] for text in said if 'error' in text]}"
    done = run([*CELLSCOPE, "merge", str(place.out)])
    shutil.rmtree(place.out / "shards")
    return f"merge: {done.code} {done.said[-300:]}" if done.code else same(place)


# ---- limits


def memory(place: Place, rng: random.Random) -> str:
    """Address space for 60 % of what is needed, and a little more than the libraries take."""
    import resource

    for limit in (int(2.2 * 2**30), rng.randint(2**32, int(1.15 * 2**32))):

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

        shutil.rmtree(place.out, ignore_errors=True)
        done = start(place.command("--overwrite"), preexec_fn=limited)
        if done.code == 0:
            if wrong := same(place):
                return wrong
        elif not re.search(r"memory|ulimit", done.said) or "Traceback" in done.said:
            return f"{limit / 2**30:.2f} GiB: {done.code} {done.said[-400:]}"
    return ""


def little_data(place: Place, rng: random.Random) -> str:
    """Allocations fail at work (``ulimit -d``), anywhere from the first thread to the last step of a large image."""
    import cv2

    folder = place.folder / "large"
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "large.bmp"), cv2.resize(cv2.imread(str(first_of(place))), (2000, 2000)))
    words = [*CELLSCOPE, "nucleus-seg", "predict", str(folder), "-o", str(place.out), *OPTIONS, "0"]
    room = rng.randint(20, 1300) * 2**20
    patch = (
        "import resource\nfacts = dict(line.split(':') for line in open('/proc/self/status'))\n"
        f"limit = int(facts['VmData'].split()[0]) * 1024 + {room}\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))"
    )
    done = run(words, patch=patch)
    shutil.rmtree(folder)
    if done.code == 0 or (done.code in (1, 3) and "not enough memory" in done.said and "Traceback" not in done.said):
        return ""
    return f"{room / 2**20:.0f} MiB: {done.code}, {done.said[-400:]}"


def few_files(place: Place, _: random.Random) -> str:
    """96 open files."""
    import resource

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    done = start(place.command(workers=2), preexec_fn=limited)
    return "" if done.in_one_line else f"{done.code} {done.said[-400:]}" if done.code else same(place)


def little_shared_memory(place: Place, _: random.Random) -> str:
    """64 kB of shared memory, as some containers have, with worker processes."""
    done = mounted(place, "mount -t tmpfs -o size=64k none /dev/shm; RUN --num-workers 2")
    return "" if done.in_one_line else f"{done.code} {done.said[-400:]}" if done.code else same(place)


# ---- surroundings


def clock_back(place: Place, _: random.Random) -> str:
    """The clock runs backwards."""
    patch = "import time; t = [time.time()]\ndef back(): t[0] -= 60; return t[0]\ntime.time = back"
    done = run(place.command(), patch=patch)
    return f"{done.code} {done.said[-400:]}" if done.code else same(place)


def locale_c(place: Place, _: random.Random) -> str:
    """Locale C, and names that are not ASCII."""
    odd = place.inputs / "Zelle-\u00e4\u4e2d.bmp"
    shutil.copy(first_of(place), odd)
    try:
        done = start(place.command(), env={"LC_ALL": "C", "LANG": "C"})
        made = (place.out / "Zelle-\u00e4\u4e2d.labels.tif").is_file()
        table = "Zelle-\u00e4\u4e2d.bmp,ok" in (place.out / "images.csv").read_text(encoding="utf-8")
    finally:
        odd.unlink()
    return "" if done.code == 0 and made and table else f"{done.code}, made {made}, {done.said[-400:]}"


def no_home(place: Place, _: random.Random) -> str:
    """HOME and the caches cannot be written, and a user without a name."""
    env = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"), "/proc/nowhere")
    words = place.command()
    if os.geteuid() == 0 and shutil.which("setpriv"):
        place.folder.chmod(0o777)
        words = ["setpriv", "--reuid=54321", "--clear-groups", *words]
        done = start(words, env=env)
        if "Permission denied" in done.said and "cellscope" not in done.said:  # Python itself is not for others here
            done = start(place.command(), env=env)
    else:
        done = start(words, env=env)
    return f"{done.code} {done.said[-400:]}" if done.code else same(place)


def no_terminal(place: Place, _: random.Random) -> str:
    """No terminal, and standard input, output and error closed."""
    words = " ".join(f"'{word}'" for word in place.command())
    done = start(["bash", "-c", f"{words} <&- >&- 2>&-"])
    return f"{done.code} {done.said[-400:]}" if done.code else same(place)


CASES: dict[str, Callable[[Place, random.Random], str]] = {
    "full-disk": full_disk,
    "read-only": read_only,
    "unmounted": unmounted,
    "slow": slow,
    "changed-inputs": changed,
    "hostile-names": hostile_names,
    "two-at-once": two_at_once,
    "twenty-shards": shards_at_once,
    "memory": memory,
    "little-data": little_data,
    "few-files": few_files,
    "little-shared-memory": little_shared_memory,
    "clock-back": clock_back,
    "locale-c": locale_c,
    "no-home": no_home,
    "no-terminal": no_terminal,
}
MOUNTING = {"full-disk", "read-only", "unmounted", "little-shared-memory"}


def can_mount() -> bool:
    """Tell whether this user may mount in a name space of its own."""
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "true"], capture_output=True
        ).returncode
    )


def make_place(folder: Path, count: int) -> Place:
    """Draw images, and segment them undisturbed."""
    import cv2
    from drawn.nucleus_seg import smear

    place = Place(folder, folder / "in")
    place.inputs.mkdir()
    for number in range(count):
        cv2.imwrite(str(place.inputs / f"cell{number:02}.bmp"), smear(number, (60, 60))[0][..., ::-1])
    done = run(place.command(out=folder / "whole"))
    assert done.code == 0, done.said
    place.whole = contents(folder / "whole")
    return place


def main() -> int:
    """Print a line for each; the exit code is 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated; all when not given")
    parser.add_argument("--times", type=int, default=1, help="how often each is tried")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path[:0] = environment()["PYTHONPATH"].split(os.pathsep)
    os.environ.update(environment())
    failed = False
    with tempfile.TemporaryDirectory() as name:
        place = make_place(Path(name), given.images)
        for what in given.only.split(",") if given.only else CASES:
            if what in MOUNTING and not can_mount():
                print(f"{what}: left out, nothing can be mounted here", flush=True)
                continue
            rng, wrong, began = random.Random(f"{what}/{given.seed}"), [], time.monotonic()
            for _ in range(given.times):
                shutil.rmtree(place.out, ignore_errors=True)
                if found := CASES[what](place, rng):
                    wrong.append(found)
            failed |= bool(wrong)
            say = "; ".join(wrong[:3]) if wrong else "as it should be"
            print(
                f"{what}: {given.times} times, {len(wrong)} wrong, {time.monotonic() - began:.0f} s: {say}", flush=True
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
