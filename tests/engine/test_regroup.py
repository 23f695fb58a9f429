"""``prepare --group-by``: patients stay on one side of a split in every assay."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellscope.engine.regroup import regroup
from cellscope.errors import UsageError
from cellscope.io.splits import Item, assign_splits, path_in_source


def item(name: str, *, origin: str = "", split: str = "", fold: int | None = None) -> Item:
    return Item(name, name, "x.png", fixed_split=split, fixed_fold=fold, origin=origin)


ITEMS = [item(f"one/P{patient}_t{tile}") for patient in range(5) for tile in range(4)]


def groups(items: list[Item]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in items:
        found.setdefault(one.group, set()).add(one.id)
    return found


def test_an_expression_keeps_the_tiles_of_a_patient_together() -> None:
    grouped = regroup(ITEMS, r"^(P\d+)_")
    assert groups(grouped) == {f"P{p}": {f"one/P{p}_t{tile}" for tile in range(4)} for p in range(5)}
    split = assign_splits(grouped, (0.6, 0.2, 0.2), 0)
    assert set(split) == {f"P{p}" for p in range(5)}
    assert regroup(ITEMS, None) is ITEMS


def test_a_patient_of_two_sources_is_one_group_and_a_folder_of_each_its_own() -> None:
    items = [
        item("one/a", origin="P1/a.png"), item("two/a", origin="P1/a.png"), item("two/b", origin="b.png")
    ]  # fmt: skip
    assert set(groups(regroup(items, r"(P\d)"))) == {"P1", "two/b"}
    assert set(groups(regroup(items, "folder"))) == {"one/P1", "two/P1", "two/two"}


def test_the_path_within_the_source_is_looked_at(tmp_path: Path) -> None:
    assert path_in_source(tmp_path / "a/b.png", tmp_path) == "a/b.png"
    assert path_in_source(Path("/else/b.png"), tmp_path) == "b.png"
    items = [item("s/1-b", origin="day1/b.png"), item("s/2-b", origin="day2/b.png")]
    assert set(groups(regroup(items, "case"))) == {"s/day1", "s/day2"}


def test_a_table_names_them(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,patient\na.png,17\nb.png,17\n")
    items = [item("s/a", origin="a.png"), item("s/b", origin="b.png"), item("s/c", origin="c.png")]
    assert groups(regroup(items, f"{table}:patient")) == {"17": {"s/a", "s/b"}, "s/c": {"s/c"}}
    said = capsys.readouterr().err
    assert "no group to 1 of 3 items, such as c.png" in said
    assert "3 items in 2 groups" in said


def test_splits_and_folds_of_a_source_are_not_torn_in_silence() -> None:
    torn = [item("s/a1", split="train"), item("s/a2", split="test")]
    with pytest.raises(UsageError, match=r"s/a1 and s/a2 are both of group a.* different splits"):
        regroup(torn, "(a)")
    with pytest.raises(UsageError, match="different folds"):
        regroup([item("s/a1", fold=0), item("s/a2", fold=1)], "(a)")
    free = regroup([item("s/a1", split="train"), item("s/a2")], "(a)")
    assert set(assign_splits(free, (0.6, 0.2, 0.2), 0).values()) == {"train"}
    with pytest.raises(UsageError, match="matches none"):
        regroup(torn, "(zzz)")
