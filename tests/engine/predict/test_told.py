"""What a run says at its end: failures by name, each kind of warning once, with its number."""

from __future__ import annotations

import pytest

from cellscope.engine.predict.told import MOST, told, warning_lines


def entry(image: str, *warnings: str, error: str = "") -> dict:
    return {"image": image, "error": error, "warnings": list(warnings)}


def record(*entries: dict, overall: tuple[str, ...] = ()) -> dict:
    failed = sum(bool(one["error"]) for one in entries)
    counts = {"total": len(entries), "ok": len(entries) - failed, "failed": failed, "skipped": 0, "objects": 9}
    return {"counts": counts, "summary": {"warnings": list(overall)}, "inputs": list(entries)}


def test_a_kind_of_warning_is_told_once_whatever_its_numbers() -> None:
    found = told(
        record(
            entry("a.tif", "a.tif: 0.25 um is assumed", "3 nuclei are saturated"),
            entry("b.tif", "b.tif: 0.5 um is assumed"),
            entry("c.tif", error="not an image"),
            entry("d.tif", "14 nuclei are saturated", "15 nuclei are saturated"),
            overall=("the fields differ more than chance",),
        )
    )
    assert found["failures"] == [{"image": "c.tif", "error": "not an image"}]
    assert found["counts"]["objects"] == 9
    assert [(one["images"], one["example"]) for one in found["warnings"]] == [(0, ""), (2, "a.tif"), (2, "a.tif")]
    assert warning_lines(found["warnings"]) == [
        "warning: the fields differ more than chance",
        "warning: a.tif: 0.25 um is assumed (2 images, such as a.tif)",
        "warning: 3 nuclei are saturated (2 images, such as a.tif)",
    ]


def test_a_shard_has_no_summary() -> None:
    assert told(record(entry("a.tif", "odd")) | {"summary": None})["warnings"] == [
        {"warning": "odd", "images": 1, "example": "a.tif"}
    ]


@pytest.mark.parametrize("kinds", [MOST, MOST + 1, MOST + 30])
def test_the_commonest_kinds_are_told(kinds: int) -> None:
    letters = [chr(0x4E00 + number) for number in range(kinds)]
    entries = [entry(f"{number}.tif", *letters[: number + 1]) for number in range(kinds)]
    lines = warning_lines(told(record(*entries))["warnings"])
    assert lines[0] == f"warning: {letters[0]} ({kinds} images, such as 0.tif)"
    assert len(lines) == min(kinds, MOST) + (kinds > MOST)
    if kinds > MOST:
        assert lines[-1] == f"warning: and {kinds - MOST} more kinds; report.html has all"
