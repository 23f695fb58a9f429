"""``--log-file``: all that is said on stderr, with its time, and the error that ends a command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.cli.verbs import speaking
from cellscope.errors import CellscopeError, UsageError
from cellscope.options.common import OutputOptions

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 (.*)")


def said(path: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [match[1] for match in found if match is not None]


@pytest.mark.parametrize("hush", [False, True])
def test_every_line_is_kept_and_shown(tmp_path: Path, hush: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logs" / "run.log"
    for _ in range(2):
        with speaking(OutputOptions(log_file=path), hush=hush) as heard:
            print("warning: odd", file=sys.stderr)
            print("two\nlines, the last", end=" ", file=sys.stderr)
            print("open", end="", file=sys.stderr)
    command = " ".join(sys.argv)
    assert said(path) == [command, "warning: odd", "two", "lines, the last open"] * 2

    assert capsys.readouterr().err == "warning: odd\ntwo\nlines, the last open" * 2
    assert len(heard.listed()) == hush


def test_the_error_is_kept(tmp_path: Path) -> None:
    with pytest.raises(CellscopeError), speaking(OutputOptions(log_file=tmp_path / "a.log")):
        raise CellscopeError("the disk\nis full")
    assert said(tmp_path / "a.log")[-1] == "error: the disk is full"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"--log-file .*cannot be written"),
        speaking(OutputOptions(log_file=tmp_path / "file" / "a.log")),
    ):
        pass


def test_every_command_has_it() -> None:
    names = [("merge",), ("status",), ("info",), ("doctor",), ("review",), ("export",)]
    names += [("models", name) for name in ("list", "show", "verify", "average", "cost", "describe")]
    for words in names:
        assert "--log-file" in CliRunner().invoke(app, [*words, "--help"]).stdout, words


def test_merge_and_status_keep_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for verb in ("merge", "status"):
        path = tmp_path / f"{verb}.log"
        result = CliRunner().invoke(app, [verb, str(tmp_path / "out"), "--log-file", str(path)])
        assert result.exit_code == 2
        assert "holds no" in said(path)[-1]
        assert said(path)[-1].startswith("error: ")
