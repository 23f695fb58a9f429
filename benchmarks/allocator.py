"""Whole commands with and without `cellscope.engine.memory.keep_freed_memory`, in turn.

    python benchmarks/allocator.py karyotype METAPHASES [--repeats 5]

Prints the median ratio of processor time, and the peak memory of both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from harness import environment, run_process

#: Any tunable of glibc's leaves its allocator alone; this one has nothing to do with it and its default value.
AS_BEFORE = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=512"}


def main() -> None:
    """Measure one assay on a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assay")
    parser.add_argument("images", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "cellscope",
            wanted.assay,
            "predict",
            str(wanted.images),
            "-o",
            folder + "/out",
        ]
        command += ["--overwrite", "--num-workers", "0", "--device", "cpu", "-q"]
        pairs = [(run_process(command, env=AS_BEFORE), run_process(command)) for _ in range(wanted.repeats)]
    for one in (each for pair in pairs for each in pair):
        if one["returncode"]:
            raise SystemExit(one["stdout"])
    print(environment())
    for what, unit in (("processor", "s of processor time"), ("seconds", "s"), ("peak_mib", "MiB")):
        before, after = (statistics.median(pair[side][what] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[0][what] / pair[1][what] for pair in pairs)
        print(f"{before:.1f} and {after:.1f} {unit}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
