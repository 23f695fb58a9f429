"""Freed blocks are used again: seen by the pages that the system has to give."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from cellscope.engine import memory

CODE = """
import ctypes, resource, sys
from cellscope.engine.memory import keep_freed_memory
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of one size, so that they can be counted
set_ = keep_freed_memory() if sys.argv[1] == "kept" else None
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"1") * 2**25  # 32 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(set_, sum(faults() for _ in range(5)))
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")


def pages(how: str, **more: str) -> tuple[str, int]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], env=clean | more, capture_output=True, text=True, check=True
    )
    said, count = done.stdout.split()
    return said, int(count)


@glibc
def test_freed_blocks_are_used_again() -> None:
    set_, kept = pages("kept")
    assert set_ == "True"
    assert kept < 1000 < pages("as it was", MALLOC_MMAP_THRESHOLD_="131072")[1]  # 5 x 8192 pages of 4 KiB


@glibc
def test_what_a_person_has_set_stays() -> None:
    assert pages("kept", MALLOC_MMAP_THRESHOLD_="131072")[0] == "False"


VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


@pytest.mark.parametrize(
    ("line", "root", "files", "unlimited"),
    [("0::", "", VERSION_2, "max"), ("4:memory:", "memory", VERSION_1, str(2**63 - 4096))],
    ids=["version 2", "version 1"],
)
def test_a_limit_of_the_cgroup_counts(tmp_path, monkeypatch, line, root, files, unlimited) -> None:
    """As a container and a batch system set it: at the process's own folder or at one above."""
    limit, used, dropped = files
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    job = tmp_path / root / "job"
    (job / "step").mkdir(parents=True)
    (tmp_path / "cgroup").write_text(f"1:cpu:/x\n{line}/job/step\n")
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "cgroup")
    free = memory.free_memory()
    assert free > 2**27
    assert memory.memory_limit() is None
    (job / "step" / limit).write_text(f"{unlimited}\n")
    (job / "step" / used).write_text("5\n")
    assert memory.memory_limit() is None
    (job / limit).write_text("100000000\n")
    (job / used).write_text("70000000\n")
    assert memory.free_memory() == 30_000_000
    assert memory.memory_limit() == 100_000_000
    (job / "memory.stat").write_text(f"cache 1\n{dropped} 20000000\n")  # pages of files make room
    assert memory.free_memory() == 50_000_000
    (job / used).write_text("170000000\n")
    assert memory.free_memory() == 0


def test_the_limit_of_a_container_whose_folder_is_its_own_root_counts(tmp_path, monkeypatch) -> None:
    """Docker with version 1: the process's place is that of the host, which the container does not see."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("4:cpuset,memory:/docker/0123\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("300000000\n")
    assert memory.memory_limit() == 300_000_000
