"""The one benchmark harness: two ways of doing the same thing, run in turn, compared by medians and ratios of pairs.

Times taken minutes apart on a shared machine say more about the machine than about the code. Here A and B alternate
(A B A B ...), so that whatever slows the machine slows both, and the result is the median of the ratios of neighbours.

    from harness import compare, environment, print_table

    rows = [compare("loop", slow, "pooled", fast, repeats=7)]
    print(environment())
    print_table(rows)
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "torch", "opencv-python-headless")
MIB = 2**20


def _timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call, by the clock and by the processor; garbage is collected first, at neither side's cost."""
    gc.collect()
    start, start_processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - start_processor


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else float("inf")


def compare(
    name_a: str,
    fn_a: Callable[[], Any],
    name_b: str,
    fn_b: Callable[[], Any],
    *,
    repeats: int = 5,
    warmup: int = 1,
) -> dict[str, Any]:
    """Time two functions in turn.

    Parameters
    ----------
    name_a, name_b : str
    fn_a, fn_b : callable without arguments
    repeats : int
        Timed pairs, at least 1.
    warmup : int
        Untimed pairs before them.

    Returns
    -------
    dict
        ``name_a, name_b, median_a, median_b`` (seconds), ``ratio`` (median over pairs of time A / time B: above 1, B is
        faster), ``ratio_low, ratio_high`` (smallest and largest pair), ``processor_ratio`` (median over pairs of the
        processor's seconds, which a busy machine disturbs less), ``times_a, times_b`` and ``repeats``.

    Raises
    ------
    ValueError
        If `repeats` is below 1 or `warmup` below 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be at least 1 and warmup at least 0, not {repeats} and {warmup}")
    for _ in range(warmup):
        fn_a()
        fn_b()
    pairs = [(_timed(fn_a), _timed(fn_b)) for _ in range(repeats)]
    times_a, times_b = [a[0] for a, _ in pairs], [b[0] for _, b in pairs]
    ratios, processor_ratios = ([_ratio(a[k], b[k]) for a, b in pairs] for k in (0, 1))
    return {
        "name_a": name_a,
        "name_b": name_b,
        "median_a": statistics.median(times_a),
        "median_b": statistics.median(times_b),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "processor_ratio": statistics.median(processor_ratios),
        "times_a": times_a,
        "times_b": times_b,
        "repeats": repeats,
    }


def run_process(
    command: Sequence[str],
    *,
    timeout: float = 600.0,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> dict[str, Any]:
    """Run a command and watch how much memory it and its children hold.

    Memory is sampled every 10 ms and summed over the process and its descendants (resident set, so pages that processes
    share are counted once in each); on Linux the kernel's own high-water mark of the first process is taken where it is
    higher. `getrusage` would not do: what it reports for a child includes the memory of the parent that forked it.

    Parameters
    ----------
    command : sequence of str
    timeout : float
        Seconds, after which the command is killed.
    env : mapping, optional
        Variables added to the current environment.
    cwd : path, optional

    Returns
    -------
    dict
        ``seconds``, ``processor`` (seconds that it and its children worked, system calls included; 0 on Windows),
        ``peak_mib``, ``returncode``, ``stdout`` (with stderr, text).

    Raises
    ------
    subprocess.TimeoutExpired
    """
    import psutil

    with tempfile.TemporaryFile() as output:
        start, before = time.perf_counter(), os.times()
        process = subprocess.Popen(
            list(command), stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **(env or {})}
        )
        peak = 0
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, _tree_memory(root), _high_water(process.pid))
                if time.perf_counter() - start > timeout:
                    raise subprocess.TimeoutExpired(list(command), timeout)
                time.sleep(0.01)
        except psutil.NoSuchProcess:
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        seconds, after = time.perf_counter() - start, os.times()
        processor = after.children_user + after.children_system - before.children_user - before.children_system
        output.seek(0)
        text = output.read().decode(errors="replace")
    return {
        "seconds": seconds,
        "processor": processor,
        "peak_mib": peak / MIB,
        "returncode": process.returncode,
        "stdout": text,
    }


def cellscope(words: Sequence[str]) -> float:
    """Run one command of cellscope to its end and return its seconds; one that fails ends the benchmark."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "cellscope", *words, "-q"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"cellscope {' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return time.perf_counter() - began


def with_bytecode(folder: str | Path) -> dict[str, str]:
    """Variables for `run_process` that let Python keep compiled modules in a folder, as an installed package has them.

    A first run fills the folder. Without it, a command in an environment that was never compiled spends seconds on
    compiling PyTorch and pandas, every time anew where ``PYTHONDONTWRITEBYTECODE`` is set.
    """
    return {"PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}


def _tree_memory(root: Any) -> int:
    """Resident bytes of a psutil process and its descendants; those that have just ended count nothing."""
    import psutil

    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def _high_water(pid: int) -> int:
    """Return the kernel's peak resident bytes of one process (Linux), else 0."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def environment() -> str:
    """One line: processor, cores, threads, system, Python and the packages that do the work."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    versions = []
    for package in ("cellscope", *PACKAGES):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    return (
        f"{processor}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def seconds(value: float) -> str:
    """Format a duration with a unit that suits it: ``12.3 ms``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out results of `compare` as a Markdown table."""
    lines = [
        "| A | B | median A | median B | A / B (median of pairs) | range | pairs |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['name_a']} | {row['name_b']} | {seconds(row['median_a'])} | {seconds(row['median_b'])} "
            f"| {row['ratio']:.2f} | {row['ratio_low']:.2f} to {row['ratio_high']:.2f} | {row['repeats']} |"
        )
    return "\n".join(lines)


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
    """Print the environment line and the table on stdout."""
    if title:
        print(f"### {title}\n")
    print(f"{environment()}\n\n{markdown_table(rows)}\n")


if __name__ == "__main__":
    print_table([compare("sorted", lambda: sorted(range(10**5)), "list", lambda: list(range(10**5)))], title="harness")
    measured = run_process([sys.executable, "-c", "x = bytearray(50 * 2**20)"])
    print(f"python -c, 50 MiB: peak {measured['peak_mib']:.0f} MiB, {seconds(measured['seconds'])}")
