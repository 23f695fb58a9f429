"""Splits, folds, the dataset folder and its errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.errors import DatasetError, UsageError
from cellscope.io.prepared import PreparedDataset, content_hash, write_dataset
from cellscope.io.splits import SPLITS, Item, assign_folds, assign_splits, divided


def items_of(sizes: list[int], source: str = "src") -> list[Item]:
    return [
        Item(f"{source}/{group}-{number}", f"{source}/g{group}", f"{source}-{group}-{number}.bin", class_="1")
        for group, size in enumerate(sizes)
        for number in range(size)
    ]


def make(root: Path, items: list[Item], **changes: object) -> str:
    root.mkdir(exist_ok=True)
    for item in items:
        (root / item.image).write_bytes(item.id.encode())
    settings_ = {"splits": (0.6, 0.2, 0.2), "folds": 0, "seed": 0, "pixel_size_um": None} | changes
    return write_dataset(root, items, assay="karyotype", classes=["1"], sources=[], **settings_)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=12, max_size=40), seed=st.integers(0, 99))
def test_every_group_has_one_split_and_the_shares_come_near(sizes: list[int], seed: int) -> None:
    items = items_of(sizes)
    split_of = assign_splits(items, (0.6, 0.2, 0.2), seed)
    assert set(split_of) == {item.group for item in items}
    total = sum(sizes)
    for name, share in zip(("train", "val", "test"), (0.6, 0.2, 0.2), strict=True):
        have = sum(split_of[item.group] == name for item in items)
        assert abs(have - share * total) <= max(sizes)
    assert assign_splits(items, (0.6, 0.2, 0.2), seed) == split_of


def test_each_source_is_spread_by_itself() -> None:
    items = items_of([1] * 10, "a") + items_of([1] * 40, "b")
    split_of = assign_splits(items, (0.6, 0.2, 0.2), 0)
    for source, want in (("a", (6, 2, 2)), ("b", (24, 8, 8))):
        splits = [split for group, split in split_of.items() if group.startswith(source)]
        assert tuple(splits.count(name) for name in ("train", "val", "test")) == want


def test_fixed_groups_stay_and_a_group_of_two_sources_stays_whole() -> None:
    items = [Item(f"a/{i}", "shared", f"a{i}") for i in range(5)] + [
        Item(f"b/{i}", "shared", f"b{i}") for i in range(5)
    ]
    items += [Item(f"b/x{i}", f"lone{i}", f"x{i}", fixed_split="train") for i in range(20)]
    split_of = assign_splits(items, (0.1, 0.45, 0.45), 0)
    assert all(split_of[f"lone{i}"] == "train" for i in range(20))
    assert len(split_of) == 21


@pytest.mark.parametrize("splits", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_are_none(splits: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="--splits"):
        assign_splits(items_of([1, 1]), splits, 0)


def test_folds_hold_whole_groups_of_much_the_same_size() -> None:
    items = items_of([7, 5, 4, 4, 3, 2, 1, 1, 1])
    fold_of = assign_folds(items, 3, 1)
    sizes = [sum(fold_of[item.group] == fold for item in items) for fold in range(3)]
    assert sum(sizes) == 28
    assert max(sizes) - min(sizes) <= 2
    assert set(assign_folds(items, 0, 1).values()) == {-1}
    with pytest.raises(UsageError, match="--folds 10"):
        assign_folds(items, 10, 1)


def test_a_source_that_comes_in_folds_keeps_them() -> None:
    own = [replace(item, fixed_fold=number % 3) for number, item in enumerate(items_of([1] * 6))]
    others = [replace(item, id=f"b/{item.id}", group=f"b/{item.group}") for item in items_of([1] * 3)]
    fold_of = assign_folds(own + others, 3, 0)
    assert [fold_of[item.group] for item in own] == [0, 1, 2, 0, 1, 2]
    assert sorted(fold_of[item.group] for item in others) == [0, 1, 2]
    with pytest.raises(UsageError, match="--folds 2: a source comes in 3 folds"):
        assign_folds(own, 2, 0)


def test_round_trip(tmp_path: Path) -> None:
    items = items_of([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    digest = make(tmp_path, items, folds=5, pixel_size_um=0.1)
    opened = PreparedDataset.open(tmp_path, assay="karyotype")
    assert opened.hash == digest
    assert opened.info["pixel_size_um"] == 0.1
    assert sum(len(opened.split(name)) for name in ("train", "val", "test")) == 20
    turn = opened.folded(2)
    parts = {name: turn.split(name) for name in ("train", "val", "test")}
    assert parts["test"]["id"].tolist() == opened.in_fold(2)["id"].tolist()
    assert sum(map(len, parts.values())) == 20
    assert sum(part["group"].nunique() for part in parts.values()) == 10


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    items = items_of([1, 1, 1])
    first = make(tmp_path, items)
    assert make(tmp_path, items) == first
    (tmp_path / items[0].image).write_bytes(b"changed")
    second = write_dataset(
        tmp_path,
        items,
        assay="karyotype",
        classes=["1"],
        sources=[],
        pixel_size_um=None,
        seed=0,
        splits=(0.6, 0.2, 0.2),
        folds=0,
    )
    assert second != first
    table = PreparedDataset.open(tmp_path, assay="karyotype").items
    (tmp_path / "types.csv").write_text("1,a")
    beside = content_hash(tmp_path, table, ["types.csv"])
    (tmp_path / "types.csv").write_text("1,b")
    assert len({second, beside, content_hash(tmp_path, table, ["types.csv"])}) == 3


def test_nothing_or_the_same_twice(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no item"):
        make(tmp_path, [])
    with pytest.raises(DatasetError, match="share the id src/0-0"):
        make(tmp_path, items_of([1]) + items_of([1]))
    assert not (tmp_path / "dataset.json").exists()


def test_opening_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dataset\.json.*cellscope karyotype prepare"):
        PreparedDataset.open(tmp_path, assay="karyotype")
    make(tmp_path, items_of([1, 1, 1]))
    with pytest.raises(DatasetError, match="prepared for karyotype, not for histo"):
        PreparedDataset.open(tmp_path, assay="histo")
    header = tmp_path / "dataset.json"
    good = json.loads(header.read_text())
    header.write_text(json.dumps(good | {"schema": "cellscope.dataset/9"}))
    with pytest.raises(DatasetError, match=r"cellscope\.dataset/9"):
        PreparedDataset.open(tmp_path, assay="karyotype")
    header.write_text("{half")
    with pytest.raises(DatasetError, match="cannot be read"):
        PreparedDataset.open(tmp_path, assay="karyotype")
    header.write_text(json.dumps(good))
    table = tmp_path / "items.csv"
    table.write_text(table.read_text().replace("group", "patient", 1))
    with pytest.raises(DatasetError, match="no column group"):
        PreparedDataset.open(tmp_path, assay="karyotype")
    table.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        PreparedDataset.open(tmp_path, assay="karyotype")


def test_empty_splits_and_folds(tmp_path: Path) -> None:
    make(tmp_path, items_of([1, 1]), splits=(1.0, 0.0, 0.0))
    opened = PreparedDataset.open(tmp_path, assay="karyotype")
    with pytest.raises(DatasetError, match="'test'"):
        opened.split("test")
    with pytest.raises(DatasetError, match="fold 0"):
        opened.in_fold(0)
    with pytest.raises(DatasetError, match="fold 0; prepare it with --folds"):
        opened.folded(0)


@pytest.mark.parametrize("fold", range(3))
def test_what_validates_a_turn_is_never_the_fold_that_is_measured(tmp_path: Path, fold: int) -> None:
    make(tmp_path, items_of([1, 2, 3] * 10), folds=3)
    opened = PreparedDataset.open(tmp_path, assay="karyotype")
    turn = opened.folded(fold)
    val = turn.split("val")
    assert not (val["fold"] == str(fold)).any()
    assert not (turn.split("train")["fold"] == str(fold)).any()
    assert 0.05 < len(val) / (len(val) + len(turn.split("train"))) < 0.25
    assert turn.items.equals(opened.folded(fold).items)
    other = (fold + 1) % 3
    rotated = opened.folded(fold, val_fold=other)
    assert set(rotated.split("val")["fold"]) == {str(other)}
    assert set(rotated.split("train")["fold"]) == {str(3 - fold - other)}
    with pytest.raises(UsageError, match="--val-fold"):
        opened.folded(fold, val_fold=fold)


def test_two_large_groups_still_leave_one_to_validate_on(tmp_path: Path) -> None:
    make(tmp_path, items_of([4, 4, 4]), folds=3)
    turn = PreparedDataset.open(tmp_path, assay="karyotype").folded(0)
    assert len(turn.split("val")) == len(turn.split("train")) == 4
    make(tmp_path / "two", items_of([4, 4]), folds=2)
    with pytest.raises(DatasetError, match="one group alone"):
        PreparedDataset.open(tmp_path / "two", assay="karyotype").folded(0)


def test_facts_are_columns_behind_the_fixed_ones_where_any_item_has_them(tmp_path: Path) -> None:
    items = [
        replace(item, facts=facts)
        for item, facts in zip(
            items_of([1, 1, 1]),
            ({"organ": "liver", "stain": "G"}, {"laboratory": "here", "day": ""}, {"source": "other"}),
            strict=True,
        )
    ]
    make(tmp_path / "set", items)
    table = PreparedDataset.open(tmp_path / "set", assay="karyotype").items
    assert list(table)[7:] == ["source", "laboratory", "organ", "stain"]  # of what no item has there is no column
    assert table["source"].tolist() == ["src", "src", "other"]
    assert table["organ"].tolist() == ["liver", "", ""]
    assert table["stain"].tolist() == ["G", "", ""]


def divide(items: list[Item], tmp_path: Path, text: str, splits=(0.6, 0.2, 0.2)):
    table = tmp_path / "splits.csv"
    table.write_text(text)
    return divided(items, splits, held_out="", table=table)


def test_a_table_fixes_the_test_cases_and_the_rest_is_shared_out(tmp_path: Path) -> None:
    items = items_of([1] * 20)
    named = [items[3].group, items[7].group.partition("/")[2] or items[7].group]
    text = "group,split\n" + "".join(f"{name},test\n" for name in named)
    fixed, splits = divide(items, tmp_path, text)
    assert splits == pytest.approx((0.75, 0.25, 0.0))
    split_of = assign_splits(fixed, splits, 0)
    found = {name: sorted(item.id for item in fixed if split_of[item.group] == name) for name in SPLITS}
    assert found["test"] == sorted([items[3].id, items[7].id])
    assert abs(len(found["train"]) - 13.5) < 1
    fixed, splits = divide(items, tmp_path, f"id,split\n{items[0].id},val\n")
    assert splits == (0.6, 0.2, 0.2)
    assert assign_splits(fixed, splits, 0)[items[0].group] == "val"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group,split\nnobody,test\n", "no item has the group nobody"),
        ("name,split\nx,test\n", "needs a column id or group"),
        ("id,split\nsrc/0-0,exam\n", "'exam' is no split"),
    ],
)
def test_a_table_of_splits_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    items = items_of([2, 1])
    with pytest.raises(UsageError, match=message):
        divide(items, tmp_path, text)


def test_a_table_never_parts_a_group(tmp_path: Path) -> None:
    items = items_of([2, 1])
    with pytest.raises(UsageError, match="items of one group stay together"):
        divide(items, tmp_path, f"id,split\n{items[0].id},test\n{items[1].id},train\n")
