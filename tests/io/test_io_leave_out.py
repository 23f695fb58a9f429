"""Items of one laboratory, day or line: what is left out, and what is not a source."""

import pandas as pd
import pytest

from cellscope.errors import UsageError
from cellscope.io.leave_out import each_of, in_turn, is_left_out, origins
from cellscope.io.prepared import LEFT_OUT, PreparedDataset

ITEMS = pd.DataFrame(
    {
        "id": ["a/1", "a/2", "b/3", "b/4", "b/5"],
        "split": ["train", "val", "train", "val", "test"],
        "fold": ["0", "1", "0", "1", "2"],
        "group": ["g", "g", "h", "h", "i"],
        "image": "x.png",
        "target": "",
        "class": "",
        "line": ["PC3", "PC3", "U251", "", "U251"],
        "day": ["1", "2", "1", "", "2"],
    }
)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("line=PC3", [1, 1, 0, 0, 0]),
        ("line=PC3,day=2", [0, 1, 0, 0, 0]),
        ("line=PC3,line=U251,day=2", [0, 1, 0, 0, 1]),
        ("line=", [0, 0, 0, 1, 0]),
        ("line=unknown", [0, 0, 0, 1, 0]),
        ("source=b", [0, 0, 1, 1, 1]),
        ("group=i", [0, 0, 0, 0, 1]),
    ],
)
def test_what_is_left_out(spec: str, wanted: list[int]) -> None:
    assert is_left_out(ITEMS, spec).astype(int).tolist() == wanted


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("PC3", r"give KEY=VALUE"),
        ("line=HeLa", r"no item has line=HeLa; there are PC3, U251, unknown"),
        ("dose=4", r"no dose; what is known: source, group, line, day"),
        ("line=PC3,source=b", r"means no item"),
        ("source=a,source=b", r"means everything"),
    ],
)
def test_what_cannot_be_left_out(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        is_left_out(ITEMS, spec)


def test_each_in_turn_leaves_every_item_out_once() -> None:
    turns = each_of(ITEMS, "line+day")
    assert turns == [
        "line=PC3,day=1",
        "line=PC3,day=2",
        "line=U251,day=1",
        "line=U251,day=2",
        "line=unknown,day=unknown",
    ]
    assert sum(is_left_out(ITEMS, turn).astype(int) for turn in turns).tolist() == [1] * 5
    assert in_turn("line+day")
    assert not in_turn("line=PC3")
    assert not in_turn(None)
    with pytest.raises(UsageError, match="the same line"):
        each_of(ITEMS.assign(line="PC3"), "line")


def test_paths_and_splits_are_no_origin() -> None:
    assert list(origins(ITEMS)) == ["source", "group", "line", "day"]


@pytest.mark.parametrize("fold", [None, 1])
def test_left_out_items_are_in_no_other_split(tmp_path, fold: int | None) -> None:
    prepared = PreparedDataset(tmp_path, {}, ITEMS).leaving_out(is_left_out(ITEMS, "day=1"))
    prepared = prepared if fold is None else prepared.folded(fold, val_fold=2)
    assert prepared.split(LEFT_OUT)["id"].tolist() == ["a/1", "b/3"]
    for name in ("val", "test"):
        assert not set(prepared.split(name)["id"]) & {"a/1", "b/3"}
