"""Cells, column order, tables and journal."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellscope.engine.predict.journal import Entry, Journal, peek
from cellscope.engine.predict.tables import (
    ColumnOrder,
    Sheet,
    SheetReader,
    read_rows,
    text,
    to_sheet,
    write_rows,
    write_sheets,
)
from cellscope.errors import CellscopeError, UsageError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (float("nan"), ""),
        (np.float32("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (True, "True"),
        (np.bool_(False), "False"),
        (7, "7"),
        (np.int64(-3), "-3"),
        (0.1 + 0.2, "0.3"),
        (-1e-20 * 0, "0"),
        (np.float32(0.987654321), "0.987654"),
        (1234567.891234, "1234567.891"),
        (99999.96, "100000"),
        (["a", 1], "a; 1"),
        ("a,b\nc", "a,b\nc"),
    ],
)
def test_cells(value, shown):
    assert text(value) == shown


def test_infinite_values_are_refused():
    with pytest.raises(ValueError, match="infinite"):
        text(float("-inf"))


def test_last_bits_do_not_show():
    assert text(0.123456789) == text(0.123456789 * (1 + 1e-9))


def test_sheet_keeps_types_apart_column_by_column():
    frame = pd.DataFrame({"label": [1, 2], "class": ["x", None], "review": [True, False], "a": [1.5, np.nan]})
    assert to_sheet(frame) == Sheet(
        ["label", "class", "review", "a"], [["1", "x", "True", "1.5"], ["2", "", "False", ""]]
    )
    assert to_sheet(frame.iloc[:0]) == Sheet(["label", "class", "review", "a"], [])


def test_columns_stand_where_they_were_first_seen():
    order = ColumnOrder(["image", "label"])
    order.see(2, ["label", "late"])
    order.see(1, ["b", "a"])
    order.see(0, ["label", "a"])
    assert order.columns() == ["image", "label", "a", "b", "late"]


@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), unique=True), min_size=1, max_size=9),
    st.integers(1, 4),
)
def test_columns_of_shards_join_to_those_of_one_run(sheets, count):
    whole = ColumnOrder(["image"])
    parts = [ColumnOrder(["image"]) for _ in range(count)]
    for index, columns in enumerate(sheets):
        whole.see(index, columns)
        parts[index % count].see(index, columns)
    records = json.loads(json.dumps([part.record() for part in parts]))
    assert ColumnOrder.from_records(records).columns() == whole.columns()


cells = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), max_size=5)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=5))
def test_rows_survive_the_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "t.csv"
    write_rows(path, ["a", "b,\n"], rows)
    header, found = read_rows(path)
    assert header == ["a", "b,\n"]
    assert list(found) == rows


def test_sheets_are_joined_by_column_and_read_back_by_image(tmp_path):
    sheets = {"x": Sheet(["label", "a"], [["1", "2"]]), "z": Sheet(["b", "label"], [["5", "1"], ["6", "2"]])}
    path = tmp_path / "objects.csv"
    write_sheets(path, ["image", "label", "a", "b"], ["x", "y", "z"], sheets.get)
    assert path.read_text() == "image,label,a,b\nx,1,2,\nz,1,,5\nz,2,,6\n"
    reader = SheetReader(path)
    assert reader.read("x").rows == [["1", "2", ""]]
    assert reader.read("y").rows == []
    assert reader.read("z").rows == [["1", "", "5"], ["2", "", "6"]]
    reader.check_end()


def test_rows_out_of_place_are_noticed(tmp_path):
    path = tmp_path / "objects.csv"
    path.write_text("image,label\nb,1\na,1\n")
    reader = SheetReader(path)
    reader.read("a")
    with pytest.raises(CellscopeError, match="'b' out of place"):
        reader.check_end()


@pytest.mark.parametrize("content", ["", "image,label\na\n"])
def test_damaged_tables_are_named(tmp_path, content):
    path = tmp_path / "objects.csv"
    path.write_text(content)
    with pytest.raises(CellscopeError, match=r"objects\.csv"):
        SheetReader(path)


def entry(image, status="ok"):
    return Entry(image, status, {"status": status, "n_objects": "1"}, f"in/{image}", [f"{image}.png"], ["odd"])


def test_journal_round_trip(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {"images": ["a", "b"], "identity": {}})
    sheet = Sheet(["label", "review", "ü"], [["1", "False", 'quote " and \n line']])
    journal.append(entry("a"), {"objects": sheet})
    journal.append(entry("b", "failed"), {})
    assert journal.sheet("a", "objects") == sheet
    assert journal.sheet("b", "objects") is None
    journal.append(entry("b"), {"objects": Sheet(["label", "review"], [])})
    journal.close()
    again = Journal(path, {"images": []})
    assert again.earlier["images"] == ["a", "b"]
    assert list(again.entries) == ["a", "b"]
    assert again.entries["b"].status == "ok"
    assert again.entries["a"].columns == {"objects": ["label", "review", "ü"]}
    assert again.sheet("a", "objects") == sheet
    again.remove()
    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_journal_drops_a_line_cut_short_and_goes_on(tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {"images": ["a", "b"]})
    journal.append(entry("a"), {"objects": Sheet(["label", "review"], [["1", "True"]])})
    whole = path.stat().st_size
    journal.append(entry("b"), {"objects": Sheet(["label", "review"], [["1", "True"]])})
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    header, entries, running = peek(path)
    assert (list(entries), running, header["images"]) == (["a"], False, ["a", "b"])
    again = Journal(path, {})
    assert list(again.entries) == ["a"]
    assert path.stat().st_size == whole
    again.append(entry("c"), {"objects": Sheet(["label", "review"], [["7", "True"]])})
    assert again.sheet("c", "objects").rows == [["7", "True"]]
    again.close()
    assert list(peek(path)[1]) == ["a", "c"]


def test_two_runs_cannot_share_a_journal(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {"images": []})
    with pytest.raises(UsageError, match="another run"):
        Journal(path, {}, fresh=True)
    assert peek(path)[2] is True
    journal.close()
    assert peek(path)[2] is False
    Journal(path, {}).close()


def test_a_fresh_journal_forgets(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text("rubbish\n")
    journal = Journal(path, {"images": ["x"]}, fresh=True)
    journal.append(entry("a"), {})
    journal.close()
    fresh = Journal(path, {"images": ["y"]}, fresh=True)
    assert (list(fresh.replaced), fresh.entries) == (["a"], {})
    fresh.close()
    assert peek(path)[0]["images"] == ["y"]


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"schema": "other/1"}\n')
    with pytest.raises(UsageError, match="not a journal"):
        Journal(path, {})
    with pytest.raises(CellscopeError, match="not a journal"):
        peek(path)
