"""The fuzzer in small: some damaged files of every kind are read or refused, within memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.fuzz import fuzz
from faults.readers import TARGETS


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    finds = tmp_path / "finds"
    finds.mkdir()
    counts = fuzz(kind, 7, 25, tmp_path / kind, finds)
    del counts["slowest ms"]
    found = finds / "finds.jsonl"
    assert set(counts) <= {"read", "refused"}, found.read_text() if found.exists() else counts
    assert sum(counts.values()) == 25
