"""Resolve the dependencies for every version of Python, newest and oldest, and look for known faults in them.

``python benchmarks/supply.py`` needs ``uv`` and, for the audit, ``pip-audit`` and its data; it installs nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("highest", "lowest-direct")


def resolve(version: str, resolution: str) -> tuple[int, str]:
    """Resolve from wheels alone; give the number of packages (0 if it cannot be done) and why not."""
    done = subprocess.run(
        ["uv", "pip", "compile", "--quiet", "--python-version", version, "--resolution", resolution, "--no-header",
         "--only-binary", ":all:", "--no-annotate", "pyproject.toml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if "hint" in line or "Because" in line]
        return 0, (said or done.stderr.splitlines()[-1:] or [""])[0]
    return sum("==" in line for line in done.stdout.splitlines()), ""


def audit() -> int:
    """Audit the pinned versions of ``deploy/requirements.txt``; 1 for known faults, 2 where it cannot be done."""
    if shutil.which("pip-audit") is None:
        print("pip-audit is not installed: nothing was audited")
        return 2
    done = subprocess.run(
        ["pip-audit", "--progress-spinner=off", "--format=json", "--disable-pip", "--no-deps", "-r",
         "deploy/requirements.txt"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit could not audit: {(done.stderr.splitlines() or ['no answer'])[-1]}")
        return 2
    known = [one for one in found if "vulns" in one]
    faults = [f"{one['name']} {one['version']}: {fault['id']}" for one in known for fault in one["vulns"]]
    print(f"pip-audit: {len(known)} of {len(found)} packages audited, {len(faults)} known faults")
    for fault in faults:
        print(fault)
    return 1 if faults else 2 if len(known) < len(found) else 0


def main() -> int:
    """Print a line for each; the exit code is 1 where something cannot be resolved or has a known fault."""
    if shutil.which("uv") is None:
        print("uv is needed to resolve dependencies", file=sys.stderr)
        return 2
    failed = False
    for version in VERSIONS:
        for resolution in RESOLUTIONS:
            count, why = resolve(version, resolution)
            print(f"Python {version}, {resolution}: {f'{count} packages' if count else f'cannot be resolved: {why}'}")
            failed |= not count
    return int(failed) or audit()


if __name__ == "__main__":
    sys.exit(main())
