"""What two runs of the same inputs share, however the work was done."""

from __future__ import annotations

from pathlib import Path

from same_outputs_hashes import Hashes

TOLD = (("run.json", "argv"), ("run.json", "options"), ("report.html", "#s-provenance"))
"""Parts that say how the run was asked for."""


def hashes(out: Path) -> dict[str, dict[str, str]]:
    """Hash all that a run wrote, without times, the place of OUT, and how the run was asked for."""
    found = Hashes({str(out): "OUT"})
    every = {path.relative_to(out).as_posix(): found.of_file(path) for path in out.rglob("*") if path.is_file()}
    for name, part in TOLD:
        every[name].pop("", None)  # the hash of the whole file, which holds the part
        del every[name][part]
    return every
