"""What two runs cannot share is no difference, all else is one; and what `house.py` counts."""

import json
from pathlib import Path

import house
import pytest
from same_outputs_compare import compare, read_reasons
from same_outputs_hashes import Hashes, of_weights

HASHES = Hashes({"/somewhere/tree": "TREE", "0.1.0": "VERSION"})
NAMES = {"csv": "images.csv", "json": "run.json", "html": "report.html"}
TABLE = "<table><tr><th>image</th><th>seconds</th></tr><tr><td>%s</td><td class='number'>%s</td></tr></table>"


def hashes(folder: Path, kind: str, content: str) -> dict[str, str]:
    path = folder / NAMES[kind]
    path.write_bytes(content.encode())
    return HASHES.of_file(path)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("csv", 'image,seconds,n\n"a,""b",1.5,3\nc,,4\n', 'image,seconds,n\n"a,""b",22,3\nc,,4\n'),
        ("json", '{"seconds": 1.5, "a": 1}', '{"seconds": 2e-05, "a": 1}'),
        ("json", '{"at": "2026-01-02T03:04:05.678+00:00"}', '{"at": "2027-01-02T03:04:05.678+00:00"}'),
        ("html", TABLE % ("a", "1.5"), TABLE % ("a", "0.003")),
        ("html", TABLE % ("a", "1.5"), TABLE.replace("<td class", "<td data-v='236.841' class") % ("a", "236.8")),
        ("html", "<dt>seconds</dt>\n<dd>1.5</dd>", "<dt>seconds</dt>\n<dd>90.115</dd>"),
    ],
)
def test_times_are_no_difference(tmp_path: Path, kind: str, one: str, other: str) -> None:
    assert hashes(tmp_path, kind, one) == hashes(tmp_path, kind, other)


@pytest.mark.parametrize(
    ("kind", "one", "other", "part"),
    [
        ("csv", "image,seconds,n\na,1,3\n", "image,seconds,n\na,1,4\n", "n"),
        ("csv", "image,seconds\na,1\n", "image,seconds\na,\n", "seconds"),  # no time is not a time
        ("csv", "image,n\na,3\n", 'image,n\n"a",3\n', "image"),
        ("csv", "image,n\na,3\n", "image,n\r\na,3\r\n", None),
        ("json", '{"seconds": 1, "a": 1}', '{"seconds": 1, "a": 2}', "a"),
        ("json", '{"a": 1, "b": 2}', '{"a": 1,  "b": 2}', None),
        ("html", TABLE % ("a", "1"), TABLE % ("b", "1"), "#head"),
        ("html", "<dt>area</dt><dd>1</dd>", "<dt>area</dt><dd>2</dd>", "#head"),
        ("html", '<p>1</p><section id="s-a">1</section>', '<p>1</p><section id="s-a">2</section>', "#s-a"),
    ],
)
def test_all_else_is_a_difference_and_is_named(
    tmp_path: Path, kind: str, one: str, other: str, part: str | None
) -> None:
    was, now = hashes(tmp_path, kind, one), hashes(tmp_path, kind, other)
    assert was[""] != now[""]
    assert [name for name in was if name and was[name] != now[name]] == ([part] if part else [])


def test_where_a_checkout_lies_and_its_version_are_no_difference(tmp_path: Path) -> None:
    here, there = ({"path": f"{tree}/weights/a", "version": "0.1.0"} for tree in ("/somewhere/tree", "TREE"))
    assert hashes(tmp_path, "json", json.dumps(here)) == hashes(tmp_path, "json", json.dumps(there))


def test_weights_are_what_a_model_file_is_without_its_card(tmp_path: Path) -> None:
    def write(card: str, body: bytes) -> str:
        header = json.dumps({"__metadata__": {"card": card}, "w": {"data_offsets": [0, len(body)]}}).encode()
        (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
        return of_weights(tmp_path / "m.safetensors")

    assert write("one", b"1234") == write("another card", b"1234") != write("one", b"1235")


def recording(path: Path, files: dict[str, dict[str, str]]) -> Path:
    path.write_text(json.dumps({"schema": "1", "only": "*", "commands": {"histo predict": {"files": files}}}))
    return path


def test_compare_names_commands_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = recording(tmp_path / "old", {"a.csv": {"": "1", "area": "1"}, "b.png": {"": "1"}, "c.png": {"": "1"}})
    assert compare(old, old)
    assert "1 commands: 3 files the same, 0 differ" in capsys.readouterr().out
    new = recording(tmp_path / "new", {"a.csv": {"": "2", "area": "2"}, "c.png": {"": "2"}})
    assert not compare(old, new)
    said = capsys.readouterr().out
    assert "histo predict\n  a.csv: area\n  b.png: (gone)\n  c.png: (bytes)\n" in said
    assert "3 without a reason" in said


def test_a_difference_is_meant_only_if_all_its_parts_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = recording(tmp_path / "old", {"x/a.csv": {"": "1", "area": "1", "n": "1"}})
    new = recording(tmp_path / "new", {"x/a.csv": {"": "2", "area": "2", "n": "1", "read": "1"}, "b.png": {"": "1"}})
    table = tmp_path / "reasons.csv"
    table.write_text("command,file,part,reason\nhisto *,*a.csv,read,a new column\n*,b.png,(added),a new picture\n")
    assert not compare(old, new, read_reasons(table))
    said = capsys.readouterr().out
    assert "  x/a.csv: area\n" in said
    assert "    1 a new column\n" in said
    table.write_text(table.read_text() + "*,*,area,measured otherwise\n")
    assert compare(old, new, read_reasons(table))
    assert "all differences have a reason" in capsys.readouterr().out


def test_lines_of_code_are_neither_blank_nor_words() -> None:
    source = (
        '"""Two\n\nlines."""\n\n# why\nx = """a\n\nb"""\n\n\ndef f():\n    """Do."""\n    return (\n        x\n    )\n'
    )
    assert house.code_lines(source) == 3 + 1 + 3


def test_the_longest_chain_and_the_circles(tmp_path: Path) -> None:
    files = {
        "__init__": "",
        "a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cellscope import b\n",
        "b": "from cellscope.a import x\n",
        "c": "def f():\n    from . import b\n",
        "d": "import cellscope.c\n",
    }
    (tmp_path / "cellscope").mkdir()
    for name, source in files.items():
        (tmp_path / f"cellscope/{name}.py").write_text(source)
    said = house.measure(tmp_path)
    everything, loading = said.split("all imports: ")[1].split("\n\n")
    assert everything.startswith("longest chain 3 files, 1 circles")
    assert "circle: cellscope.a, cellscope.b" in everything
    assert "longest chain 2 files, 0 circles" in loading
