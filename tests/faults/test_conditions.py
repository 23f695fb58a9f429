"""The conditions in small: a few images, the faults that need no more than a second or two each."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.conditions import CASES, MOUNTING, Place, can_mount, make_place

IN_CI = ("full-disk", "read-only", "changed-inputs", "hostile-names", "two-at-once", "locale-c", "no-terminal")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("conditions"), 6)


@pytest.mark.slow
@pytest.mark.parametrize("what", IN_CI)
def test_what_the_system_fails_is_told_or_made_good(place: Place, what: str, tmp_path: Path) -> None:
    if what in MOUNTING and not can_mount():
        pytest.skip("nothing can be mounted here")
    own = Place(tmp_path, place.inputs, place.whole)
    (tmp_path / "whole").symlink_to(place.folder / "whole")
    assert CASES[what](own, random.Random(what)) == ""
