"""Progress: plain lines now and then, a bar on a terminal, nothing when quiet."""

from __future__ import annotations

import io

import pytest

from cellscope.engine import progress
from cellscope.engine.progress import RunProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_now_and_then(clock):
    stream = io.StringIO()
    with RunProgress(1000, label="fake predict", stream=stream) as bar:
        for k in range(1000):
            clock[0] += 0.05
            bar.step(failed=k == 3)
    lines = stream.getvalue().strip().split("\n")
    assert lines[0] == "fake predict: 100 of 1000, 1 failed, 0.05 s each"
    assert lines[-1] == "fake predict: 1000 of 1000, 1 failed, 0.05 s each"
    assert len(lines) == 10


def test_slow_inputs_are_reported_every_ten_seconds(clock):
    stream = io.StringIO()
    with RunProgress(1000, label="x", stream=stream) as bar:
        for _ in range(6):
            clock[0] += 5
            bar.step()
    assert stream.getvalue().count("\n") == 3


def test_quiet_shows_notes_only():
    stream = io.StringIO()
    with RunProgress(2, label="x", quiet=True, stream=stream) as bar:
        bar.step()
        bar.note("a.tif: broken")
        bar.step(failed=True)
    assert stream.getvalue() == "a.tif: broken\n"


def test_a_terminal_gets_a_bar_and_whole_notes():
    stream = Terminal()
    with RunProgress(2, label="fake predict", stream=stream) as bar:
        bar.step()
        bar.note("[red]a.tif[/red]: " + "long " * 40 + "end")
        bar.step()
    shown = stream.getvalue()
    assert "2/2" in shown
    assert "[red]a.tif[/red]: " + "long " * 40 + "end" in shown
