"""Tables made by people: separators, marks, blanks, and one clear line for everything else."""

from __future__ import annotations

import pytest

from cellscope.errors import UsageError
from cellscope.io.table import read_table


@pytest.mark.parametrize(
    "text",
    [
        "image,dose\na.tif,2\n\nb.tif,4\n",
        "\ufeffimage;dose\r\na.tif;2\r\n;\r\nb.tif;4\r\n",
        " image \tdose\na.tif\t 2 \nb.tif\t4",
        "Image,DOSE\na.tif,2\nb.tif,4\n",
        "sep=;\r\nimage;dose\r\na.tif;2\r\nb.tif;4\r\n",
    ],
    ids=["comma", "spreadsheet", "tab", "case", "excel"],
)
def test_separators_and_marks(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    rows = read_table(tmp_path / "t.csv", ("image", "dose"))
    assert rows == [{"image": "a.tif", "dose": "2"}, {"image": "b.tif", "dose": "4"}]


def test_short_rows_are_filled_and_quotes_kept_together(tmp_path):
    (tmp_path / "t.csv").write_text('image,note,dose\n"a,1.tif","two\nlines"\n')
    assert read_table(tmp_path / "t.csv") == [{"image": "a,1.tif", "note": "two\nlines", "dose": ""}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no header"),
        ("a,b\n1,2\n", "no column image, dose; it has a, b"),
        ("image,dose,dose\n", "two columns dose"),
        ("image,dose\na.tif,1,2\n", "line 2: 3 cells under 2 columns"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        read_table(tmp_path / "t.csv", ("image", "dose"))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("t.csv", "none.csv", "."):
        with pytest.raises(UsageError, match="cannot be read"):
            read_table(tmp_path / name)
