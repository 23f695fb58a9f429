"""Damage files of every kind and read them: each must be read or refused in one line, within 2 GiB and 20 s.

``python tests/faults/fuzz.py --count 1000`` damages that many files of each kind. Each kind is read by a process of its
own; one that crashes or hangs is started again behind the file that did it. What was found is written to a folder, the
damaged files with it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
MEMORY = 2 * 2**30
SECONDS = 20.0


# ---- the process that reads


def serve(kind: str, seed: int, first: int, last: int, folder: Path, finds: Path) -> None:
    """Read damaged files number `first` to `last`; write a line before and after each."""
    from faults.mutate import mutate
    from faults.readers import TARGETS

    target = TARGETS[kind]
    root = folder / "source"
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    files = target.make(root)
    good = {path: path.read_bytes() for path in files}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for path in files:  # the good ones must be read, or nothing is tried; imports are done now, too
            target.read(path, root)
    about = Path("/proc/self/statm").read_text().split()
    limit = int(about[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    known = listing(folder)
    for number in range(first, last):
        random_ = random.Random(f"{kind}/{seed}/{number}")
        path = random_.choice(files)
        data = mutate(good[path], random_)
        path.write_bytes(data)
        say("start", number=number, file=str(path.relative_to(root)))
        began = time.monotonic()
        outcome, text = attempt(target.read, path, root)
        elapsed = time.monotonic() - began
        path.write_bytes(good[path])
        if (now := listing(folder)) != known:
            outcome, text = "left a file", str(sorted(now ^ known)[:3])
            for name in now - known:
                (folder / name).unlink(missing_ok=True)
        if outcome not in ("read", "refused"):
            (finds / f"{kind}-{seed}-{number}-{path.name}").write_bytes(data)
        say("end", number=number, outcome=outcome, text=text, seconds=elapsed)


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def attempt(read: Any, path: Path, root: Path) -> tuple[str, str]:
    from cellscope.errors import CellscopeError, error_line

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            read(path, root)
    except CellscopeError as error:
        line = error_line(error)
        if "\n" in str(error) or len(line) > 2000:
            return "long message", repr(str(error)[:300])
        return "refused", line[:300]
    except MemoryError:
        return "memory", last_lines()
    except Exception as error:
        return "unclean", f"{type(error).__name__}: {str(error)[:120]} at {last_lines()}"
    finally:
        if "Traceback (most recent call last)" in said.getvalue():
            say("note", text=said.getvalue()[-500:])
    return "read", ""


def last_lines() -> str:
    """Where an exception came from: the last line of cellscope, and the last of all."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if "/cellscope/" in frame.filename] or frames
    return f"{'/'.join(Path(own[-1].filename).parts[-2:])}:{own[-1].lineno} ({Path(frames[-1].filename).name})"


def say(what: str, **facts: Any) -> None:
    os.write(3, (json.dumps({"what": what, **facts}) + "\n").encode())


# ---- the process that watches


def fuzz(kind: str, seed: int, count: int, folder: Path, finds: Path) -> collections.Counter[str]:
    """Damage `count` files of a kind; give how often each outcome came."""
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    number = 0
    barren = 0
    while number < count and barren < 3:
        reader, writer = os.pipe()
        command = [sys.executable, __file__, "--serve", kind, str(seed), str(number), str(count), folder, finds]
        process = subprocess.Popen(
            [str(word) for word in ("bash", "-c", 'exec 3>&"$0"; exec "$@"', writer, *command)],
            pass_fds=(writer,), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path_for_children(), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(writer)
        current: dict[str, Any] | None = None
        began = number
        for record in records(reader, process):
            if record["what"] == "start":
                current = record
            elif record["what"] == "note":
                counts["noted a traceback"] += 1
                report(finds, kind, current, "traceback on stderr", record["text"])
            else:
                counts[record["outcome"]] += 1
                slowest = max(slowest, record["seconds"])
                if record["outcome"] not in ("read", "refused"):
                    report(finds, kind, current, record["outcome"], record["text"])
                number, current = record["number"] + 1, None
        code = process.wait()
        os.close(reader)
        assert process.stderr is not None
        errors = process.stderr.read().decode(errors="replace")[-600:]
        if current is not None:
            outcome = "hang" if code == -9 else "crash"
            counts[outcome] += 1
            report(finds, kind, current, outcome, f"exit status {code} {errors}")
            keep(folder, finds, kind, seed, current)
            number = current["number"] + 1
        elif code:
            print(f"{kind}: the reading process ended with {code}: {errors}", file=sys.stderr)
        barren = barren + 1 if number == began else 0
    counts["slowest ms"] = round(1000 * slowest)
    return counts


def keep(folder: Path, finds: Path, kind: str, seed: int, current: dict[str, Any]) -> None:
    source = folder / "source" / current["file"]
    if source.is_file():
        shutil.copy(source, finds / f"{kind}-{seed}-{current['number']}-{source.name}")


def records(reader: int, process: subprocess.Popen[bytes]) -> Any:
    """Give what the reading process says; kill it where a file takes more than `SECONDS`."""
    rest = b""
    give_up = time.monotonic() + 240  # importing and making the good files
    while True:
        ready, _, _ = select.select([reader], [], [], max(give_up - time.monotonic(), 0))
        if not ready:
            process.kill()
            return
        block = os.read(reader, 2**16)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            give_up = time.monotonic() + SECONDS
            yield json.loads(line)


def report(finds: Path, kind: str, current: dict[str, Any] | None, outcome: str, text: str) -> None:
    with open(finds / "finds.jsonl", "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"kind": kind, **(current or {}), "outcome": outcome, "text": text}) + "\n")


def path_for_children() -> str:
    return os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "engine", TESTS / "contract")))


def main() -> int:
    """Run; the exit code is 1 where anything but reading and refusing happened."""
    if sys.argv[1:2] == ["--serve"]:
        kind, seed, first, last, folder, finds = sys.argv[2:]
        serve(kind, int(seed), int(first), int(last), Path(folder), Path(finds))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="comma-separated; all when not given")
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"), help="folder for what was found")
    given = parser.parse_args()
    sys.path[:0] = path_for_children().split(os.pathsep)
    from faults.readers import listed

    given.finds.mkdir(parents=True, exist_ok=True)
    total: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind in listed(given.kinds):
            began = time.monotonic()
            counts = fuzz(kind, given.seed, given.count, Path(folder) / kind, given.finds)
            print(f"{kind}: {dict(counts)} in {time.monotonic() - began:.0f} s", flush=True)
            total += counts
    del total["slowest ms"]
    print(f"all: {dict(total)}")
    return int(any(name not in ("read", "refused") for name in total))


if __name__ == "__main__":
    sys.exit(main())
